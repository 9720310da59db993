"""flashrex-import as a command: what it prints and writes; every error is one line and exit code 2."""

import subprocess
import sys

import h5py
import numpy as np
import pytest
from flashrex_tools import cli
from models import basis, chain_positions, configuration, envelope, random_network, schnet_module
from torch_writer import Array, Obj, module, save, sum_out, write_archive

POSITIONS = chain_positions(6)
TYPES = np.array([1, 2, 3, 4, 5, 1])
BONDS = np.array([[i, i + 1] for i in range(5)])


@pytest.fixture
def model(tmp_path):
    net, cut = random_network(), envelope("CosineCutoff")
    rbf, _ = basis("ExpNormalBasis", cut)
    table = {"x_0": Array(np.full((6, 6), 2.0)), "k": Array(np.ones((6, 6)))}
    prior = module("mlcg.nn.prior.harmonic.HarmonicBonds", buffers=table, name="bonds", order=2)
    models = sum_out({"SchNet": schnet_module(net, rbf, cut[0]), "bonds": prior})
    frames = [configuration(POSITIONS + i, TYPES, {"bonds": BONDS}) for i in range(3)]
    save(tmp_path / "c.pt", frames)
    return str(save(tmp_path / "m.pt", models))


def run(capsys, *args):
    try:
        code = cli.main(list(map(str, args)))
    except SystemExit as stop:
        code = stop.code
    return (code, *capsys.readouterr())


def test_import(tmp_path, capsys, model):
    out = tmp_path / "s.h5"
    code, printed, errors = run(capsys, model, "--structures", tmp_path / "c.pt", "-o", out)
    assert code == 0 and errors == ""
    for text in (
        "6 beads",
        "2 interactions, 7 features, 5 filters, 6 bead types, cutoff 5 A",
        "8 ExpNormalBasis, cosine envelope 0-5 A",
        "8-5-5 tanh",
        "7-4-3-1 tanh",
        "bonds: 5 terms, harmonic in distance",
        "structures  3",
        str(out),
    ):
        assert text in printed, text
    with h5py.File(out) as file:
        assert file.attrs["flashrex_format"] == b"system" and file.attrs["version"] == 1
        assert file.attrs["family"] == b"mlcg" and file.attrs["source"] == b"m.pt; c.pt"
        assert [len(s) for s in file.attrs["source_sha256"].split(b"; ")] == [64, 64]
        assert list(file["beads/residue_name"].asstr()) == ["ALA", "CYS", "ASP", "GLU", "PHE", "ALA"]
        assert file["topology/bonds"][:].tolist() == BONDS.tolist()
        assert file["known_answer/positions"].shape == (1, 6, 3)
        energy = file["known_answer/energy"][0]
        assert energy == pytest.approx(
            sum(part[0] for part in file["known_answer/parts"].values()), rel=1e-14
        )
        assert f"{energy:.7f}" in printed
        assert file["structures/positions"].shape == (3, 6, 3)


def test_existing_output_is_kept(tmp_path, capsys, model):
    out = tmp_path / "s.h5"
    out.write_text("precious")
    code, _, errors = run(capsys, model, "--structures", tmp_path / "c.pt", "-o", out)
    assert code == 2 and "exists" in errors and out.read_text() == "precious"
    assert run(capsys, model, "--structures", tmp_path / "c.pt", "-f", "-o", out)[0] == 0
    assert h5py.is_hdf5(out)


def test_stretched_start(tmp_path, capsys, model):
    """--extended replaces the structures; a molecule that is not one chain of beads is refused."""
    out = tmp_path / "s.h5"
    assert run(capsys, model, "--structures", tmp_path / "c.pt", "--extended", "-o", out)[0] == 0
    with h5py.File(out) as file:
        x = file["structures/positions"][:]
        assert x.shape == (1, 6, 3) and np.linalg.norm(x[0, 5] - x[0, 0]) > 16
        assert np.array_equal(file["known_answer/positions"], x)
    save(tmp_path / "b.pt", [configuration(POSITIONS, TYPES, {"bonds": BONDS[[0, 1, 3, 4]]})])
    code, _, errors = run(capsys, model, "--structures", tmp_path / "b.pt", "--extended", "-f", "-o", out)
    assert code == 2 and "one chain" in errors


def errors_of(tmp_path, model):
    """(arguments, what the message must name)."""
    config = tmp_path / "c.pt"
    files = {
        "empty.pt": b"",
        "text.pt": b"hello, this is no model\n",
        "bytes.pt": b"\x00\x01\x02\x03" * 100,
        "short.pt": (tmp_path / "m.pt").read_bytes()[:5000],
        "word.yaml": b"just a word\n",
        "bad.yaml": b"a: [1, 2\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    save(tmp_path / "evil.pt", Obj("os.system", {}))
    save(tmp_path / "escape.pt", Obj("mlcg.nn.A\x1b[31m", {}))
    save(tmp_path / "list.pt", [1, 2, 3])
    write_archive(tmp_path / "name.pt", b"\x80\x04\x8c\x04a\nb\x1b\x8c\x01x\x93.")
    save(tmp_path / "far.pt", [configuration(POSITIONS * np.nan, TYPES, {"bonds": BONDS})])
    save(tmp_path / "overlap.pt", [configuration(POSITIONS * 0, TYPES, {"bonds": BONDS})])
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["positions"] = np.zeros((2, 9, 3))
    return [
        ([], "MODEL"),
        ([model], "-o"),
        ([model, "--colour", "red"], "--colour"),
        (["absent.pt"], "absent.pt"),
        ([tmp_path], str(tmp_path)),
        ([tmp_path / "empty.pt"], "empty"),
        ([tmp_path / "text.pt"], "torch.save"),
        ([tmp_path / "bytes.pt"], "unknown kind"),
        ([tmp_path / "short.pt"], "short.pt"),
        ([tmp_path / "evil.pt"], "os.system"),
        ([tmp_path / "escape.pt"], "mlcg"),
        ([tmp_path / "name.pt"], "refers to"),
        ([tmp_path / "list.pt"], "neither a model"),
        ([config], "neither a model"),
        ([model], "--structures"),
        ([model, "--structures", tmp_path / "list.pt"], "AtomicData"),
        ([model, "--structures", tmp_path / "text.pt"], "--structures"),
        ([model, "--structures", tmp_path / "far.pt"], "not numbers"),
        ([model, "--structures", tmp_path / "overlap.pt"], "lie on each other"),
        ([model, "--structures", config, "--embedding", "torchmd-exp"], "--embedding"),
        ([model, "--structures", config, "--cutoff", "3", "x"], "--cutoff"),
        ([model, "--structures", config, "--prior", model], "term SchNet"),
        ([model, "--structures", config, "--prior", tmp_path / "bad.yaml"], "prior"),
        ([model, "--structures", config, "--topology", tmp_path / "word.yaml"], "PDB"),
    ]


def test_errors_are_one_line(tmp_path, capsys, model):
    out = tmp_path / "out.h5"
    for args, names in errors_of(tmp_path, model):
        asked = args if names in ("MODEL", "-o") else [*args, "-o", out]
        code, printed, errors = run(capsys, *asked)
        assert code == 2, (args, printed, errors)
        assert errors.count("\n") == 1 and errors.startswith("flashrex-import: error: "), errors
        assert names in errors and errors.rstrip("\n").isprintable(), errors
        assert not out.exists() and printed == ""
    code, _, errors = run(
        capsys, model, "--structures", tmp_path / "c.pt", "-o", tmp_path / "no" / "where.h5"
    )
    assert code == 2 and errors.count("\n") == 1 and "where.h5" in errors
    assert not list(tmp_path.glob("*.part"))


def test_frames_of_another_size(tmp_path, capsys, model):
    errors_of(tmp_path, model)
    save(tmp_path / "both.pt", (sum_out({}), [configuration(POSITIONS, TYPES, {})]))
    code, _, errors = run(
        capsys, tmp_path / "both.pt", "--structures", tmp_path / "frames.h5", "-o", tmp_path / "o.h5"
    )
    assert code == 2 and "9 atoms" in errors


def test_as_a_program(tmp_path, model):
    """Also that nothing heavy is imported: neither torch nor MDAnalysis is needed for this."""
    code = "import sys; sys.modules.update(torch=None, mlcg=None, MDAnalysis=None, yaml=None)\n"
    code += "from flashrex_tools.cli import main; sys.exit(main())"
    args = [
        sys.executable,
        "-c",
        code,
        model,
        "--structures",
        str(tmp_path / "c.pt"),
        "-o",
        str(tmp_path / "s.h5"),
    ]
    done = subprocess.run(
        args, capture_output=True, text=True, env={"PYTHONPATH": cli.__file__.rsplit("/", 2)[0]}
    )
    assert done.returncode == 0 and "written" in done.stdout, done.stderr
    for option in ("--help", "--version"):
        done = subprocess.run([*args[:3], option], capture_output=True, text=True,
                              env={"PYTHONPATH": cli.__file__.rsplit("/", 2)[0]})  # fmt: skip
        assert done.returncode == 0 and "flashrex-import" in done.stdout

"""Against the reference models, from import to trajectory; skipped when they are not there.

Golden values (mlcg, and an independent evaluation of torchmd's models) come with the models."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

CONFIGS = Path(__file__).parents[2] / "configs"


def torchmd(checkpoint, protein):
    """What flashrex-import needs for a C-alpha model of torchmd."""
    return [
        f"torchmd/{checkpoint}.ckpt",
        "--prior=torchmd/ca_priors.yaml",
        f"--topology=torchmd/{protein}_ca_top_dih.psf",
        f"--structures=torchmd/{protein}_kcenters_32clusters_coords.xtc",
        "--embedding=majewski2023",
    ]


# name: (arguments of flashrex-import, golden file, relative accuracy of its forces)
MODELS = {
    "cln-mlcg": (["mlcg/schnet_cln_ca_specialized_model_and_config.pt"], "mlcg/golden_cln_ca.h5", 1e-7),
    "1enh-mlcg": (
        [
            "mlcg/cgschnet_1enh_random_model_and_prior.pt",
            "--structures=mlcg/cgschnet_1enh_random_configurations.pt",
        ],
        "mlcg/golden_cgschnet_1enh_random.h5",
        1e-7,
    ),
    "cln": (torchmd("chignolin", "cln"), "torchmd/golden_chignolin_cln.h5", 1e-6),
    "cln-general": (torchmd("general", "cln"), "torchmd/golden_general_cln.h5", 1e-6),
    "trp": (torchmd("general", "trp"), "torchmd/golden_general_trp.h5", 1e-6),
    "ntl9": (torchmd("general", "ntl9"), "torchmd/golden_general_ntl9.h5", 1e-6),
    "1enh": (torchmd("general", "homeodomain"), "torchmd/golden_general_homeodomain.h5", 1e-6),
}


@pytest.fixture(scope="session")
def reference():
    folder = Path(os.environ.get("FRX_REFERENCE_DIR", "")).resolve()
    if not (folder / "torchmd").is_dir():
        pytest.skip("the reference models are not there")
    pytest.importorskip("MDAnalysis")
    return folder


@pytest.fixture(scope="session")
def system(reference, tmp_path_factory):
    """system(name): the system file, imported once."""
    folder = tmp_path_factory.mktemp("systems")

    def make(name):
        path = folder / f"{name}.h5"
        if not path.exists():
            arguments = [sys.executable, "-m", "flashrex_tools.cli", *MODELS[name][0], "-o", str(path)]
            subprocess.run(arguments, cwd=reference, check=True, capture_output=True)
        return path

    return make


def evaluate(flashrex, system, golden, output, precision, engine="cpu", **environment):
    how = ["--engine", engine, "--precision", precision]
    flashrex("energy", system, "--frames", golden, *how, "-o", output, timeout=900, **environment).ok()
    with h5py.File(golden) as expected, h5py.File(output) as found:
        assert set(found["parts"]) == set(expected["parts"])
        np.testing.assert_array_equal(found["positions"], expected["positions"])
        read = [{k: file[k][:] for k in ("energy", "forces")} for file in (expected, found)]
        for file, values in zip((expected, found), read):
            values["parts"] = {name: part[:] for name, part in file["parts"].items()}
    return read


def force_error(expected, found):
    """||dF|| / ||F|| of the worst frame."""
    norms = [np.linalg.norm(f.reshape(len(f), -1), axis=1) for f in (found - expected, expected)]
    return (norms[0] / norms[1]).max()


@pytest.mark.parametrize("name", MODELS)
def test_golden_energies_and_forces(name, reference, system, flashrex, tmp_path):
    _, golden, accuracy = MODELS[name]
    expected, found = evaluate(flashrex, system(name), reference / golden, tmp_path / "double.h5", "double")
    np.testing.assert_allclose(found["energy"], expected["energy"], rtol=1e-9)
    for part, value in expected["parts"].items():
        np.testing.assert_allclose(found["parts"][part], value, rtol=1e-9, err_msg=part)
    assert force_error(expected["forces"], found["forces"]) < accuracy

    expected, found = evaluate(flashrex, system(name), reference / golden, tmp_path / "single.h5", "single")
    assert force_error(expected["forces"], found["forces"]) < 2e-5
    scale = sum(abs(part) for part in expected["parts"].values())
    assert (abs(found["energy"] - expected["energy"]) < 2e-5 * scale).all()


@pytest.fixture
def gpu(flashrex):
    """The environment that shows the GPU; skip where there is none, or no CUDA engine."""
    shown = {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0")}
    tried = flashrex("bench", os.devnull, "--engine", "cuda", **shown)
    for reason in ("no GPU", "without CUDA"):
        if reason in tried.err:
            pytest.skip(reason)
    return shown


@pytest.mark.parametrize("name", MODELS)
def test_golden_energies_and_forces_on_a_gpu(name, gpu, reference, system, flashrex, tmp_path):
    golden = reference / MODELS[name][1]
    expected, found = evaluate(
        flashrex, system(name), golden, tmp_path / "single.h5", "single", "cuda", **gpu
    )
    assert force_error(expected["forces"], found["forces"]) < 2e-5

    # mixed precision: the error of the force over the force of the network alone, and the energy of the network
    network = tmp_path / "network.h5"
    shutil.copy(system(name), network)
    with h5py.File(network, "a") as file:
        del file["known_answer"]
        for prior in list(file["priors"]):
            del file["priors"][prior]
    flashrex("energy", network, "--frames", golden, "-o", tmp_path / "alone.h5", timeout=900).ok()
    with h5py.File(tmp_path / "alone.h5") as file:
        alone = np.linalg.norm(file["forces"][:], axis=(1, 2))
    expected, found = evaluate(flashrex, system(name), golden, tmp_path / "mixed.h5", "mixed", "cuda", **gpu)
    error = np.linalg.norm(found["forces"] - expected["forces"], axis=(1, 2)) / alone
    assert error.max() < 5e-3
    n_bead = found["forces"].shape[1]
    difference = abs(found["parts"]["SchNet"] - expected["parts"]["SchNet"]) / n_bead * 100
    assert difference.max() < 0.05  # kcal/mol per 100 beads


@pytest.mark.parametrize(
    "config, name, steps, ranks",
    [
        ("chignolin-ca", "cln", 400, 1),
        ("chignolin-ca", "cln-mlcg", 400, 2),
        ("trpcage-ca", "trp", 200, 2),
        ("homeodomain-1enh", "1enh", 200, 1),
        ("homeodomain-1enh", "1enh-mlcg", 20, 2),
    ],
)
def test_short_replica_exchange(config, name, steps, ranks, system, flashrex, tmp_path):
    """The configs as they are, but shorter: they run, exchange, and the saved energies are those of the frames."""
    few = [
        f"n_timesteps={steps}",
        f"exchange_interval={steps // 4}",
        f"save_interval={steps // 2}",
        "n_ladders=1",
    ]
    path = system(name)
    flashrex(
        "run", CONFIGS / f"{config}.yaml", f"system={path}", "output=out", *few, ranks=ranks, timeout=600
    ).ok()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["exchange"]["events"] == 4 and summary["frames"] == 2
    acceptance = [rung["acceptance_to_next"] for rung in summary["rungs"][:-1]]
    assert all(0 <= a <= 1 for a in acceptance)
    if name != "1enh-mlcg":  # random weights: its replicas are still falling from their start
        assert min(acceptance) > 0.02, acceptance
    with h5py.File(tmp_path / "out" / "segment_0001.h5") as file:
        positions, energy = file["frames/position"][-1, :4].astype(float), file["frames/energy"][-1, :4]
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["positions"] = positions
    flashrex("energy", path, "--frames", "frames.h5", "-o", "energies.h5").ok()
    with h5py.File(tmp_path / "energies.h5") as file:
        scale = sum(abs(part[:]) for part in file["parts"].values())
        assert (abs(energy - file["energy"][:]) < 2e-5 * scale).all()


def test_check_meets_the_known_answer_of_the_importer(system, flashrex):
    out = flashrex("check", CONFIGS / "chignolin-ca.yaml", f"system={system('cln')}", "output=out").ok().out
    assert "64 replicas" in out and "known answer met" in out

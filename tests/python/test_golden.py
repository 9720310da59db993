"""Against the reference models: energies to 1e-9, forces to 1e-7 (torchmd: 1e-6), and 1ENH's terms."""

import h5py
import numpy as np
import pytest
from flashrex_tools.importer import Request, import_system
from flashrex_tools.pdb import read_pdb
from flashrex_tools.reference_energy import evaluate
from flashrex_tools.structures import read_configurations
from flashrex_tools.system_file import read_system, write_system
from flashrex_tools.topology import build_molecule
from flashrex_tools.torch_file import TorchFile

PROTEINS = {
    "cln": "chignolin_cln025.pdb",
    "trp": "trpcage_2jof.pdb",
    "ntl9": "ntl9_2hba.pdb",
    "homeodomain": "homeodomain_1enh.pdb",
}


def agree(system, golden, force_tolerance, tmp_path):
    """Every golden frame, evaluated from the file that is written for the sampler."""
    with h5py.File(golden) as file:
        frames = [
            (x, e, f, {name: part[i] for name, part in file["parts"].items()})
            for i, (x, e, f) in enumerate(zip(file["positions"], file["energy"], file["forces"]))
        ]
    x0, e0, f0, p0 = frames[0]
    known = {"positions": x0, "energy": e0, "forces": f0, "parts": p0}
    write_system(tmp_path / "s.h5", system, known)
    system = read_system(tmp_path / "s.h5")
    for positions, energy, forces, parts in frames:
        got = evaluate(system, positions)
        assert set(got["parts"]) == set(parts)
        assert got["energy"] == pytest.approx(energy, rel=1e-9)
        for name, value in parts.items():
            assert got["parts"][name] == pytest.approx(value, rel=1e-9), name
        assert np.linalg.norm(got["forces"] - forces) < force_tolerance * np.linalg.norm(forces)
    return frames


def test_chignolin_of_mlcg(reference, tmp_path):
    folder = reference / "mlcg"
    system = import_system(Request(str(folder / "schnet_cln_ca_specialized_model_and_config.pt")))
    assert len(system.structures) == 2 and len(system.beads) == 10
    agree(system, folder / "golden_cln_ca.h5", 1e-7, tmp_path)


def test_1enh_of_mlcg(reference, tmp_path):
    folder = reference / "mlcg"
    model = str(folder / "cgschnet_1enh_random_model_and_prior.pt")
    system = import_system(Request(model, str(folder / "cgschnet_1enh_random_configurations.pt")))
    agree(system, folder / "golden_cgschnet_1enh_random.h5", 1e-7, tmp_path)


@pytest.mark.parametrize(
    "model, protein",
    [
        ("chignolin", "cln"),
        ("general", "cln"),
        ("general", "trp"),
        ("general", "ntl9"),
        ("general", "homeodomain"),
    ],
)
def test_torchmd(reference, tmp_path, model, protein):
    pytest.importorskip("MDAnalysis")
    folder = reference / "torchmd"
    request = Request(
        str(folder / f"{model}.ckpt"),
        structures=str(folder / f"{protein}_kcenters_32clusters_coords.xtc"),
        prior=str(folder / "ca_priors.yaml"),
        topology=str(folder / f"{protein}_ca_top_dih.psf"),
        embedding="majewski2023",
    )
    system = import_system(request)
    frames = agree(system, folder / f"golden_{model}_{protein}.h5", 1e-6, tmp_path)
    assert np.array_equal(system.structures[[0, 7, 15, 23]], np.array([f[0] for f in frames[1:]]))
    # the same from a PDB: same terms, and the native structure as golden frame 0
    request.topology, request.structures = str(reference / "structures" / PROTEINS[protein]), None
    native = import_system(request)
    assert np.allclose(native.structures[0], frames[0][0], atol=1e-5)
    for a, b in zip(system.priors, native.priors):
        assert a.name == b.name and np.array_equal(a.atoms, b.atoms) and np.array_equal(a.params, b.params)
    assert np.array_equal(system.beads.type, native.beads.type)


def test_the_other_numbering_is_wrong(reference):
    """The trap: 1ENH from -82 to +57 kcal/mol."""
    folder = reference / "torchmd"
    energies = {}
    for embedding in ("majewski2023", "torchmd-exp"):
        request = Request(
            str(folder / "general.ckpt"),
            prior=str(folder / "ca_priors.yaml"),
            topology=str(reference / "structures" / PROTEINS["homeodomain"]),
            embedding=embedding,
        )
        system = import_system(request)
        energies[embedding] = evaluate(system, system.structures[0])["energy"]
    assert energies["majewski2023"] == pytest.approx(-82.459, abs=0.01)
    assert energies["torchmd-exp"] > 50


def canonical(atoms):
    return {tuple(row) if row[0] < row[-1] else tuple(row[::-1]) for row in atoms.tolist()}


def test_1enh_topology(reference):
    """Five beads: the term lists that we build from the PDB are those of mlcg's own preparation."""
    data = TorchFile(reference / "mlcg" / "cgschnet_1enh_random_configurations.pt").load()
    expected = read_configurations(data)
    protein = read_pdb(reference / "structures" / PROTEINS["homeodomain"])
    molecule = build_molecule(protein, "five-bead")
    assert np.array_equal(molecule.beads.type, expected.types)
    assert np.allclose(molecule.beads.mass, expected.masses, rtol=1e-6)
    assert np.allclose(protein.positions[0][molecule.rows], expected.positions[0], atol=1e-5)
    for name, atoms in expected.lists.items():
        assert len(atoms) == len(molecule.lists[name]), name
        assert {tuple(row) for row in atoms.tolist()} == {
            tuple(row) for row in molecule.lists[name].tolist()
        }, name
    named = {n for n, a in molecule.lists.items() if len(a)} - {"bonds", "angles", "dihedrals"}
    assert named == {n for n, a in expected.lists.items() if len(a)}
    assert len(molecule.lists["non_bonded"]) == 34562 and len(molecule.bonds) == 268


def test_1enh_from_the_pdb_alone(reference):
    """Model and prior with AtomicData, with a PDB, and with the prior from its own file: one energy."""
    folder, energies = reference / "mlcg", []
    model = str(folder / "cgschnet_1enh_random_model_and_prior.pt")
    data = str(folder / "cgschnet_1enh_random_configurations.pt")
    pdb = str(reference / "structures" / PROTEINS["homeodomain"])
    first = import_system(Request(model, data))
    frame = first.structures[0]
    for request in (Request(model, data), Request(model, pdb), Request(model, data, topology=pdb)):
        system = import_system(request)
        assert np.array_equal(system.network.embedding, first.network.embedding)
        system.network = None  # its evaluation is slow, and the same
        energies.append(evaluate(system, frame)["energy"])
    assert energies == pytest.approx([-1095.8171180] * 3, abs=1e-6)
    alone = import_system(Request(str(folder / "cgschnet_prior_5bead.pt"), pdb))
    assert alone.network is None
    assert evaluate(alone, frame)["energy"] == pytest.approx(-1095.8171180, abs=1e-6)


@pytest.mark.parametrize("protein", ["ntl9", "trp", "homeodomain"])
def test_five_bead_prior_knows_other_proteins(reference, protein):
    pdb = str(reference / "structures" / PROTEINS[protein])
    system = import_system(Request(str(reference / "mlcg" / "cgschnet_prior_5bead.pt"), pdb))
    assert np.isfinite(evaluate(system, system.structures[0])["energy"])


def test_chignolin_ca_topology(reference):
    """C-alpha: as in the configurations that came with the specialised model."""
    expected = read_configurations(TorchFile(
        reference / "mlcg" / "schnet_cln_ca_specialized_model_and_config.pt").load()[1])  # fmt: skip
    molecule = build_molecule(read_pdb(reference / "structures" / PROTEINS["cln"]), "ca")
    assert np.array_equal(molecule.beads.type, expected.types)
    for name, atoms in expected.lists.items():
        assert canonical(atoms) == canonical(molecule.lists[name]) and len(atoms) == len(
            molecule.lists[name]
        ), name

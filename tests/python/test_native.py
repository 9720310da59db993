"""RMSD and native contacts, and which beads of a reference they are of."""

import numpy as np
import pytest
from conftest import ROOT
from fake_run import write_pdb, write_run
from flashrex_tools.errors import ImportFailure
from flashrex_tools.native import LAMBDA, STEEPNESS, read_native
from flashrex_tools.run_directory import read_run
from flashrex_tools.system_file import read_system

rms = pytest.importorskip("MDAnalysis.analysis.rms")
HAIRPIN = read_system(ROOT / "configs/demo.h5").structures[0]


@pytest.fixture
def shaken():
    return HAIRPIN + np.random.default_rng(2).normal(scale=1.0, size=(6, 2, 10, 3))


@pytest.fixture
def run(tmp_path, shaken):
    return read_run(write_run(tmp_path / "run", [300, 400], np.zeros((6, 2)), positions=shaken))


@pytest.fixture
def native(run, tmp_path):
    return read_native(write_pdb(tmp_path / "native.pdb", HAIRPIN), run.beads)


def rotated(positions):
    matrix = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    return positions @ (matrix * np.sign(np.linalg.det(matrix))) + [10, -20, 5]


def test_rmsd_is_that_of_mdanalysis_wherever_the_molecule_is(run, native, shaken):
    found, _ = native.measure(run)
    expected = [[rms.rmsd(frame, HAIRPIN, center=True, superposition=True) for frame in row] for row in shaken]
    assert found == pytest.approx(np.array(expected), abs=2e-3)  # the PDB has three decimals
    assert native.rmsd(rotated(shaken)) == pytest.approx(found, abs=1e-4)
    assert native.rmsd(rotated(HAIRPIN)) < 2e-3
    assert native.rmsd(HAIRPIN * [1, 1, -1]) > 1  # a mirror image is another structure


def test_superposed(native, shaken):
    moved = native.superposed(rotated(shaken[0, 0]))
    deviation = np.sqrt(np.mean(np.sum((moved - native.positions) ** 2, axis=1)))
    assert deviation == pytest.approx(float(native.rmsd(shaken[0, 0])), abs=1e-4)


def test_contacts(native, shaken):
    pairs = {(i, j) for i in range(10) for j in range(i + 3, 10) if np.linalg.norm(HAIRPIN[i] - HAIRPIN[j]) < 8}
    assert {tuple(pair) for pair in native.pairs.tolist()} == pairs and len(pairs) > 5
    for frame in (HAIRPIN, shaken[0, 0]):
        expected = [
            1 / (1 + np.exp(STEEPNESS * (np.linalg.norm(frame[i] - frame[j]) - LAMBDA * length)))
            for (i, j), length in zip(native.pairs, native.lengths)
        ]
        assert float(native.contacts(frame)) == pytest.approx(np.mean(expected), abs=1e-6)
    assert native.contacts(HAIRPIN) > 0.97
    assert native.contacts(100 * HAIRPIN) == pytest.approx(0, abs=1e-12)


def test_reference_with_other_numbers_and_more_atoms(run, tmp_path, native):
    path = write_pdb(tmp_path / "shifted.pdb", HAIRPIN, first=101)
    assert read_native(path, run.beads).positions == pytest.approx(native.positions)
    text = (tmp_path / "native.pdb").read_text()
    extra = "ATOM     99  N   TYR A   1       0.000   0.000   0.000  1.00  0.00\n"
    water = "HETATM  100  O   HOH A 201       0.0     0.0     0.0  \nEND"
    (tmp_path / "more.pdb").write_text(extra + text.replace("END", water))
    assert read_native(tmp_path / "more.pdb", run.beads).positions == pytest.approx(native.positions)


def test_real_structure(run, reference):
    """Chignolin from the PDB is the demo's native structure."""
    native = read_native(reference / "structures/chignolin_cln025.pdb", run.beads)
    assert native.rmsd(HAIRPIN) < 0.5


def test_another_molecule_is_refused(run, tmp_path):
    path = write_pdb(tmp_path / "other.pdb", HAIRPIN, names=["ALA"])
    with pytest.raises(ImportFailure, match="residues are not those of the run"):
        read_native(path, run.beads)
    path.write_text(path.read_text().replace(" CA  ALA", " N   TYR"))
    with pytest.raises(ImportFailure):
        read_native(path, run.beads)

"""PDB files, and the molecules built from them."""

import numpy as np
import pytest
from flashrex_tools.errors import ImportFailure
from flashrex_tools.pdb import RESIDUES, read_pdb
from flashrex_tools.topology import build_molecule, guess_mapping, missing_terms, name_beads
from torch_writer import Array, module, save, sum_out

BACKBONE = {
    "N": (0.0, 0.0, 0.0),
    "CA": (1.4, 0.3, 0.0),
    "CB": (1.6, 1.0, 1.2),
    "C": (2.3, -0.8, 0.2),
    "O": (2.2, -2.0, 0.3),
}


def pdb_line(serial, atom, residue, chain, number, xyz, record="ATOM", altloc=" "):
    x, y, z = xyz
    return (
        f"{record:6s}{serial:5d}  {atom:<3s}{altloc}{residue:>3s} {chain}{number:4d}    "
        f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {atom[0]:>2s}"
    )


def peptide(sequence, chain="A", start=1, shift=0.0, skip=(), step=3.5, gap_after=None):
    lines, serial = [], 1
    for i, residue in enumerate(sequence):
        offset = step * i + (20.0 if gap_after is not None and i > gap_after else 0.0)
        for atom, (x, y, z) in BACKBONE.items():
            if (residue == "GLY" and atom == "CB") or (i, atom) in skip:
                continue
            lines.append(pdb_line(serial, atom, residue, chain, start + i, (x + offset, y + shift, z)))
            serial += 1
    return lines


def write(path, lines):
    path.write_text("\n".join([*lines, "END", ""]))
    return str(path)


def test_five_bead_tripeptide(tmp_path):
    molecule = build_molecule(
        read_pdb(write(tmp_path / "a.pdb", peptide(["ALA", "GLY", "PRO"]))), "five-bead"
    )
    beads, lists = molecule.beads, molecule.lists
    assert "".join(n[0] for n in beads.name) == "NCCCONCCONCCCO" and len(beads) == 14
    assert list(beads.type) == [21, 22, 1, 23, 24, 21, 6, 23, 24, 21, 22, 13, 23, 24]
    assert np.allclose(beads.mass * 418.4, [14, 12, 12, 12, 16, 14, 12, 12, 16, 14, 12, 12, 12, 16])
    bonds = [
        (0, 1),
        (1, 2),
        (1, 3),
        (3, 4),
        (3, 5),
        (5, 6),
        (6, 7),
        (7, 8),
        (7, 9),
        (9, 10),
        (10, 11),
        (10, 12),
        (12, 13),
    ]
    assert list(map(tuple, molecule.bonds)) == bonds
    expected = {
        "GLY_phi": [[3, 5, 6, 7]],
        "PRO_phi": [[7, 9, 10, 12]],
        "ALA_psi": [[0, 1, 3, 5]],
        "GLY_psi": [[5, 6, 7, 9]],
        "pro_omega": [[6, 7, 9, 10]],
        "non_pro_omega": [[1, 3, 5, 6]],
        "gamma_1": [[0, 2, 3, 1], [9, 11, 12, 10]],  # glycine has no CB
        "gamma_2": [[1, 4, 5, 3], [6, 8, 9, 7]],
        "n_term_bonds": [[0, 1], [1, 2], [1, 3], [3, 4], [3, 5]],
        "bulk_bonds": [[5, 6], [6, 7], [7, 8]],
        "c_term_bonds": [[7, 9], [9, 10], [10, 11], [10, 12], [12, 13]],
    }
    for name, atoms in expected.items():
        assert lists[name].tolist() == atoms, name
    assert {n for n, a in lists.items() if n.endswith(("_phi", "_psi")) and len(a)} < set(expected)
    # at least five bonds apart, in different residues
    assert [0, 9] in lists["non_bonded"].tolist() and [0, 6] not in lists["non_bonded"].tolist()
    assert [2, 7] in lists["non_bonded"].tolist() and [2, 6] not in lists["non_bonded"].tolist()


def test_ca(tmp_path):
    molecule = build_molecule(
        read_pdb(write(tmp_path / "a.pdb", peptide(["ALA", "HSD", "MSE", "NLE", "TYR"]))), "ca"
    )
    assert list(molecule.beads.type) == [1, 7, 11, 10, 20] and molecule.beads.residue_name[1] == "HSD"
    assert molecule.lists["bonds"].tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert molecule.lists["angles"].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert molecule.lists["dihedrals"].tolist() == [[0, 1, 2, 3], [1, 2, 3, 4]]
    assert molecule.lists["non_bonded"].tolist() == [[0, 3], [0, 4], [1, 4]]


def test_two_chains(tmp_path):
    lines = peptide(["ALA", "VAL", "LEU"], "A") + ["TER"] + peptide(["SER", "THR"], "B", 1, 8.0)
    for mapping, bonds in (("ca", [[0, 1], [1, 2], [3, 4]]), ("five-bead", None)):
        molecule = build_molecule(read_pdb(write(tmp_path / "a.pdb", lines)), mapping)
        chains = np.array(molecule.beads.chain)
        assert set(chains) == {"A", "B"}
        for name, atoms in molecule.lists.items():
            if name != "non_bonded" and len(atoms):
                assert all(len(set(chains[row])) == 1 for row in atoms), name
        if bonds:
            assert molecule.bonds.tolist() == bonds
            assert [0, 3] in molecule.lists["non_bonded"].tolist()
    assert len(molecule.lists["non_pro_omega"]) == 3 and len(molecule.lists["SER_phi"]) == 0


def test_pdb_details(tmp_path):
    lines = peptide(["ALA", "VAL"])
    other = pdb_line(90, "CB", "ALA", "A", 1, (9, 9, 9), altloc="B")
    lines.insert(3, other)
    lines += [
        pdb_line(91, "O", "HOH", "A", 99, (5, 5, 5), "HETATM"),
        pdb_line(92, "ZN", "ZN", "A", 98, (1, 1, 1), "HETATM"),
    ]
    models = []
    for i in range(3):
        moved = peptide(["ALA", "VAL"], shift=float(i))
        moved.insert(3, other)
        models += [f"MODEL     {i + 1:4d}", *moved, "ENDMDL"]
    single = read_pdb(write(tmp_path / "a.pdb", lines))
    assert single.positions.shape == (1, 10, 3) and len(single.residues) == 2
    assert single.positions[0, 2].tolist() == list(BACKBONE["CB"])
    several = read_pdb(write(tmp_path / "b.pdb", models))
    assert several.positions.shape == (3, 10, 3)
    assert np.allclose(several.positions[2] - several.positions[0], [0, 2, 0])


@pytest.mark.parametrize(
    "lines, mapping, message",
    [
        (peptide(["ALA", "VAL"], skip=[(1, "CB")]), "five-bead", "VAL 2 of chain A has no atom CB"),
        (peptide(["ALA", "XYZ"]), "ca", "XYZ 2"),
        (peptide(["ALA", "VAL", "SER"], gap_after=0), "five-bead", "gap"),
        (peptide(["ALA", "VAL", "SER"], gap_after=1), "ca", "SER 3 .* gap"),
        ([], "ca", "no protein atoms"),
        (["ATOM      1  CA  ALA A   1      xx.xxx   0.000   0.000"], "ca", "a.pdb:1"),
        (peptide(["ALA"]) + ["ENDMDL"] + peptide(["ALA", "VAL"]), "ca", "model 2"),
    ],
)
def test_refused(tmp_path, lines, mapping, message):
    with pytest.raises(ImportFailure, match=message):
        build_molecule(read_pdb(write(tmp_path / "a.pdb", lines)), mapping)


def test_guess_mapping():
    assert guess_mapping(["bulk_bonds", "ALA_phi"], "x") == "five-bead"
    assert guess_mapping(["bonds", "angles", "non_bonded"], "x") == "ca"
    with pytest.raises(ImportFailure, match="repulsion"):
        guess_mapping(["bonds", "repulsion"], "x")


def test_missing_terms(tmp_path):
    molecule = build_molecule(
        read_pdb(write(tmp_path / "a.pdb", peptide(["ALA", "VAL", "SER"]))), "five-bead"
    )
    names = ["n_term_bonds", "bulk_bonds", "c_term_bonds", "VAL_phi", "non_pro_omega", "gamma_1"]
    assert missing_terms(names, molecule.lists) == ["SER_phi"]
    assert missing_terms([*names, "SER_phi"], molecule.lists) == []
    assert missing_terms(["bonds"], molecule.lists) == []
    assert missing_terms(["bulk_bonds"], molecule.lists) == ["n_term_bonds", "c_term_bonds"]


def test_names_from_types(tmp_path):
    molecule = build_molecule(
        read_pdb(write(tmp_path / "a.pdb", peptide(["ALA", "GLY", "TRP"]))), "five-bead"
    )
    named = name_beads(molecule.beads.type, molecule.beads.mass)
    assert named.name == molecule.beads.name and named.residue_name == molecule.beads.residue_name
    assert list(named.residue_index) == list(molecule.beads.residue_index)
    ca = name_beads(np.arange(1, 21), np.ones(20))
    assert ca.residue_name == RESIDUES and set(ca.name) == {"CA"}
    assert set(name_beads(np.array([21, 30]), np.ones(2)).name) == {"X"}


def prior(order, kind, tables):
    return module(f"mlcg.nn.prior.{kind}", buffers={k: Array(v) for k, v in tables.items()}, order=order)


def test_import_without_atomic_data(tmp_path):
    from flashrex_tools.importer import Request, import_system
    from flashrex_tools.reference_energy import evaluate

    full = np.ones((21, 21), np.float32)
    bonds = prior(2, "harmonic.GeneralBonds", {"x_0": 3.8 * full, "k": full})
    repulsion = prior(2, "repulsion.Repulsion", {"sigma": 4 * full})
    save(tmp_path / "m.pt", sum_out({"bonds": bonds, "non_bonded": repulsion}))
    path = write(tmp_path / "a.pdb", peptide(["ALA", "VAL", "SER", "LEU"]))
    system = import_system(Request(str(tmp_path / "m.pt"), path))
    parts = evaluate(system, system.structures[0])["parts"]
    assert parts["bonds"] == pytest.approx(3 * 0.3**2, rel=1e-5)
    assert parts["non_bonded"] == pytest.approx((4 / 10.5) ** 6, rel=1e-5)
    half = full.copy()
    half[18, 16] = half[16, 18] = 0  # nothing is known about VAL-SER bonds
    unknown = prior(2, "harmonic.GeneralBonds", {"x_0": 3.8 * half, "k": half})
    save(tmp_path / "m.pt", sum_out({"bonds": unknown}))
    with pytest.raises(ImportFailure, match="no parameters for 1 terms"):
        import_system(Request(str(tmp_path / "m.pt"), path))


def test_pdb_cut_at_every_length(tmp_path):
    """Refused, or the atoms that are whole: never a part of a coordinate."""
    path = tmp_path / "a.pdb"
    text = "\n".join([*peptide(["ALA", "GLY", "PRO"]), "END", ""])
    path.write_text(text)
    whole, read = read_pdb(path).positions[0], set()
    for n in range(len(text)):
        path.write_text(text[:n])
        try:
            positions = read_pdb(path).positions[0]
            build_molecule(read_pdb(path), "five-bead")
        except ImportFailure:
            continue
        assert np.array_equal(positions, whole[: len(positions)])
        assert len(positions) <= text[:n].count("ATOM")
        read.add(len(positions))
    assert len(whole) in read and len(read) > 1

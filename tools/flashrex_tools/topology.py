"""Coarse-grained molecules from a protein structure: which beads, of which types, and which terms.

Two resolutions: five beads per residue (N, CA, CB, C, O; CGSchNet, Charron et al. 2025) and one bead per
residue (CA). Term lists have the names and members that mlcg's own preparation gives them.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from .errors import ImportFailure
from .pdb import RESIDUES
from .system import AMU, Beads

FIVE_BEAD_ATOMS = ("N", "CA", "CB", "C", "O")
_BACKBONE_TYPES = {"N": 21, "CA": 22, "C": 23, "O": 24}
_ATOM_MASSES = {"N": 14.0, "CA": 12.0, "CB": 12.0, "C": 12.0, "O": 16.0}
_LONGEST_BOND = {"five-bead": 2.5, "ca": 5.0}  # Angstrom, between consecutive residues
_MIN_PATH = {"five-bead": 5, "ca": 3}  # bonds between the beads of a non-bonded pair


@dataclass
class Molecule:
    """Beads with names, their bonds and term lists, and where they lie in the structure file's atoms."""

    mapping: str  # five-bead or ca
    beads: Beads
    rows: np.ndarray  # row of Protein.positions of every bead
    bonds: np.ndarray  # [n_bond][2]
    lists: dict  # {term name: [n_term][order]}
    standard: list  # name of every bead's residue among the twenty amino acids


def build_molecule(protein, mapping):
    """The Molecule of a Protein at resolution `mapping`; refuses unknown residues, missing atoms and gaps."""
    index, entries = {}, []  # index[residue number in file order, atom name] = bead
    residue_of, n_residue, chain_ends = [], 0, []
    for chain in protein.chains:
        start = n_residue
        for residue in chain:
            for atom in _atoms(residue, mapping):
                if atom not in residue.atoms:
                    raise ImportFailure(f"residue {residue.label} has no atom {atom}")
                index[n_residue, atom] = len(entries)
                entries.append((residue, atom))
                residue_of.append(n_residue)
            n_residue += 1
        chain_ends.append((start, n_residue))
    beads = Beads(
        type=np.array([_type(residue, atom, mapping) for residue, atom in entries]),
        mass=np.array([_ATOM_MASSES[atom] for _, atom in entries]) * AMU,
        name=[atom for _, atom in entries],
        residue_name=[residue.name for residue, _ in entries],
        residue_index=np.array([residue.number for residue, _ in entries]),
        chain=[residue.chain.strip() or "A" for residue, _ in entries],
    )
    rows = np.array([residue.atoms[atom] for residue, atom in entries])
    residues = protein.residues
    bonds = _bonds(index, residues, chain_ends, mapping)
    _check_gaps(protein.positions[0][rows], bonds, residue_of, residues, mapping)
    lists = _paths(bonds, residue_of, chain_ends, _MIN_PATH[mapping])
    lists.update(_five_bead_torsions(index, residues, chain_ends) if mapping == "five-bead" else {})
    return Molecule(mapping, beads, rows, bonds, lists, [residue.standard for residue, _ in entries])


def guess_mapping(names, path):
    """The resolution that a prior with terms of these names is for."""
    backbone = [n for n in names if n.endswith(("_phi", "_psi", "omega")) or n in ("gamma_1", "gamma_2")]
    if backbone:
        return "five-bead"
    known = {"bonds", "angles", "dihedrals", "non_bonded"} | {
        f"{t}_{k}" for t in _ENDS for k in ("bonds", "angles")
    }
    unknown = sorted(set(names) - known)
    if unknown:
        raise ImportFailure(
            f"{path}: the terms of prior {unknown[0]} cannot be built from a structure; give --structures "
            "with the AtomicData that belong to the model"
        )
    return "ca"


def missing_terms(names, lists):
    """Names of non-empty lists without a prior, though the prior has others of their family: all of phi, all
    bonds at the chain's ends and inside, ..."""
    families = {_family(name) for name in names}
    out = []
    for name, atoms in lists.items():
        whole = name in ("bonds", "angles", "dihedrals") or _family(name) in names
        if len(atoms) and name not in names and not whole and _family(name) in families:
            out.append(name)
    return out


def _family(name):
    return name if name in ("gamma_1", "gamma_2", "non_bonded") else name.rpartition("_")[2]


def _atoms(residue, mapping):
    if residue.standard not in (*RESIDUES, "NLE"):
        raise ImportFailure(f"residue {residue.label} is not one of the twenty amino acids")
    if mapping == "ca":
        return ("CA",)
    return tuple(a for a in FIVE_BEAD_ATOMS if not (a == "CB" and residue.standard == "GLY"))


def _type(residue, atom, mapping):
    name = {"NLE": "LEU"}.get(residue.standard, residue.standard)  # norleucine counts as leucine
    if mapping == "ca" or atom == "CB" or (atom == "CA" and name == "GLY"):
        return RESIDUES.index(name) + 1
    return _BACKBONE_TYPES[atom]


def _bonds(index, residues, chain_ends, mapping):
    bonds = []
    for start, end in chain_ends:
        for r in range(start, end):
            within = [("N", "CA"), ("CA", "CB"), ("CA", "C"), ("C", "O")] if mapping == "five-bead" else []
            bonds += [(index[r, a], index[r, b]) for a, b in within if (r, b) in index]
            if r + 1 < end:
                last, first = ("C", "N") if mapping == "five-bead" else ("CA", "CA")
                bonds.append((index[r, last], index[r + 1, first]))
    return np.array(sorted(bonds), int).reshape(-1, 2)


def _check_gaps(positions, bonds, residue_of, residues, mapping):
    for a, b in bonds:
        length = float(np.linalg.norm(positions[b] - positions[a]))
        if length > _LONGEST_BOND[mapping]:
            here, there = residues[residue_of[a]], residues[residue_of[b]]
            raise ImportFailure(
                f"residues {here.label} and {there.label} follow each other but are {length:.1f} A apart: "
                "the chain has a gap"
            )


_ENDS = ("n_term", "c_term", "bulk")


def _paths(bonds, residue_of, chain_ends, min_path):
    """Bonds, angles, chains of four beads and non-bonded pairs, as a whole and split by chain ends."""
    n_bead, residue_of = len(residue_of), np.array(residue_of)
    near = [[] for _ in range(n_bead)]
    for a, b in bonds:
        near[a].append(b)
        near[b].append(a)
    angles = sorted((i, j, k) for j in range(n_bead) for i in near[j] for k in near[j] if i < k)
    chains = sorted(
        (i, j, k, m) for j, k in bonds for i in near[j] for m in near[k] if i != k and m != j and i != m
    )
    pairs = []
    for i in range(n_bead):
        close = _within(near, i, min_path - 1)
        pairs += [(i, j) for j in range(i + 1, n_bead) if j not in close and residue_of[i] != residue_of[j]]
    lists = {
        "bonds": np.array(bonds, int).reshape(-1, 2),
        "angles": np.array(angles, int).reshape(-1, 3),
        "dihedrals": np.array(chains, int).reshape(-1, 4),
        "non_bonded": np.array(pairs, int).reshape(-1, 2),
    }
    long_chains = [(start, end) for start, end in chain_ends if end - start > 1]
    first = np.isin(residue_of, [start for start, _ in long_chains])
    last = np.isin(residue_of, [end - 1 for _, end in long_chains])
    for name in ("bonds", "angles"):
        atoms = lists[name]
        n_term, c_term = first[atoms].any(axis=1), last[atoms].any(axis=1)
        lists[f"n_term_{name}"] = atoms[n_term]
        lists[f"bulk_{name}"] = atoms[~n_term & ~c_term]
        lists[f"c_term_{name}"] = atoms[c_term]
    return lists


def _within(near, start, distance):
    """Beads at most `distance` bonds away from `start`."""
    seen, queue = {start: 0}, deque([start])
    while queue:
        i = queue.popleft()
        if seen[i] < distance:
            for j in near[i]:
                if j not in seen:
                    seen[j] = seen[i] + 1
                    queue.append(j)
    return seen


# name: the four atoms and the residue of each, relative to the residue that the term belongs to
_TORSIONS = {
    "phi": (("C", "N", "CA", "C"), (-1, 0, 0, 0)),
    "psi": (("N", "CA", "C", "N"), (0, 0, 0, 1)),
    "omega": (("CA", "C", "N", "CA"), (-1, -1, 0, 0)),
    "gamma_1": (("N", "CB", "C", "CA"), (0, 0, 0, 0)),
    "gamma_2": (("CA", "O", "N", "C"), (0, 0, 1, 0)),
}


def _five_bead_torsions(index, residues, chain_ends):
    lists = {f"{residue}_{kind}": [] for kind in ("phi", "psi") for residue in RESIDUES}
    lists.update({"pro_omega": [], "non_pro_omega": [], "gamma_1": [], "gamma_2": []})
    for kind, (atoms, offsets) in _TORSIONS.items():
        for start, end in chain_ends:
            for r in range(start, end):
                if not all(start <= r + o < end and (r + o, a) in index for a, o in zip(atoms, offsets)):
                    continue
                residue = {"NLE": "LEU"}.get(residues[r].standard, residues[r].standard)
                name = f"{residue}_{kind}" if kind in ("phi", "psi") else kind
                if kind == "omega":
                    name = "pro_omega" if residue == "PRO" else "non_pro_omega"
                lists[name].append([index[r + o, a] for a, o in zip(atoms, offsets)])
    return {name: np.array(atoms, int).reshape(-1, 4) for name, atoms in lists.items()}


def name_beads(types, masses):
    """Beads for types of unknown origin: named where the types follow one of the two resolutions."""
    atoms = _five_bead_sequence(types)
    if atoms is None and types.size and types.min() >= 1 and types.max() <= len(RESIDUES):
        atoms = [("CA", RESIDUES[t - 1], r) for r, t in enumerate(types, start=1)]
    if atoms is None:
        atoms = [("X", "UNK", r) for r in range(1, types.size + 1)]
    names, residues, numbers = zip(*atoms)
    return Beads(types, masses, list(names), list(residues), np.array(numbers), ["A"] * types.size)


def _five_bead_sequence(types):
    """(atom, residue, number) of each bead, or None if the types are not whole residues N CA [CB] C O."""
    out, at, number = [], 0, 0
    while at < len(types):
        head = [int(t) for t in types[at : at + 5]]
        number += 1
        if head[:4] == [21, RESIDUES.index("GLY") + 1, 23, 24]:
            names, residue = ("N", "CA", "C", "O"), "GLY"
        elif len(head) == 5 and head[:2] + head[3:] == [21, 22, 23, 24] and 1 <= head[2] <= len(RESIDUES):
            names, residue = FIVE_BEAD_ATOMS, RESIDUES[head[2] - 1]
        else:
            return None
        out += [(name, residue, number) for name in names]
        at += len(names)
    return out

"""Reading PDB files: the atoms of a protein and their positions in every model."""

from dataclasses import dataclass

import numpy as np

from .errors import ImportFailure

# In the order of mlcg's bead types 1-20.
RESIDUES = [
    "ALA", "CYS", "ASP", "GLU", "PHE", "GLY", "HIS", "ILE", "LYS", "LEU",
    "MET", "ASN", "PRO", "GLN", "ARG", "SER", "THR", "VAL", "TRP", "TYR",
]  # fmt: skip
ALIASES = {
    "HSD": "HIS", "HSE": "HIS", "HSP": "HIS", "HID": "HIS", "HIE": "HIS", "HIP": "HIS",
    "CYX": "CYS", "CYM": "CYS", "ASH": "ASP", "GLH": "GLU", "LYN": "LYS", "MSE": "MET",
}  # fmt: skip
_SOLVENT = {"HOH", "WAT", "DOD", "TIP3", "TIP", "SOL", "NA", "CL", "NA+", "CL-", "SOD", "CLA"}


def standard_name(residue):
    """A residue's name; protonation states count as their parent."""
    return ALIASES.get(residue, residue)


@dataclass
class Residue:
    name: str  # as in the file
    number: int
    chain: str
    atoms: dict  # {atom name: row of Protein.positions}

    @property
    def label(self):
        return f"{self.name} {self.number}{' of chain ' + self.chain if self.chain.strip() else ''}"

    @property
    def standard(self):
        return standard_name(self.name)


@dataclass
class Protein:
    chains: list  # lists of Residue
    positions: np.ndarray  # [n_model][n_atom][3], atoms as in the file

    @property
    def residues(self):
        return [residue for chain in self.chains for residue in chain]


def read_pdb(path):
    """Protein of a PDB file: without solvent, and of alternate locations the first. Residues that are no
    amino acids raise ImportFailure where they are used."""
    models, rows = [], []
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            record = line[:6].rstrip()
            if record in ("ENDMDL", "END"):
                if rows:
                    models.append(rows)
                rows = []
            elif record in ("ATOM", "HETATM"):
                name, residue = line[12:16].strip(), line[17:21].strip()
                foreign = record == "HETATM" and standard_name(residue) not in (*RESIDUES, "NLE")
                if residue in _SOLVENT or foreign:
                    continue
                try:
                    if len(line.rstrip()) < 54:  # in the middle of a coordinate, perhaps
                        raise ValueError
                    key = (line[21:22], int(line[22:26]), line[26:27])
                    position = [float(line[at : at + 8]) for at in (30, 38, 46)]
                except ValueError:
                    raise ImportFailure(f"{path}:{number}: an atom line that cannot be read") from None
                rows.append((key, name, residue, position))
    if rows:
        models.append(rows)
    return _protein(path, models)


def _protein(path, models):
    if not models:
        raise ImportFailure(f"{path}: no protein atoms")
    kept = [_first_locations(rows) for rows in models]
    names = [[atom[:3] for atom in rows] for rows in kept]
    for i, other in enumerate(names[1:], start=2):
        if other != names[0]:
            raise ImportFailure(f"{path}: model {i} has other atoms than model 1")
    chains, residues = {}, {}
    for row, (key, name, residue, _) in enumerate(kept[0]):
        if key not in residues:
            residues[key] = Residue(residue, key[1], key[0], {})
            chains.setdefault(key[0], []).append(residues[key])
        if residues[key].name != residue:
            raise ImportFailure(f"{path}: residue {key[1]} is both {residues[key].name} and {residue}")
        residues[key].atoms[name] = row
    positions = np.array([[atom[3] for atom in rows] for rows in kept], np.float64)
    return Protein(list(chains.values()), positions)


def _first_locations(rows):
    """One location of every atom: the first in the file."""
    out = {}
    for atom in rows:
        out.setdefault(atom[:2], atom)
    return list(out.values())

"""torchmd's prior force field (YAML) and topology (PSF, or the C-alphas of a PDB) to explicit terms.

bonds: k0 (r - req)^2. repulsion: 4 sqrt(eps_i eps_j) ((s_i + s_j)/2)^6 / r^6 over all pairs not bonded.
dihedrals: sum phi_k (1 + cos(per phi - phase)), phi as torchmd's evaluate_torsion has it (the IUPAC sign).
"""

import os
import re
from dataclasses import dataclass
from itertools import product

import numpy as np

from .errors import ImportFailure, describe
from .pdb import RESIDUES
from .system import AMU, Beads, Term

_ONE_LETTER = dict(zip(RESIDUES, "ACDEFGHIKLMNPQRSTVWY"))
_BASE = {
    "ALA": 1, "GLY": 2, "PHE": 3, "TYR": 4, "ASP": 5, "GLU": 6, "TRP": 7, "PRO": 8, "ASN": 9, "GLN": 10,
    "HIS": 11, "HSD": 11, "HSE": 11, "SER": 12, "THR": 13, "VAL": 14, "MET": 15, "CYS": 16, "NLE": 17,
}  # fmt: skip

# Rows of the embedding by residue name. The two published families differ in the last four.
EMBEDDINGS = {
    "majewski2023": {**_BASE, "ARG": 19, "LYS": 20, "LEU": 21, "ILE": 22},
    "torchmd-exp": {**_BASE, "ARG": 18, "LYS": 19, "LEU": 20, "ILE": 21},
}


@dataclass
class Chain:
    """What a topology file says: atoms with their force-field types, bonds and dihedrals."""

    atom_names: list
    atom_types: list
    residue_names: list
    residue_numbers: list
    segments: list
    bonds: np.ndarray
    dihedrals: np.ndarray


def read_psf(path):
    """Chain of a PSF file. Angles, impropers and cross terms are refused."""
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().split("\n")
    sections, name = {}, None
    for line in lines[1:]:
        header = re.match(r"\s*(\d+)[\d\s]*!(\w+)", line)
        if header:
            name = header.group(2)
            sections[name] = (int(header.group(1)), [])
        elif name and line.strip():
            sections[name][1].append(line.split())
    try:
        atoms = sections["NATOM"][1]
        if len(atoms) != sections["NATOM"][0] or any(len(fields) < 8 for fields in atoms):
            raise ValueError
        chain = Chain(
            atom_names=[a[4] for a in atoms],
            atom_types=[a[5] for a in atoms],
            residue_names=[a[3] for a in atoms],
            residue_numbers=[int(a[2]) for a in atoms],
            segments=[a[1] for a in atoms],
            bonds=_psf_list(sections, "NBOND", 2, len(atoms)),
            dihedrals=_psf_list(sections, "NPHI", 4, len(atoms)),
        )
        counts = {key: sections[key][0] for key in ("NTHETA", "NIMPHI")}
        counts["NCRTERM"] = sections.get("NCRTERM", (0,))[0]
        charged = [i for i, a in enumerate(atoms) if float(a[6]) != 0]
    except (KeyError, ValueError, IndexError, OverflowError):
        raise ImportFailure(f"{path}: not a complete PSF file") from None
    for key, count in counts.items():
        if count:
            raise ImportFailure(f"{path}: {count} entries of {key}, which are not understood")
    if charged:
        raise ImportFailure(f"{path}: atom {charged[0] + 1} has a charge, which is not understood")
    return chain


def _psf_list(sections, name, order, n_atom):
    count, lines = sections[name]
    values = np.array([int(x) for line in lines for x in line], int)
    if values.size != order * count or (values.size and (values.min() < 1 or values.max() > n_atom)):
        raise ValueError
    return values.reshape(-1, order) - 1


def chain_of(molecule):
    """Chain of a C-alpha Molecule (topology.py); atom types are CA + one-letter code, as in torchmd-cg."""
    names = [n if n in _ONE_LETTER else None for n in molecule.standard]
    if None in names:
        at = names.index(None)
        raise ImportFailure(
            f"residue {molecule.beads.residue_name[at]} has no torchmd atom type; give a PSF file"
        )
    return Chain(
        atom_names=molecule.beads.name,
        atom_types=["CA" + _ONE_LETTER[n] for n in names],
        residue_names=names,
        residue_numbers=list(molecule.beads.residue_index),
        segments=molecule.beads.chain,
        bonds=molecule.bonds,
        dihedrals=molecule.lists["dihedrals"],
    )


def load_embedding(name):
    """{residue name: row} of a named numbering or of a YAML file of that form."""
    if name is None:
        raise ImportFailure(
            "torchmd checkpoints do not say how they number residues, and two numberings are in use that "
            "differ in ARG, LYS, LEU and ILE, so that the wrong one gives wrong energies without any sign: "
            "give --embedding majewski2023, torchmd-exp or a YAML file of lines 'RESIDUE: number'"
        )
    if name in EMBEDDINGS:
        return EMBEDDINGS[name]
    if not os.path.exists(name):
        raise ImportFailure(f"--embedding {name}: neither {' nor '.join(EMBEDDINGS)}, and no such file")
    table = load_yaml(name)
    bad = [
        f"{k}: {v}"
        for k, v in table.items()
        if not isinstance(k, str) or type(v) is not int or not 0 <= v < 1000000
    ]
    if bad:
        raise ImportFailure(f"{name}: {bad[0]} is not of the form 'RESIDUE: number'")
    return table


def load_yaml(path):
    """A YAML file that holds a mapping."""
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            out = yaml.safe_load(file)
    except yaml.YAMLError as error:
        raise ImportFailure(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    except RecursionError:
        raise ImportFailure(f"{path}: nested too deeply") from None
    except UnicodeDecodeError:
        raise ImportFailure(f"{path}: not a text file") from None
    except OSError as error:
        raise ImportFailure(f"{path}: {error.strerror or error}") from None
    if not isinstance(out, dict):
        raise ImportFailure(f"{path}: a YAML mapping was expected")
    return out


def read_beads(chain, field, embedding):
    """Beads of a Chain with masses from the force field and types from the numbering of residues."""
    unknown = [r for r in chain.residue_names if r not in embedding]
    if unknown:
        raise ImportFailure(f"the residue numbering has no entry for {unknown[0]}")
    masses = [_single(field, "masses", a) for a in chain.atom_types]
    if not all(isinstance(m, (int, float)) for m in masses):
        raise ImportFailure("the force field has a mass that is not a number")
    return Beads(
        type=np.array([embedding[r] for r in chain.residue_names], int),
        mass=np.array(masses, float) * AMU,
        name=list(chain.atom_names),
        residue_name=list(chain.residue_names),
        residue_index=np.array(chain.residue_numbers, int),
        chain=list(chain.segments),
    )


def read_terms(chain, field, notes):
    """Terms bonds, dihedrals and repulsion of a torchmd force field (loaded YAML) on a Chain."""
    known = {"atomtypes", "bonds", "dihedrals", "lj", "masses", "electrostatics"}
    for section, content in field.items():
        if section not in known and content:
            raise ImportFailure(f"the force field has a section that is not understood: {section}")
    for atom in sorted(set(chain.atom_types)):
        if field.get("electrostatics") and _number(_single(field, "electrostatics", atom), "charge"):
            raise ImportFailure(f"the force field gives {atom} a charge, which is not understood")
    terms = []
    for section, atoms, build in (("bonds", chain.bonds, _bond), ("dihedrals", chain.dihedrals, _dihedral)):
        if not field.get(section):
            if len(atoms):
                notes.append(f"the force field has no {section}: {len(atoms)} of the topology are not used")
            continue
        if not len(atoms):
            notes.append(f"the topology lists no {section}: those of the force field are not used")
            continue
        rows = [build(_look_up(field[section], section, [chain.atom_types[i] for i in a])) for a in atoms]
        width = max(map(len, rows))
        params = np.array([row + [0.0] * (width - len(row)) for row in rows])
        feature, form = ("distance", "harmonic") if section == "bonds" else ("torsion", "fourier")
        terms.append(Term(section, feature, form, atoms, params))
    if field.get("lj"):
        terms.append(_repulsion(chain, field))
    else:
        notes.append("the force field has no section lj: there is no repulsion")
    return terms


def _repulsion(chain, field):
    entries = [_single(field, "lj", atom) for atom in chain.atom_types]
    eps = np.array([_number(entry, "epsilon") for entry in entries])
    size = np.array([_number(entry, "sigma") for entry in entries])
    if np.any(eps < 0):
        raise ImportFailure("the force field has a negative epsilon")
    bonded = {(min(a, b), max(a, b)) for a, b in chain.bonds.tolist()}
    pairs = np.array(
        [p for p in zip(*np.triu_indices(len(eps), 1)) if (int(p[0]), int(p[1])) not in bonded], int
    )
    i, j = pairs.reshape(-1, 2).T
    sigma = (4 * np.sqrt(eps[i] * eps[j])) ** (1 / 6) * (size[i] + size[j]) / 2
    return Term("repulsion", "distance", "repulsion", pairs.reshape(-1, 2), sigma[:, None])


def _single(field, section, atom):
    table = field.get(section)
    if not isinstance(table, dict) or atom not in table:
        raise ImportFailure(f"the force field has no {section} for atom type {atom}")
    return table[atom]


def _number(entry, key):
    value = entry.get(key) if isinstance(entry, dict) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ImportFailure(f"the force field has {key} = {describe(value)} where a number was expected")
    if not np.isfinite(float(value)):
        raise ImportFailure(f"the force field has {key} = {value}")
    return float(value)


def _look_up(table, section, types):
    """The entry for a tuple of atom types: either direction, X for any type, the most specific one first."""
    masks = sorted(product([False, True], repeat=len(types)), key=sum)
    forms = [
        ["X" if x else t for t, x in zip(order, mask)] for order in (types, types[::-1]) for mask in masks
    ]
    for form in sorted(forms, key=lambda f: f.count("X")):
        key = f"({', '.join(form)})"
        if key in table:
            return table[key]
    raise ImportFailure(f"the force field has no {section} for ({', '.join(types)})")


def _bond(entry):
    return [_number(entry, "k0"), _number(entry, "req")]


def _dihedral(entry):
    """Fourier parameters: k (1 + cos(m phi - p)) = k + k sin p sin(m phi) + k cos p cos(m phi)."""
    terms = entry.get("terms") if isinstance(entry, dict) else None
    if not isinstance(terms, list) or not terms:
        raise ImportFailure("the force field has a dihedral without terms")
    series = {}
    v0 = 0.0
    for term in terms:
        k, phase, period = _number(term, "phi_k"), np.radians(_number(term, "phase")), _number(term, "per")
        if period != int(period) or not 1 <= period <= 20:
            raise ImportFailure(
                f"the force field has a dihedral of periodicity {period:g}, which is not understood"
            )
        v0 += k
        old = series.get(int(period), (0.0, 0.0))
        series[int(period)] = (old[0] + k * np.sin(phase), old[1] + k * np.cos(phase))
    return [v0, *(x for m in range(1, max(series) + 1) for x in series.get(m, (0.0, 0.0)))]

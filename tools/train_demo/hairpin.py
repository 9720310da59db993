"""The structure-based model of a beta-hairpin that the demo network learns from, in flashrex's prior forms.

Ten C-alpha beads with the sequence and the native geometry of the chignolin variant CLN025 (Honda et al.,
J. Am. Chem. Soc. 2008, 130, 15327). V = bonds + angles + dihedrals + repulsion + contacts, where the contacts
are Gaussian wells at native distances (Lammert, Schug, Onuchic, Proteins 2009, 77, 881). The demo model keeps
the first four as priors and has its network in the place of the contacts. The dihedrals have to stay: a
SchNet sees distances only and cannot tell a hairpin from its mirror image.

Units: Angstrom, kcal/mol.
"""

import numpy as np
from flashrex_tools.structures import extended_chain
from flashrex_tools.system import AMU, Beads, System, Term

SEQUENCE = ("TYR", "TYR", "ASP", "PRO", "GLU", "THR", "GLY", "THR", "TRP", "TYR")
RESIDUES = ("ASP", "GLU", "GLY", "PRO", "THR", "TRP", "TYR")  # rows of the embedding

# C-alpha positions of the crystal structure of CLN025 about their centre, to 0.01 A.
NATIVE = np.array([
    [5.83, -0.04, 2.26], [2.69, -1.31, 0.51], [-0.63, -0.15, 1.92], [-2.88, -3.03, 3.03], [-6.07, -1.40, 1.7],
    [-4.91, 0.12, -1.57], [-1.85, -2.01, -2.47], [0.13, 1.07, -3.39], [3.65, 1.99, -2.27], [4.03, 4.78, 0.28],
])  # fmt: skip
N_BEAD = len(NATIVE)

BOND_LENGTH, BOND_K = 3.8, 50.0
ANGLE_K, ANGLE_WALL = 10.0, 0.5
DIHEDRAL_K1, DIHEDRAL_K3 = 0.8, 0.4
REPULSION_SIGMA = 4.2
CONTACT_DISTANCE, CONTACT_DEPTH, CONTACT_WIDTH = 6.6, 1.9, 0.4
FARTHEST_NEIGHBOUR = 2  # beads this close along the chain neither repel nor attract each other


def _chain(order):
    return np.arange(N_BEAD - order + 1)[:, None] + np.arange(order)


def _distance(pairs):
    return np.linalg.norm(NATIVE[pairs[:, 1]] - NATIVE[pairs[:, 0]], axis=1)


def _far_pairs():
    i, j = np.triu_indices(N_BEAD, FARTHEST_NEIGHBOUR + 1)
    return np.stack([i, j], axis=1)


def _cosine(triples):
    a, b, c = (NATIVE[triples[:, k]] for k in range(3))
    dot = np.sum((a - b) * (c - b), axis=1)
    return dot / np.linalg.norm(a - b, axis=1) / np.linalg.norm(c - b, axis=1)


def _bending(c):
    """V(x) = wall / (1 - x^2) + K (x - c)^2 + linear terms, of the cosine x, that put its minimum 0 at c.

    The wall keeps three beads from a straight line, where the torsion has no derivative.
    """
    slope, height = 2 * ANGLE_WALL * c / (1 - c**2) ** 2, ANGLE_WALL / (1 - c**2)
    return ANGLE_WALL, ANGLE_K * c**2 - height + slope * c, -2 * ANGLE_K * c - slope, ANGLE_K


def _torsion(quadruples):
    a, b, c, d = (NATIVE[quadruples[:, k]] for k in range(4))
    first, axis, last = b - a, c - b, d - c
    n1, n2 = np.cross(first, axis), np.cross(axis, last)
    return np.arctan2(np.linalg.norm(axis, axis=1) * np.sum(first * n2, axis=1), np.sum(n1 * n2, axis=1))


def _columns(n, *columns):
    return np.stack([np.broadcast_to(np.asarray(c, np.float64), n) for c in columns], axis=1)


def priors():
    """What the demo model and the structure-based model share."""
    bonds, angles, dihedrals, pairs = _chain(2), _chain(3), _chain(4), _far_pairs()
    phi = _torsion(dihedrals)
    series = [DIHEDRAL_K1 + DIHEDRAL_K3]  # of K1 (1 - cos(x - phi)) + K3 (1 - cos 3 (x - phi))
    for m, k in ((1, DIHEDRAL_K1), (2, 0.0), (3, DIHEDRAL_K3)):
        series += [-k * np.sin(m * phi), -k * np.cos(m * phi)]
    return [
        Term("bonds", "distance", "harmonic", bonds, _columns(len(bonds), BOND_K, BOND_LENGTH)),
        Term("angles", "angle_cos", "restricted", angles, _columns(len(angles), *_bending(_cosine(angles)))),
        Term("dihedrals", "torsion", "fourier", dihedrals, _columns(len(dihedrals), *series)),
        Term("repulsion", "distance", "repulsion", pairs, _columns(len(pairs), REPULSION_SIGMA)),
    ]


def contacts():
    """The native contacts: what the network has to learn."""
    pairs = _far_pairs()
    pairs = pairs[_distance(pairs) < CONTACT_DISTANCE]
    wells = _columns(len(pairs), CONTACT_DEPTH, _distance(pairs), CONTACT_WIDTH)
    return Term("contacts", "distance", "gaussian", pairs, wells)


def system(terms, network=None):
    """The hairpin with these priors and this network; starting structures: native, extended."""
    beads = Beads(
        type=np.array([RESIDUES.index(name) for name in SEQUENCE]),
        mass=np.full(N_BEAD, 12.0 * AMU),
        name=["CA"] * N_BEAD,
        residue_name=list(SEQUENCE),
        residue_index=np.arange(1, N_BEAD + 1),
        chain=["A"] * N_BEAD,
    )
    structures = np.stack([NATIVE, extended_chain(N_BEAD)])
    return System("flashrex", beads, _chain(2), network, terms, structures, [__file__])

"""The contents of a system file in memory: what importers produce and system_file.py writes.

Units: Angstrom, kcal/mol, ps, mass in kcal/mol ps^2/A^2. The meaning of every field is in docs/formats.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .errors import ImportFailure

AMU = 1.0 / 418.4  # kcal/mol ps^2/A^2

FEATURE_ORDER = {
    "distance": 2,
    "angle_cos": 3,
    "angle": 3,
    "torsion": 4,
    "torsion_shifted": 4,
    "radius_squared": 1,
}
FORMS = ("harmonic", "polynomial", "restricted", "fourier", "repulsion", "gaussian")


@dataclass
class Beads:
    """One entry per bead; `type` is a row of the embedding."""

    type: np.ndarray
    mass: np.ndarray
    name: list
    residue_name: list
    residue_index: np.ndarray
    chain: list

    def __len__(self):
        return len(self.type)


@dataclass
class Envelope:
    kind: str  # identity, cosine, shifted_cosine
    r_lo: float
    r_hi: float


@dataclass
class Basis:
    """phi_n(r) = envelope(r) exp(-coefficient_n (t(r) - center_n)^2), t = r or exp(alpha (r_shift - r))."""

    name: str
    transform: str  # linear, exponential
    alpha: float
    r_shift: float
    center: np.ndarray
    coefficient: np.ndarray
    envelope: Envelope


@dataclass
class Linear:
    weight: np.ndarray  # [n_out][n_in]
    bias: np.ndarray | None = None


@dataclass
class Interaction:
    filter: list  # Linear layers with tanh between
    lin1: Linear
    lin2: Linear
    lin: Linear


@dataclass
class Network:
    r_cut: float
    embedding: np.ndarray
    basis: Basis
    envelope: Envelope
    interactions: list
    output: list
    scale: float = 1.0
    shift: float = 0.0
    activation: str = "tanh"


@dataclass
class Term:
    """A list of terms V(x): `feature` gives x of `atoms` [n][order], `form` and `params` [n][m] give V."""

    name: str
    feature: str
    form: str
    atoms: np.ndarray
    params: np.ndarray


@dataclass
class System:
    family: str
    beads: Beads
    bonds: np.ndarray
    network: Network | None
    priors: list
    structures: np.ndarray  # [n_structure][n_bead][3]
    sources: list = field(default_factory=list)  # files it was made from

    def validate(self):
        """Raises ImportFailure unless all parts fit together and all numbers are finite."""
        n = len(self.beads)
        if n < 1:
            raise ImportFailure("the system has no beads")
        for what in ("mass", "name", "residue_name", "residue_index", "chain"):
            if len(getattr(self.beads, what)) != n:
                raise ImportFailure(f"{len(getattr(self.beads, what))} entries of {what} for {n} beads")
        if not np.all(np.isfinite(self.beads.mass)) or np.min(self.beads.mass) <= 0:
            raise ImportFailure("a bead has a mass that is not a positive number")
        if np.min(self.beads.type) < 0:
            raise ImportFailure(
                f"bead {int(np.argmin(self.beads.type))} has the negative type {min(self.beads.type)}"
            )
        if max(np.abs(self.beads.type).max(), np.abs(self.beads.residue_index).max()) >= 1 << 31:
            raise ImportFailure("a bead type or residue number is larger than 2^31")
        shape = np.shape(self.structures)
        if len(shape) != 3 or shape[0] < 1 or shape[1:] != (n, 3):
            raise ImportFailure(f"structures of shape {shape} for {n} beads")
        if not np.all(np.isfinite(self.structures)):
            raise ImportFailure("a structure has coordinates that are not numbers")
        for i, frame in enumerate(self.structures):
            if len(np.unique(np.round(frame, 3), axis=0)) < n:
                raise ImportFailure(f"in structure {i} two beads lie on each other")
        if self.bonds.size and (self.bonds.min() < 0 or self.bonds.max() >= n):
            raise ImportFailure("a bond names a bead that does not exist")
        names = [term.name for term in self.priors]
        if len(set(names)) != len(names) or "SchNet" in names:
            raise ImportFailure("two energy terms have the same name")
        for term in self.priors:
            _validate_term(term, n)
        if self.network is not None:
            _validate_network(self.network, self.beads)


def _usable(name):
    """A name that can be an HDF5 link and a word of output."""
    return name.isprintable() and "/" not in name and name not in ("", ".")


def _validate_term(term, n_bead):
    order = FEATURE_ORDER[term.feature]
    if term.form not in FORMS or not _usable(term.name):
        raise ImportFailure(f"prior {term.name!r}: unknown form {term.form!r} or unusable name")
    if term.atoms.shape != (len(term.params), order) or term.params.ndim != 2:
        raise ImportFailure(
            f"prior {term.name}: atoms {term.atoms.shape} and parameters {term.params.shape} do not fit"
        )
    if term.atoms.size and (term.atoms.min() < 0 or term.atoms.max() >= n_bead):
        raise ImportFailure(f"prior {term.name} names bead {int(term.atoms.max())} of {n_bead}")
    if order > 1 and np.any(np.diff(np.sort(term.atoms, axis=1), axis=1) == 0):
        raise ImportFailure(f"prior {term.name} has a term that uses one bead twice")
    if not np.all(np.isfinite(term.params)):
        raise ImportFailure(f"prior {term.name} has a parameter that is not a number")


def _validate_network(net, beads):
    arrays = {"embedding": net.embedding, "basis centers": net.basis.center, "widths": net.basis.coefficient}

    def layers(name, linears, n_in):
        for k, linear in enumerate(linears):
            n_out = linear.weight.shape[0]
            if linear.weight.ndim != 2 or linear.weight.shape[1] != n_in:
                raise ImportFailure(f"{name}.{k}: weights of shape {linear.weight.shape} for {n_in} inputs")
            if linear.bias is not None and linear.bias.shape != (n_out,):
                raise ImportFailure(f"{name}.{k}: bias of shape {linear.bias.shape} for {n_out} outputs")
            arrays[f"{name}.{k}"] = linear.weight
            arrays[f"{name}.{k} bias"] = np.zeros(0) if linear.bias is None else linear.bias
            n_in = n_out
        return n_in

    n_type, n_hidden = net.embedding.shape
    if beads.type.max() >= n_type:
        raise ImportFailure(
            f"bead type {int(beads.type.max())} has no row in the embedding of {n_type} types"
        )
    n_basis = len(net.basis.center)
    if net.basis.center.shape != (n_basis,) or net.basis.coefficient.shape != (n_basis,) or n_basis < 1:
        raise ImportFailure("the basis has centers and widths of different lengths")
    if not 0 < net.r_cut < np.inf:
        raise ImportFailure(f"the network's cutoff is {net.r_cut}, a finite one is needed")
    for envelope in (net.basis.envelope, net.envelope):
        if not (np.isfinite(envelope.r_lo) and envelope.r_hi > max(envelope.r_lo, 0)):
            raise ImportFailure(f"a cutoff function from {envelope.r_lo} to {envelope.r_hi} is not possible")
    if not net.interactions:
        raise ImportFailure("the network has no interaction")
    for i, block in enumerate(net.interactions):
        name = f"interaction {i}"
        n_filter = layers(f"{name} filter", block.filter, n_basis)
        sizes = (
            layers(f"{name} lin1", [block.lin1], n_hidden),
            layers(f"{name} lin2", [block.lin2], n_filter),
            layers(f"{name} lin", [block.lin], n_hidden),
        )
        if sizes != (n_filter, n_hidden, n_hidden) or block.lin1.bias is not None:
            raise ImportFailure(
                f"{name}: layers of {sizes} outputs do not fit {n_filter} filters, {n_hidden} features"
            )
    if layers("output", net.output, n_hidden) != 1:
        raise ImportFailure("the output network does not end in one number")
    for name, values in arrays.items():
        if not np.all(np.isfinite(values)):
            raise ImportFailure(f"{name} of the network has a value that is not a number")
    if not (np.isfinite(net.scale) and np.isfinite(net.shift)):
        raise ImportFailure("the network's energy scale or shift is not a number")

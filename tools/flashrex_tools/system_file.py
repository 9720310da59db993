"""Writing and reading system files (HDF5); the layout is docs/formats.md, section "System file"."""

import hashlib
import os
from pathlib import Path

import h5py
import numpy as np

from . import __version__
from .errors import ImportFailure
from .system import Basis, Beads, Envelope, Interaction, Linear, Network, System, Term

FORMAT_VERSION = 1


def sha256(path):
    """Hexadecimal SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


# With these every part of a file has a checksum: HDF5 notices damage, where it could crash on it.
_VERSIONS = ("v110", "v110")


def _dataset(group, name, values):
    chunked = {"chunks": values.shape, "fletcher32": True} if values.size else {}
    group.create_dataset(name, data=values, **chunked)


def _fixed(texts):
    """UTF-8 of one length: those of variable length lie in a part of the file without checksum."""
    raw = [text.encode() for text in texts]
    return np.array(raw, h5py.string_dtype(length=max([1, *map(len, raw)])))


def _attribute(owner, name, text):
    owner.attrs.create(name, text.encode(), dtype=h5py.string_dtype(length=max(1, len(text.encode()))))


def _reals(group, name, values):
    """Stores single precision where that loses nothing."""
    values = np.asarray(values, np.float64)
    single = values.astype(np.float32)
    _dataset(group, name, single if np.array_equal(single, values) else values)


def _integers(group, name, values, shape):
    _dataset(group, name, np.asarray(values, np.int32).reshape(shape))


def _write_linear(group, linear):
    _reals(group, "weight", linear.weight)
    if linear.bias is not None:
        _reals(group, "bias", linear.bias)


def _write_envelope(group, envelope):
    _attribute(group, "kind", envelope.kind)
    group.attrs["r_lo"] = float(envelope.r_lo)
    group.attrs["r_hi"] = float(envelope.r_hi)


def _write_network(group, net):
    group.attrs["r_cut"] = float(net.r_cut)
    _attribute(group, "activation", net.activation)
    group.attrs["scale"] = float(net.scale)
    group.attrs["shift"] = float(net.shift)
    _reals(group, "embedding", net.embedding)
    basis = group.create_group("basis")
    _attribute(basis, "name", net.basis.name)
    _attribute(basis, "transform", net.basis.transform)
    basis.attrs["alpha"] = float(net.basis.alpha)
    basis.attrs["r_shift"] = float(net.basis.r_shift)
    _reals(basis, "center", net.basis.center)
    _reals(basis, "coefficient", net.basis.coefficient)
    _write_envelope(basis.create_group("envelope"), net.basis.envelope)
    _write_envelope(group.create_group("envelope"), net.envelope)
    for i, block in enumerate(net.interactions):
        interaction = group.create_group(f"interaction_{i}")
        for k, linear in enumerate(block.filter):
            _write_linear(interaction.create_group(f"filter_{k}"), linear)
        for name in ("lin1", "lin2", "lin"):
            _write_linear(interaction.create_group(name), getattr(block, name))
    for k, linear in enumerate(net.output):
        _write_linear(group.create_group(f"output_{k}"), linear)


def write_system(path, system, known_answer, generator="flashrex-import"):
    """Writes `system` to `path`, all or nothing. `known_answer` is the dictionary of
    reference_energy.evaluate for one frame, with its `positions`; `generator` is the name of the program."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with h5py.File(part, "w", libver=_VERSIONS) as file:
            _write(file, system, known_answer, generator)
        os.replace(part, path)
    except OSError as error:
        raise ImportFailure(f"{path}: cannot be written ({error})") from None
    finally:
        part.unlink(missing_ok=True)


def _write(file, system, known_answer, generator):
    _attribute(file, "flashrex_format", "system")
    file.attrs["version"] = FORMAT_VERSION
    _attribute(file, "generator", f"{generator} {__version__}")
    _attribute(file, "family", system.family)
    _attribute(file, "source", "; ".join(Path(s).name for s in system.sources))
    _attribute(file, "source_sha256", "; ".join(sha256(s) for s in system.sources))
    beads, n_bead = file.create_group("beads"), len(system.beads)
    _integers(beads, "type", system.beads.type, (n_bead,))
    _reals(beads, "mass", system.beads.mass)
    _integers(beads, "residue_index", system.beads.residue_index, (n_bead,))
    for name in ("name", "residue_name", "chain"):
        _dataset(beads, name, _fixed(getattr(system.beads, name)))
    _integers(file.create_group("topology"), "bonds", system.bonds, (-1, 2))
    if system.network is not None:
        _write_network(file.create_group("network"), system.network)
    priors = file.create_group("priors")
    for term in system.priors:
        group = priors.create_group(term.name)
        _attribute(group, "feature", term.feature)
        _attribute(group, "form", term.form)
        _integers(group, "atoms", term.atoms, term.atoms.shape)
        _reals(group, "params", term.params)
    _reals(file.create_group("structures"), "positions", system.structures)
    write_frames(file.create_group("known_answer"), [known_answer])


def write_frames(group, frames):
    """Layout "Frames and energies": the evaluated `frames` one after the other."""
    _dataset(group, "positions", np.array([f["positions"] for f in frames]))
    _dataset(group, "energy", np.array([f["energy"] for f in frames], np.float64))
    _dataset(group, "forces", np.array([f["forces"] for f in frames], np.float64))
    parts = group.create_group("parts")
    for name in frames[0]["parts"]:
        _dataset(parts, name, np.array([f["parts"][name] for f in frames], np.float64))


def _text(owner, name):
    """A text attribute of fixed or variable length; None if there is none."""
    text = owner.attrs.get(name)
    return text.decode() if isinstance(text, bytes) else text


def read_system(path):
    """The inverse of write_system, for the other tools and the tests."""
    with h5py.File(path, "r") as file:
        if _text(file, "flashrex_format") != "system" or file.attrs.get("version") != FORMAT_VERSION:
            raise ImportFailure(f"{path}: not a system file of version {FORMAT_VERSION}")
        beads = Beads(
            type=file["beads/type"][:],
            mass=file["beads/mass"][:].astype(np.float64),
            name=list(file["beads/name"].asstr()[:]),
            residue_name=list(file["beads/residue_name"].asstr()[:]),
            residue_index=file["beads/residue_index"][:],
            chain=list(file["beads/chain"].asstr()[:]),
        )
        priors = [
            Term(name, _text(g, "feature"), _text(g, "form"), g["atoms"][:], g["params"][:].astype(np.float64))
            for name, g in file["priors"].items()
        ]
        network = _read_network(file["network"]) if "network" in file else None
        structures = file["structures/positions"][:].astype(np.float64)
        return System(_text(file, "family"), beads, file["topology/bonds"][:], network, priors, structures)


def _read_linear(group):
    bias = group["bias"][:].astype(np.float64) if "bias" in group else None
    return Linear(group["weight"][:].astype(np.float64), bias)


def _read_envelope(group):
    return Envelope(_text(group, "kind"), float(group.attrs["r_lo"]), float(group.attrs["r_hi"]))


def _read_layers(group, prefix):
    out = []
    while f"{prefix}_{len(out)}" in group:
        out.append(_read_linear(group[f"{prefix}_{len(out)}"]))
    return out


def _read_network(group):
    basis = group["basis"]
    interactions = []
    while f"interaction_{len(interactions)}" in group:
        block = group[f"interaction_{len(interactions)}"]
        single = (_read_linear(block[name]) for name in ("lin1", "lin2", "lin"))
        interactions.append(Interaction(_read_layers(block, "filter"), *single))
    return Network(
        r_cut=float(group.attrs["r_cut"]),
        embedding=group["embedding"][:].astype(np.float64),
        basis=Basis(
            _text(basis, "name"),
            _text(basis, "transform"),
            float(basis.attrs["alpha"]),
            float(basis.attrs["r_shift"]),
            basis["center"][:].astype(np.float64),
            basis["coefficient"][:].astype(np.float64),
            _read_envelope(basis["envelope"]),
        ),
        envelope=_read_envelope(group["envelope"]),
        interactions=interactions,
        output=_read_layers(group, "output"),
        scale=float(group.attrs["scale"]),
        shift=float(group.attrs["shift"]),
        activation=_text(group, "activation"),
    )

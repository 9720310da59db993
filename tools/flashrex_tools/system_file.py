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


def _reals(group, name, values):
    """Stores single precision where that loses nothing."""
    values = np.asarray(values, np.float64)
    single = values.astype(np.float32)
    group.create_dataset(name, data=single if np.array_equal(single, values) else values)


def _integers(group, name, values, shape):
    group.create_dataset(name, data=np.asarray(values, np.int32).reshape(shape))


def _texts(group, name, values):
    group.create_dataset(name, data=list(values), dtype=h5py.string_dtype())


def _write_linear(group, linear):
    _reals(group, "weight", linear.weight)
    if linear.bias is not None:
        _reals(group, "bias", linear.bias)


def _write_envelope(group, envelope):
    group.attrs["kind"] = envelope.kind
    group.attrs["r_lo"] = float(envelope.r_lo)
    group.attrs["r_hi"] = float(envelope.r_hi)


def _write_network(group, net):
    group.attrs["r_cut"] = float(net.r_cut)
    group.attrs["activation"] = net.activation
    group.attrs["scale"] = float(net.scale)
    group.attrs["shift"] = float(net.shift)
    _reals(group, "embedding", net.embedding)
    basis = group.create_group("basis")
    basis.attrs["name"] = net.basis.name
    basis.attrs["transform"] = net.basis.transform
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
        with h5py.File(part, "w") as file:
            _write(file, system, known_answer, generator)
        os.replace(part, path)
    except OSError as error:
        raise ImportFailure(f"{path}: cannot be written ({error})") from None
    finally:
        part.unlink(missing_ok=True)


def _write(file, system, known_answer, generator):
    file.attrs["flashrex_format"] = "system"
    file.attrs["version"] = FORMAT_VERSION
    file.attrs["generator"] = f"{generator} {__version__}"
    file.attrs["family"] = system.family
    file.attrs["source"] = "; ".join(Path(s).name for s in system.sources)
    file.attrs["source_sha256"] = "; ".join(sha256(s) for s in system.sources)
    beads, n_bead = file.create_group("beads"), len(system.beads)
    _integers(beads, "type", system.beads.type, (n_bead,))
    _reals(beads, "mass", system.beads.mass)
    _integers(beads, "residue_index", system.beads.residue_index, (n_bead,))
    for name in ("name", "residue_name", "chain"):
        _texts(beads, name, getattr(system.beads, name))
    _integers(file.create_group("topology"), "bonds", system.bonds, (-1, 2))
    if system.network is not None:
        _write_network(file.create_group("network"), system.network)
    priors = file.create_group("priors")
    for term in system.priors:
        group = priors.create_group(term.name)
        group.attrs["feature"] = term.feature
        group.attrs["form"] = term.form
        _integers(group, "atoms", term.atoms, term.atoms.shape)
        _reals(group, "params", term.params)
    _reals(file.create_group("structures"), "positions", system.structures)
    write_frames(file.create_group("known_answer"), [known_answer])


def write_frames(group, frames):
    """Layout "Frames and energies": the evaluated `frames` one after the other."""
    group.create_dataset("positions", data=np.array([f["positions"] for f in frames]))
    group.create_dataset("energy", data=np.array([f["energy"] for f in frames], np.float64))
    group.create_dataset("forces", data=np.array([f["forces"] for f in frames], np.float64))
    parts = group.create_group("parts")
    for name in frames[0]["parts"]:
        parts.create_dataset(name, data=np.array([f["parts"][name] for f in frames], np.float64))


def read_system(path):
    """The inverse of write_system, for the other tools and the tests."""
    with h5py.File(path, "r") as file:
        if file.attrs.get("flashrex_format") != "system" or file.attrs.get("version") != FORMAT_VERSION:
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
            Term(name, g.attrs["feature"], g.attrs["form"], g["atoms"][:], g["params"][:].astype(np.float64))
            for name, g in file["priors"].items()
        ]
        network = _read_network(file["network"]) if "network" in file else None
        structures = file["structures/positions"][:].astype(np.float64)
        return System(file.attrs["family"], beads, file["topology/bonds"][:], network, priors, structures)


def _read_linear(group):
    bias = group["bias"][:].astype(np.float64) if "bias" in group else None
    return Linear(group["weight"][:].astype(np.float64), bias)


def _read_envelope(group):
    return Envelope(group.attrs["kind"], float(group.attrs["r_lo"]), float(group.attrs["r_hi"]))


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
            basis.attrs["name"],
            basis.attrs["transform"],
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
        activation=group.attrs["activation"],
    )

"""Starting structures: mlcg's AtomicData and stretched chains (PDB: topology.py; trajectories: frames.py)."""

from dataclasses import dataclass

import numpy as np

from .errors import ImportFailure
from .pickle_values import Record
from .torch_file import Tensor

# Members of AtomicData that say nothing about the energy.
_HARMLESS = {
    "pos", "atom_types", "masses", "n_atoms", "name", "neighbor_list", "out", "forces", "energy",
    "velocities", "traj_id", "frame_id", "tag", "batch", "ptr", "num_nodes", "edge_index", "edge_attr",
    "x", "y", "cell", "pbc", "exc_pair_index",
}  # fmt: skip


CA_DISTANCE = 3.8  # Angstrom, between neighbouring C-alphas of a trans peptide


def extended_chain(n_bead):
    """A stretched C-alpha chain [n_bead][3], Angstrom, about its centre: a planar zigzag, angles of 120 degrees."""
    i = np.arange(n_bead)
    zigzag = np.stack([np.sin(np.pi / 3) * i, 0.5 * (i % 2), 0.0 * i], axis=1) * CA_DISTANCE
    return zigzag - zigzag.mean(axis=0)


@dataclass
class Configurations:
    """What a list of AtomicData holds: one molecule in several conformations."""

    types: np.ndarray
    masses: np.ndarray
    positions: np.ndarray  # [n_structure][n_bead][3]
    lists: dict  # {name: [n_term][order]}
    ignored: list  # members that were not used


def is_configurations(value):
    """True for a list (or tuple) of AtomicData, or a single one."""
    values = [value] if isinstance(value, Record) else value
    if not isinstance(values, (list, tuple)) or not values:
        return False
    return all(isinstance(one, Record) and one.kind == "AtomicData" for one in values)


def read_configurations(value):
    """Configurations of a list of AtomicData records; all must describe one molecule."""
    records = [value] if isinstance(value, Record) else list(value)
    read = [_configuration(record, f"configuration {i}") for i, record in enumerate(records)]
    first = read[0]
    for i, other in enumerate(read[1:], start=1):
        same = np.array_equal(first.types, other.types) and np.allclose(first.masses, other.masses, rtol=1e-6)
        same = same and first.lists.keys() == other.lists.keys()
        if not same or not all(np.array_equal(first.lists[k], other.lists[k]) for k in first.lists):
            raise ImportFailure(
                f"configuration {i} is another molecule than configuration 0 (types, masses or terms)"
            )
    positions = np.concatenate([one.positions for one in read])
    return Configurations(first.types, first.masses, positions, first.lists, first.ignored)


def _members(record, what):
    """The attributes of an AtomicData of old and new torch_geometric."""
    state = record.state
    store = state.get("_store") if isinstance(state, dict) else None
    if isinstance(store, Record) and isinstance(store.state, dict):
        state = store.state.get("_mapping")
    if not isinstance(state, dict):
        raise ImportFailure(f"{what}: an AtomicData of an unknown layout")
    return state


def _array(members, key, what):
    value = members.get(key)
    if not isinstance(value, Tensor):
        raise ImportFailure(f"{what} has no tensor {key}")
    return value.numpy()


def _configuration(record, what):
    members = _members(record, what)
    if members.get("exc_pair_index") is not None:
        raise ImportFailure(
            f"{what} excludes pairs from the network (exc_pair_index), which is not understood"
        )
    pbc = members.get("pbc")
    if isinstance(pbc, Tensor) and np.any(pbc.numpy()) and members.get("cell") is not None:
        raise ImportFailure(f"{what} is periodic (pbc, cell), which is not understood")
    types = _array(members, "atom_types", what).reshape(-1).astype(np.int64)
    masses = _array(members, "masses", what).reshape(-1).astype(np.float64)
    positions = _array(members, "pos", what).astype(np.float64)
    if positions.shape != (types.size, 3) or masses.size != types.size:
        raise ImportFailure(
            f"{what}: positions {positions.shape} and {masses.size} masses for {types.size} beads"
        )
    lists = members.get("neighbor_list") or {}
    if not isinstance(lists, dict):
        raise ImportFailure(f"{what}: a neighbour list of an unknown layout")
    lists = {name: _term_list(entry, f"{what}, {name}") for name, entry in lists.items()}
    ignored = sorted(str(key) for key in members if key not in _HARMLESS and not str(key).startswith("_"))
    return Configurations(types, masses, positions[None], lists, ignored)


def _term_list(entry, what):
    if not isinstance(entry, dict):
        raise ImportFailure(f"{what}: a neighbour list of an unknown layout")
    if entry.get("cell_shifts") is not None:
        raise ImportFailure(f"{what} is periodic (cell_shifts), which is not understood")
    batch = entry.get("mapping_batch")
    if isinstance(batch, Tensor) and np.any(batch.numpy() != 0):
        raise ImportFailure(f"{what} belongs to several structures (mapping_batch)")
    mapping = _array(entry, "index_mapping", what)
    if mapping.ndim != 2:
        raise ImportFailure(f"{what}: index_mapping of shape {mapping.shape}")
    return np.round(mapping).astype(np.int64).T

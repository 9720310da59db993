"""Reading what a run wrote (docs/formats.md, "Run directory")."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np


@dataclass
class Run:
    """Committed frames by temperature, coldest first; several ladders lie side by side."""

    temperatures: np.ndarray  # [n_place] K
    time: np.ndarray  # [n_frame] ps
    positions: np.ndarray  # [n_frame][n_place][n_bead][3] Angstrom
    replica: np.ndarray  # [n_frame][n_place] which replica was there
    first_structure: np.ndarray  # [n_bead][3] Angstrom, of the system file


def read_run(directory):
    """All segments of a run directory, one after the other, without the frames from adapting the ladder."""
    directory = Path(directory)
    paths = sorted(directory.glob("segment_*.h5"))
    if not paths:
        raise FileNotFoundError(f"{directory}: no run here (no segment_0001.h5)")
    columns = {"time": [], "position": [], "identity": []}
    counted = _counted_frames(directory)
    for path in paths:
        with h5py.File(path, "r") as file:
            n_frame = counted.get(path.name, int(file["committed"][0]))
            counts = file["frames/adapting"][:n_frame] == 0
            for name, pieces in columns.items():
                pieces.append(file["frames"][name][:n_frame][counts])
            temperatures = np.tile(file["run/temperature"][:], int(file["run"].attrs["n_ladder"]))
    return Run(
        temperatures,
        np.concatenate(columns["time"]),
        np.concatenate(columns["position"]).astype(np.float64),
        np.concatenate(columns["identity"]).astype(np.int64),
        _positions_of_pdb(directory / "system.pdb"),
    )


def _counted_frames(directory):
    """Frames that count of each segment in the journal: what is beyond, a later segment has again."""
    path = directory / "journal"
    lines = path.read_text().splitlines()[1:-1] if path.exists() else []
    return {name: int(n_frame) for name, n_frame, _ in map(str.split, lines)}


def _positions_of_pdb(path):
    rows = [line for line in path.read_text().splitlines() if line.startswith(("ATOM", "HETATM"))]
    return np.array([[float(row[c : c + 8]) for c in (30, 38, 46)] for row in rows])

"""Reading what a run wrote (docs/formats.md, "Run directory"): all segments as one, without a run's adaptation
of the ladder, and nothing that is not committed. The run may still be going on."""

import json
import time
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

BLOCK = 1 << 25  # bytes that are read at once
ALL = slice(None)


class Run:
    """A run directory. A *place* is a rung of a ladder, place = ladder * n_rung + rung, rung 0 the coldest.

    beta, rung_temperatures  [n_rung] mol/kcal, K; temperatures [n_place] K
    time [n_frame] ps; step [n_frame]; energy [n_frame][n_place] kcal/mol; replica [n_frame][n_place]: who was there
    positions [n_frame][n_place][n_bead][3] Angstrom: all at once; position_blocks() for long runs
    first_structure [n_bead][3] Angstrom, of the system file
    """

    def __init__(self, directory):
        self.directory = Path(directory)
        paths = sorted(self.directory.glob("segment_*.h5"))
        if not paths:
            raise FileNotFoundError(f"{directory}: no run here (no segment_0001.h5)")
        counted = _counted_rows(self.directory)
        self.segments = []
        for path in paths:
            with _open(path) as file:
                committed = (0, 0) if counted else tuple(map(int, file["committed"][:]))
                n_frame, n_event = counted.get(path.name, committed)
                self.segments.append(
                    _Segment(path, _kept(file["frames"], n_frame), n_event, _kept(file["exchanges"], n_event))
                )
                self.beta, self.rung_temperatures = file["run/beta"][:], file["run/temperature"][:]
                self.attributes = dict(file["run"].attrs) | {"generator": file.attrs["generator"]}
                self.beads = {name: data.asstr()[:] if data.dtype.kind == "O" else data[:]
                              for name, data in file["beads"].items()}  # fmt: skip
                self.bonds = file["topology/bonds"][:].reshape(-1, 2)
        self.n_ladder, self.n_rung = int(self.attributes["n_ladder"]), len(self.beta)
        self.temperatures = np.tile(self.rung_temperatures, self.n_ladder)
        self.n_place, self.n_bead = len(self.temperatures), len(self.beads["name"])
        self.n_frame = sum(len(segment.frames) for segment in self.segments)
        self.n_adapting = sum(segment.n_adapting for segment in self.segments)
        self.n_event = sum(int(segment.events.sum()) for segment in self.segments)

    @cached_property
    def time(self):
        return self._frames("time", np.float64)

    @cached_property
    def step(self):
        return self._frames("step", np.int64)

    @cached_property
    def energy(self):
        return self._frames("energy", np.float64).reshape(-1, self.n_place)

    @cached_property
    def replica(self):
        return self._frames("identity", np.int64).reshape(-1, self.n_place)

    @cached_property
    def positions(self):
        blocks = [block.astype(np.float64) for _, block in self.position_blocks()]
        return np.concatenate(blocks) if blocks else np.zeros((0, self.n_place, self.n_bead, 3))

    @property
    def first_structure(self):
        return _positions_of_pdb(self.directory / "system.pdb")

    @property
    def summary(self):
        """summary.json, which is there once the run has stopped; {} before."""
        path = self.directory / "summary.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def _frames(self, name, kind):
        pieces = []
        for segment in self.segments:
            with _open(segment.path) as file:
                pieces.append(_rows(file["frames"][name], segment.frames).astype(kind))
        return np.concatenate(pieces)

    def position_blocks(self, places=ALL):
        """Yields (rows, positions float32 [n][place][bead][3]) until all frames of these places were there."""
        first, rows = 0, max(1, BLOCK // (12 * self.n_place * self.n_bead))
        for segment in self.segments:
            with _open(segment.path) as file:
                for start in range(0, len(segment.frames), rows):
                    chosen = segment.frames[start : start + rows]
                    block = _rows(file["frames/position"], chosen, places)
                    yield slice(first, first + len(chosen)), block
                    first += len(chosen)

    def exchange_blocks(self, *names):
        """Yields (counts, {name: rows}) of consecutive exchange events; `counts` [n] is false where the ladder
        was being adapted. Names that the file does not have (with one rung) are left out."""
        rows = max(1, BLOCK // (64 * self.n_place))
        for segment in self.segments:
            with _open(segment.path) as file:
                group = file["exchanges"]
                for start in range(0, segment.n_event, rows):
                    stop = min(start + rows, segment.n_event)
                    block = {name: group[name][start:stop] for name in names if name in group}
                    yield segment.events[start:stop], block

    def exchange_energies(self, most):
        """Of at most about so many exchange events, evenly: time [n] ps, energy [n][n_place] kcal/mol before the swaps
        and replica [n][n_place]."""
        stride, seen, pieces = -(-self.n_event // most) or 1, 0, []
        for counts, block in self.exchange_blocks("step", "energy", "identity"):
            rows = np.flatnonzero(counts)
            chosen = rows[(seen + np.arange(len(rows))) % stride == 0]
            seen += len(rows)
            pieces.append([block[name][chosen] for name in ("step", "energy", "identity")])
        step, energy, replica = (np.concatenate(column) for column in zip(*pieces))
        return step * float(self.attributes["timestep"]), energy, replica.astype(np.int64)


class _Segment:
    def __init__(self, path, frames, n_event, events):
        self.path, self.n_event = path, n_event
        self.frames = np.flatnonzero(frames)  # rows for averages
        self.n_adapting = len(frames) - len(self.frames)
        self.events = events  # [n_event] is it for averages


def read_run(directory):
    """The run in a directory."""
    return Run(directory)


@contextmanager
def _open(path):
    """A file that is opened in the milliseconds of a flush can look damaged: then try again."""
    for attempt in range(6):
        try:
            file = h5py.File(path, "r")
            break
        except OSError:
            if attempt == 5 or not path.exists():
                raise
            time.sleep(0.1 * 2**attempt)
    with file:
        yield file


def _kept(group, n):
    return group["adapting"][:n] == 0


def _rows(dataset, rows, places=ALL):
    """These ascending rows, read as one piece."""
    if len(rows) == 0:
        return np.empty((0, *dataset.shape[1:]), dataset.dtype)[:, places] if dataset.ndim > 1 else np.empty(0)
    first, last = int(rows[0]), int(rows[-1]) + 1
    piece = dataset[first:last, places] if dataset.ndim > 1 else dataset[first:last]
    return piece if len(piece) == len(rows) else piece[rows - first]


def _counted_rows(directory):
    """Frames and exchange events that count of each segment in the journal. Segments that it does not name have
    none; without a journal a segment says itself what it has."""
    path = directory / "journal"
    lines = path.read_text().splitlines()[1:-1] if path.exists() else []
    return {name: (int(n_frame), int(n_event)) for name, n_frame, n_event in map(str.split, lines)}


def _positions_of_pdb(path):
    rows = [line for line in path.read_text().splitlines() if line.startswith(("ATOM", "HETATM"))]
    return np.array([[float(row[c : c + 8]) for c in (30, 38, 46)] for row in rows])

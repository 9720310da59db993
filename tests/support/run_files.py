"""What a run wrote, and comparing it with another run's; runs in the background."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from flashrex_tools.run_directory import read_run  # noqa: E402


def journal(folder):
    """Rows that count of the finished segments, [(frames, exchanges), ..]."""
    path = folder / "journal"
    if not path.exists():
        return []
    return [tuple(map(int, line.split()[1:])) for line in path.read_text().splitlines()[1:-1]]


def rows(folder):
    """All frames and exchanges that count, by name, over all segments."""
    counted, parts = journal(folder), {}
    for s, path in enumerate(sorted(folder.glob("segment_*.h5"))):
        with h5py.File(path, "r") as file:
            n = counted[s] if s < len(counted) else tuple(file["committed"][...])
            for group, n_row in zip(("frames", "exchanges"), n):
                for name, data in file[group].items():
                    assert len(data) >= n_row
                    parts.setdefault(f"{group}/{name}", []).append(data[:n_row])
    return {name: np.concatenate(part) for name, part in parts.items()}


def summary(folder):
    """What the summary says, without what depends on machine and time."""
    text = json.loads((folder / "summary.json").read_text())
    machine = {"ranks", "gpus", "transport", "wall_seconds", "ns_per_day", "ns_per_day_per_replica", "time_share"}
    return {k: v for k, v in text.items() if k not in machine}


def state(folder, checkpoint="checkpoint"):
    """The parts of the checkpoint, by name, without texts and times."""
    data, parts = (folder / checkpoint).read_bytes(), {}
    n_part, at = int.from_bytes(data[32:40], "little"), 40
    for _ in range(n_part):
        name, n = data[at : at + 32].rstrip(b"\0").decode(), int.from_bytes(data[at + 32 : at + 40], "little")
        parts[name] = data[at + 40 : at + 40 + n]
        at += 40 + n + -n % 8
    assert at == len(data) - 64 and {"slots", "rungs", "tally", "counts"} <= set(parts)
    parts["counts"] = parts["counts"][:8] + parts["counts"][16:]  # steps and rows, not seconds
    return {k: v for k, v in parts.items() if k not in ("config", "segments", "n_adapting", "generator")}


def assert_same(folder, expected):
    a, b = rows(folder), rows(expected)
    assert set(a) == set(b)
    for name in b:
        assert a[name].tobytes() == b[name].tobytes(), f"{name} differs"
    a, b = state(folder), state(expected)
    assert set(a) == set(b)
    for name in b:
        assert a[name] == b[name], f"{name} of the checkpoint differs"
    assert summary(folder) == summary(expected)
    a, b = read_run(folder), read_run(expected)
    assert a.time.tobytes() == b.time.tobytes() and a.positions.tobytes() == b.positions.tobytes()


def start(config, *arguments, ranks=1, cwd):
    """`flashrex run` in the background."""
    command = [os.environ["FRX_PROGRAM"], "run", str(config), *arguments]
    if ranks > 1:
        command = [os.environ["FRX_MPIEXEC"], "-n", str(ranks), *command]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, env=os.environ | {"OMP_NUM_THREADS": "1"}, **pipes)


def written(path):
    """When a file was written; 0: it is not there, as between two renames."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def wait_for(path, process, before=0):
    """Wait for a file newer than `before`."""
    end = time.monotonic() + 60
    while written(path) <= before:
        assert process.poll() is None and time.monotonic() < end, "waited in vain"
        time.sleep(0.005)

#!/usr/bin/env python3
"""Kill a run everywhere, and look at what is left.

    kills.py sweep [--ranks 4] [--case short|long|adapt] [--every 1] [--jobs 2]  at each call that writes
                   [--seconds 60] [--log FILE]                                    in parts
    kills.py random [--ranks 4] [--kills 200] [--jobs 2]                          at random moments

After each kill: every committed row is readable and equals that of a run that was never killed, by the journal,
through run.h5, the views, MDAnalysis and `flashrex info`, and nothing else is shown. Then the run is continued to its
end, which must equal the other run bit for bit. By hand (`test_kills.py` tries a part of it). In the environment:
FRX_PROGRAM, the program, and FRX_MPIEXEC."""

import argparse
import collections
import concurrent.futures
import contextlib
import hashlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import h5py

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from run_files import assert_same, rows  # noqa: E402
from system_files import harmonic_wells  # noqa: E402

try:
    import MDAnalysis
except ImportError:
    MDAnalysis = None

# Everything by which the program changes files. A kill at the call is one before it has done anything.
CALLS = [
    "write", "pwrite64", "pwritev", "fsync", "fdatasync", "rename", "link", "unlink", "ftruncate", "fallocate", "mkdir",
]  # fmt: skip

CONFIG = """
system: wells.h5
output: out
temperatures: [280, 310, 340, 380, 420]
dt: 0.002
n_timesteps: {steps}
exchange_interval: 10
save_interval: {save}
checkpoint_interval: {checkpoint}
"""
CASES = {
    "short": {"steps": 60, "save": 5, "checkpoint": 0},
    # chunk indices grow beyond one node of their trees; commits and no checkpoints
    "long": {"steps": 3700, "save": 1, "checkpoint": 1000},
    # a ladder that is adapted first, with segments of its own
    "adapt": {"steps": 120, "save": 5, "checkpoint": 0, "more": "adapt_ladder: 2\n"},
}


class Lab:
    """A folder with a config and the run that was never killed, of which all others are copies."""

    def __init__(self, folder, config, ranks=1):
        self.folder, self.ranks = Path(folder), ranks
        (self.folder / "run.yaml").write_text(config)
        self.whole = self.folder / "whole"
        assert self.run("whole").returncode == 0
        self.expected = rows(self.whole)
        settled = {group: self.expected[f"{group}/adapting"] == 0 for group in ("frames", "exchanges")}
        self.shown = {  # by run.h5 and the views
            name: data[settled[name.split("/")[0]]]
            for name, data in self.expected.items()
            if len(data) == len(settled[name.split("/")[0]])
        }

    def command(self, name, *how, ranks=None, around=()):
        """around: words in front of the program."""
        program = [
            os.environ["FRX_PROGRAM"],
            "run",
            "run.yaml",
            f"output={name}",
            "--progress",
            "quiet",
            *how,
        ]
        ranks = ranks or self.ranks
        start = [os.environ.get("FRX_MPIEXEC", "mpiexec"), "-n", str(ranks)] if ranks > 1 else []
        return [*start, *around, *program]

    def on_rank(self, rank, words):
        """`around` for one rank only."""
        if self.ranks == 1:
            return words
        choose = (
            f'if [ "$OMPI_COMM_WORLD_RANK" = {rank} ]; then exec {" ".join(words)} "$@"; else exec "$@"; fi'
        )
        return ["sh", "-c", choose, "sh"]

    def run(self, *arguments, **options):
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = self.command(*arguments, **options)
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600
        )

    def start(self, *arguments, **options):
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
        return subprocess.Popen(
            self.command(*arguments, **options), cwd=self.folder, env=environment, **quiet
        )

    def check_rows(self, folder):
        """Every committed row equals that of the other run. Returns how many (frames, events)."""
        counted = committed(folder)
        total = tuple(sum(n) for n in zip(*counted)) if counted else (0, 0)
        offset = [0, 0]
        for s, count in enumerate(counted):
            if count == (0, 0):
                continue
            with h5py.File(folder / f"segment_{s + 1:04d}.h5", "r") as file:
                for kind, group in enumerate(("frames", "exchanges")):
                    for column, data in file[group].items():
                        whole = self.expected[f"{group}/{column}"][offset[kind] : offset[kind] + count[kind]]
                        assert (
                            data[: count[kind]].tobytes() == whole.tobytes()
                        ), f"{group}/{column} of segment {s + 1}"
            offset = [a + b for a, b in zip(offset, count)]
        return total

    def check(self, name):
        """What is left is whole, equals the other run, and is all that is shown. Returns committed (frames, events)."""
        folder = self.folder / name
        total = self.check_rows(folder)
        shown = self.check_run_file(folder, total) if (folder / "run.h5").exists() else 0
        self.check_views(folder, shown)
        if list(folder.glob("segment_*.h5")):
            info = subprocess.run([os.environ["FRX_PROGRAM"], "info", folder], capture_output=True, text=True)
            assert info.returncode == 0, info.stderr
            n_frame = (
                self.expected["frames/adapting"][: total[0]] == 0
            ).sum()  # info counts the others apart
            assert f"frames     {n_frame:,}" in info.stdout, info.stdout
        return total

    def check_run_file(self, folder, total):
        with h5py.File(folder / "run.h5", "r") as file:
            for kind, group in enumerate(("frames", "exchanges")):
                for column, data in file[group].items():
                    assert len(data) <= total[kind], (group, column, len(data), total)
                    assert len(data) == len(file[group]["step"])
                    assert (
                        data[...].tobytes() == self.shown[f"{group}/{column}"][: len(data)].tobytes()
                    ), column
            return len(file["frames/step"])

    def check_views(self, folder, shown):
        for place, path in enumerate(sorted(folder.glob("T_*.h5md"))):
            with h5py.File(path, "r") as file:
                position = file["particles/trajectory/position"]
                assert len(position["value"]) == len(position["step"]) == len(position["time"]) == shown
                expected = self.shown["frames/position"][:shown, place]
                assert position["value"][...].tobytes() == expected.tobytes()
        if (
            MDAnalysis
            and shown
            and place == self.expected["frames/position"].shape[1] - 1
            and (folder / "system.pdb").exists()
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                universe = MDAnalysis.Universe(folder / "system.pdb", path)
            assert len(universe.trajectory) == shown
            for ts in universe.trajectory[:: max(1, shown // 5)]:
                assert ts.positions.tobytes() == expected[ts.frame].tobytes()
            universe.trajectory.close()

    def finish(self, name, ranks=None):
        """Continue to the end, on any number of ranks: equal to the run that was never killed. Then forget it."""
        result = self.run(name, "--continue", ranks=ranks)
        assert result.returncode == 0, result.stdout + result.stderr
        assert_same(self.folder / name, self.whole)
        pdb, expected = (folder / "system.pdb" for folder in (self.folder / name, self.whole))
        assert pdb.read_bytes() == expected.read_bytes()
        assert self.check(name) == tuple(
            len(self.expected[f"{group}/step"]) for group in ("frames", "exchanges")
        )
        shutil.rmtree(self.folder / name)


def small_config(folder, case="short", **changes):
    """The text of a config for a run of milliseconds, whose system is put into the folder."""
    case = CASES[case] | changes
    harmonic_wells(Path(folder) / "wells.h5", n_bead=3)
    return CONFIG.format(**case) + case.get("more", "")


def committed(folder):
    """Committed (frames, events) of each segment as the journal says, whose hash must be right."""
    path = folder / "journal"
    if not path.exists():
        return []
    text, digest = path.read_text().split("sha256 ")
    assert hashlib.sha256(text.encode()).hexdigest() == digest.strip()
    return [tuple(map(int, line.split()[1:])) for line in text.splitlines()[1:]]


def can_trace():
    """None, or why strace is of no use here."""
    if not shutil.which("strace"):
        return "no strace"
    done = subprocess.run(
        ["strace", "-o", "/dev/null", "-e", "inject=fsync:signal=KILL", "true"],
        capture_output=True,
        text=True,
    )
    return None if done.returncode == 0 else "strace: " + done.stderr.strip()


def strace(call, number):
    """Words that kill the program they stand in front of when it makes this call for the number-th time."""
    return [
        "strace",
        "-o",
        "/dev/null",
        "-e",
        f"trace={call}",
        "-e",
        f"inject={call}:signal=KILL:when={number}",
    ]


def kill_at_call(lab, rank, call, number):
    """Returns whether there was such a call. The run is killed there, checked, continued and checked again."""
    name = f"{call}_{rank}_{number}_{lab.ranks}"
    result = lab.run(name, around=lab.on_rank(rank, strace(call, number)))
    if result.returncode == 0:
        shutil.rmtree(lab.folder / name)
        return False
    folder = lab.folder / name
    if folder.exists():
        lab.check(name)
    lab.finish(name, ranks=random.Random(number).choice((1, lab.ranks)))
    return True


def count_calls(lab, rank):
    """How often the rank makes each of CALLS in a run (with several ranks, this may vary by a few)."""
    name = f"counted_{rank}"
    table = lab.folder / f"{name}.txt"
    assert lab.run(name, around=lab.on_rank(rank, ["strace", "-c", "-o", str(table)])).returncode == 0
    shutil.rmtree(lab.folder / name)
    lines = [line.split() for line in table.read_text().splitlines()]
    return {words[-1]: int(words[3]) for words in lines if words and words[-1] in CALLS}


def try_point(lab, rank, call, number):
    """What became of it, in a word, and in full if it is a failure."""
    try:
        return ("killed" if kill_at_call(lab, rank, call, number) else "ended"), ""
    except Exception:
        return "FAILED", traceback.format_exc()


def read_log(path):
    """Points that were tried before: {(rank, call, number): what became of it}."""
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return {(int(rank), call, int(number)): what for rank, call, number, what in lines}


def sweep(lab, options):
    """Kill at every call (or one in `every`) of each kind and rank, in an order in which those that come before the
    time is over are an even sample. In processes, because only one thread at a time can be in h5py. Returns the
    number of kills, with those of the log, and of failures."""
    start = time.monotonic()
    counts = [count_calls(lab, rank) for rank in range(lab.ranks)]
    points = [
        (rank, call, number)
        for rank in range(lab.ranks)
        for call in options.calls.split(",")
        for number in range(1, counts[rank].get(call, 0) + 1, options.every)
    ]
    random.Random(1).shuffle(points)
    tried = read_log(options.log) if options.log else {}
    left = [point for point in points if point not in tried]
    print(f"{len(points)} points, {len(left)} not tried before: {counts}", flush=True)
    tasks = ((lab, *point) for point in left if time.monotonic() - start < options.seconds)
    for n_done, ((_, *point), (what, why)) in enumerate(in_processes(options.jobs, try_point, tasks), 1):
        tried[tuple(point)] = what
        if options.log:
            with options.log.open("a") as log:
                print(*point, what, file=log)
        if why:
            print(*point, why, flush=True)
        if n_done % 20 == 0:
            print(f"{n_done} points, {time.monotonic() - start:.0f} s", flush=True)
    found = collections.Counter((rank, call, what) for (rank, call, _), what in tried.items())
    for rank, call, what in sorted(found):
        print(f"rank {rank}: {found[rank, call, what]:4} of {counts[rank].get(call, 0):4} {what} at {call}")
    words = collections.Counter(tried.values())
    return words["killed"], words["FAILED"]


def in_processes(jobs, function, tasks):
    """Yields (arguments, result) as they end; takes no more tasks than can be worked on. Stops at the first error."""
    tasks, running = iter(tasks), {}
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        while True:
            while len(running) < jobs and (task := next(tasks, None)):
                running[pool.submit(function, *task)] = task
            if not running:
                return
            for future in concurrent.futures.wait(running, return_when="FIRST_COMPLETED").done:
                yield running.pop(future), future.result()


def kill_at_random(lab, seconds, seed):
    """Kill and continue until the run is finished; returns the number of kills. Nothing committed is ever lost."""
    lot, name, how, before, n_kill = random.Random(seed), f"random_{seed}", [], (0, 0), 0
    while True:
        ranks = lot.choice((1, lab.ranks))
        process = lab.start(name, *how, ranks=ranks)
        how = ["--continue"]
        try:
            process.wait(lot.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            n_kill += 1
        if process.returncode == 0:
            break
        wait_until_gone(lab.folder / name)
        if (lab.folder / name).exists():
            now = lab.check(name)
            assert now[0] >= before[0] and now[1] >= before[1], (before, now)
            before = now
    lab.finish(name)
    return n_kill


def ranks_in(folder):
    """Processes of ours that have files of a run open."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words, place = (path / "cmdline").read_bytes().split(b"\0"), (path / "cwd").resolve()
        except OSError:  # it has just ended
            continue
        if f"output={folder.name}".encode() in words and place == folder.parent:
            yield int(path.name)


def wait_until_gone(folder):
    """mpirun's ranks are in process groups of their own and may outlive it for a moment."""
    for pid in ranks_in(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 30
    while any(True for _ in ranks_in(folder)):
        assert time.monotonic() < end, "a killed run does not end"
        time.sleep(0.01)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("sweep", "random"))
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--case", choices=CASES, default="short")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--calls", default=",".join(CALLS))
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="of a sweep: try no more after that"
    )
    parser.add_argument(
        "--log", type=Path, help="of a sweep: what became of which call; those in it are left out"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(folder, small_config(folder, options.case), options.ranks)
        start = time.monotonic()
        if options.what == "sweep":
            if why := can_trace():
                sys.exit(why)
            total, failed = sweep(lab, options)
            if failed:
                sys.exit(f"{failed} FAILED, {total} kills that were continued, all equal")
        else:
            subprocess.run(lab.command("timed"), cwd=folder, capture_output=True)
            seconds, total = 1.2 * (time.monotonic() - start), 0
            seeds = itertools.takewhile(lambda _: total < options.kills, itertools.count())
            for _, n in in_processes(options.jobs, kill_at_random, ((lab, seconds, seed) for seed in seeds)):
                total += n
                print(f"{total} kills, {time.monotonic() - start:.0f} s", flush=True)
        print(f"{total} kills, all continued, all equal: {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()

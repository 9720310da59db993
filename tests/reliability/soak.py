#!/usr/bin/env python3
"""A soak: runs of the demo that are killed over and over, on changing numbers of ranks, and still end as if nothing had
happened.

    soak.py [--kills 500] [--jobs 14] [--steps 300000] [--seconds 4]

For each of four kinds of exchange one run is never killed. Copies of it are killed at random moments and continued
until there were so many kills; after each one the committed rows are checked against the other run. At the end every
copy is finished, and all frames, exchanges, the checkpoint and summary.json must equal those of the run that was never
killed, bit for bit. By hand. In the environment: FRX_PROGRAM, the program, and FRX_MPIEXEC."""

import argparse
import concurrent.futures
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from kills import Lab, wait_until_gone
from run_files import state, summary

DEMO = Path(__file__).parents[2] / "configs" / "demo.h5"
CONFIG = """
system: {system}
output: out
start: 1
ladder: {{t_min: 300, t_max: 640, n_rungs: 6}}
n_timesteps: {steps}
exchange_interval: {exchange}
exchange_scheme: {scheme}
move: {move}
save_interval: 250
checkpoint_interval: 0.01
"""
KINDS = [
    {"scheme": "even-odd", "move": "configurations", "exchange": 100},
    {"scheme": "even-odd", "move": "temperatures", "exchange": 100},
    {"scheme": "stochastic-even-odd", "move": "temperatures", "exchange": 30},
    {"scheme": "gibbs", "move": "configurations", "exchange": 1000},
]


class Soak:
    def __init__(self, folder, options):
        self.options, self.lock, self.n_kill, self.n_run, self.n_segment = options, threading.Lock(), 0, 0, 0
        self.labs = [None] * len(KINDS)
        with concurrent.futures.ThreadPoolExecutor(len(KINDS)) as pool:
            self.labs = list(pool.map(lambda kind: self.prepare(folder, kind), range(len(KINDS))))

    def prepare(self, folder, kind):
        place = Path(folder) / f"kind{kind}"
        place.mkdir()
        return Lab(place, CONFIG.format(system=DEMO, steps=self.options.steps, **KINDS[kind]))

    def enough(self):
        return self.n_kill >= self.options.kills

    def worker(self, number):
        """Copies of the run, one after the other, until there were enough kills."""
        lot = random.Random(number)
        for copy in range(1000):
            lab = self.labs[(number + copy) % len(self.labs)]
            self.one_copy(lab, f"copy_{number}_{copy}", lot)
            if self.enough():
                return

    def one_copy(self, lab, name, lot):
        before, how = (0, 0), []
        while not self.enough():
            process = lab.start(name, *how, ranks=lot.choice((1, 1, 2, 3)))
            how = ["--continue"]
            try:
                process.wait(lot.uniform(0, self.options.seconds))
                assert process.returncode == 0, f"{name} ended with {process.returncode}"
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            wait_until_gone(lab.folder / name)
            with self.lock:
                self.n_kill += 1
                if self.n_kill % 50 == 0:
                    print(f"{self.n_kill} kills", flush=True)
            if (lab.folder / name).exists():
                now = lab.check(name)
                assert now[0] >= before[0] and now[1] >= before[1], (name, before, now)
                before = now
        with self.lock:
            self.n_run += 1
            self.n_segment += len(list((lab.folder / name).glob("segment_*.h5")))
        lab.finish(name)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=14)
    parser.add_argument("--steps", type=int, default=300000)
    parser.add_argument("--seconds", type=float, default=4)
    options = parser.parse_args()
    folder = tempfile.mkdtemp()
    start = time.monotonic()
    soak = Soak(folder, options)
    print(
        f"{len(KINDS)} runs of {options.steps} steps that are never killed: {time.monotonic() - start:.0f} s",
        flush=True,
    )
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for done in [pool.submit(soak.worker, number) for number in range(options.jobs)]:
            done.result()
    for lab, kind in zip(soak.labs, KINDS):
        s = summary(lab.whole)
        print(
            kind,
            "mean energies",
            [round(rung["energy_mean"], 4) for rung in s["rungs"]],
            "round trips",
            s["exchange"]["round_trips"],
            "events",
            s["exchange"]["events"],
        )
        assert state(lab.whole)
    seconds = time.monotonic() - start
    print(
        f"{soak.n_kill} kills in {soak.n_segment} segments of {soak.n_run} runs: all equal, {seconds:.0f} s"
    )
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()

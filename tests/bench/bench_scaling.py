"""Weak scaling over GPUs: bench_scaling.py SYSTEM [GPUS ..], with flashrex in $FRX_PROGRAM or on the PATH.

Runs one ladder with 64 rungs for each GPU, exchange and frames every 100 steps, as `flashrex run` does it for all.
Each GPU is measured alone, too, since two of a kind differ. Prints a table, with the share of the slowest GPU's rate
that is left.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CONFIG = """
system: {system}
output: run
ladder: {{t_min: 300, t_max: 450, n_rungs: {rungs}}}
engine: cuda
precision: mixed
n_timesteps: {steps}
exchange_interval: 100
save_interval: 100
start: 0
"""
RUNGS, STEPS = 64, int(os.environ.get("FRX_STEPS", 12000))


def run(system, n_gpu, folder, *arguments, visible=None):
    """The summary of a run on n_gpu GPUs, and its rate in replica-steps per second of each."""
    (folder / "run.yaml").write_text(CONFIG.format(system=system, rungs=RUNGS * n_gpu, steps=STEPS))
    command = ["mpirun", "-n", str(n_gpu), os.environ.get("FRX_PROGRAM", "flashrex"), "run", "run.yaml", "--overwrite"]
    environment = os.environ | ({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
    subprocess.run([*command, *arguments, "--progress", "quiet"], cwd=folder, env=environment, check=True)
    summary = json.loads((folder / "run" / "summary.json").read_text())
    return summary, summary["steps"] * RUNGS / summary["wall_seconds"]


def line(name, n_gpu, summary, rate, base):
    share = {k: f"{100 * v:.2f} %" for k, v in summary["time_share"].items()}
    print(
        f"| {name} | {n_gpu} | {rate:,.0f} | {rate / base:.4f} | {share['exchange']} ({share['exchange_waiting']}) |"
        f" {share['output']} |",
        flush=True,
    )


def main():
    system, counts = Path(sys.argv[1]).resolve(), [int(n) for n in sys.argv[2:]] or [1]
    print("| transport | GPUs | replica-steps/s and GPU | of the slowest alone | exchange (waiting) | output |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = [run(system, 1, folder, visible=str(gpu)) for gpu in range(max(counts))]
        base = min(rate for _, rate in alone)
        for gpu, (summary, rate) in enumerate(alone):
            line(f"GPU {gpu} alone", 1, summary, rate, base)
        for n_gpu in counts:
            for transport in ("nccl", "mpi") if n_gpu > 1 else ():
                line(transport, n_gpu, *run(system, n_gpu, folder, f"transport={transport}"), base)


main()

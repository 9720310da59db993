"""What goes wrong during a run: it ends soon, with one message, and can be continued. Faults are made by FRX_FAULT."""

import os
import re
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest
from system_files import chain_with_network
from test_checkpoint import assert_same, wait_for
from test_run import children

CHAIN = """
system: chain.h5
output: out
temperatures: [280, 310, 340, 380, 420]
dt: 0.002
n_timesteps: 900
exchange_interval: 20
save_interval: 30
checkpoint_interval: 0
"""


@pytest.fixture
def chain(tmp_path, write_config):
    chain_with_network(tmp_path / "chain.h5")
    return write_config(CHAIN)


def command(ranks, *arguments):
    program = [os.environ["FRX_PROGRAM"], *map(str, arguments)]
    return program if ranks == 1 else [os.environ["FRX_MPIEXEC"], "-n", str(ranks), *program]


def run(words, cwd, **environment):
    """Exit code and standard error. A run that does not end is a failure of the test."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    result = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)
    return result.returncode, result.stderr


HOLDS = r"replicas? [0-9, and]+ at [\d.]+( to [\d.]+)? K"
RANK_1 = rf"rank 1 \(process \d+, {HOLDS}\), last seen making steps after step 4[0-5]\d"
WAITS = r"rank \d has waited for \d s where ranks meet after step (4[5-9]|5\d)0"
FAULTS = [
    ("nan:replica=3", (1, 2, 4), 7, r"slot \d \(replica 3, [\d.]+ K\) diverged in step 450: bead 0 .*diverged_\*"),
    ("gpu-error:rank=0", (1,), 9, rf"after step 4[0-5]\d, with {HOLDS}"),
    ("gpu-error:rank=1", (2, 4), 9, rf"rank 1: .*after step 4[0-5]\d, with {HOLDS}"),
    ("kill:rank=1", (2, 4), 137, rf"{RANK_1}, has died"),
    ("stop:rank=1", (2, 4), 10, rf"{WAITS} for {RANK_1}"),
    ("hang:rank=1", (2,), 10, rf"{WAITS} for {RANK_1}"),
    ("lost:rank=1", (2,), 10, WAITS),
]


@pytest.mark.parametrize("fault, ranks, code, message", [(f, n, c, m) for f, all_n, c, m in FAULTS for n in all_n])
def test_fault(fault, ranks, code, message, chain, flashrex, tmp_path):
    flashrex("run", chain, "output=whole").ok()
    found, err = run(command(ranks, "run", chain, "watchdog=4"), tmp_path, FRX_FAULT=f"{fault},step=450")
    assert found == code, err
    assert err.count("flashrex: error") == 1 and re.search(message, err), err
    assert ("--continue" in err) == (code != 7)
    if code == 7:
        with h5py.File(tmp_path / "out" / "diverged_3.h5", "r") as file:
            assert file["positions"].shape == (1, 8, 3) and np.isnan(file["positions"][...]).any()
    flashrex("run", chain, "--continue", ranks=ranks).ok()
    assert_same(tmp_path / "out", tmp_path / "whole")
    if code == 7:
        flashrex("run", chain, "--overwrite").ok()
        assert not list((tmp_path / "out").glob("diverged_*"))


def test_replica_that_explodes(chain, flashrex, tmp_path):
    """Without FRX_FAULT: a step that is much too long. What is left of the replica can be looked at."""
    result = flashrex("run", chain, "dt=0.09", "temperatures=[420]", "exchange_interval=0")
    assert result.code == 7 and "diverged in step" in result.err and "diverged_*.h5" in result.err
    assert "CONECT" in (tmp_path / "out" / "diverged_0.pdb").read_text()
    out = flashrex("energy", "chain.h5", "--frames", "out/diverged_0.h5").ok().out
    assert len(out.splitlines()) >= 2


def test_faults_are_checked(chain, flashrex):
    for text in ("x", "nan", "nan:rank=1,step=2", "kill:rank=1", "kill:rank=1,step=2,", "slow:seconds=-1", "hang:"):
        result = flashrex("run", chain, FRX_FAULT=text)
        assert result.code == 2 and "FRX_FAULT" in result.err
    flashrex("run", chain, FRX_FAULT="").ok()


def test_slow_steps_are_no_fault(chain, flashrex):
    """Rank 0 waits for 4 s and more for a rank that is slower; the watchdog allows for how long its own steps take."""
    few = ["n_timesteps=2", "exchange_interval=2", "save_interval=0", "watchdog=3"]
    flashrex("run", chain, *few, ranks=2, FRX_FAULT="slow:seconds=4").ok()


def test_signal_before_the_first_step(chain, flashrex, tmp_path):
    """As soon as there is a folder, which is before the run loop."""
    flashrex("run", chain, "output=whole").ok()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "FRX_FAULT": "slow:seconds=0.005"}
    process = subprocess.Popen(command(1, "run", chain), cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    while not (tmp_path / "out").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=60) == 75
    flashrex("run", chain, "--continue").ok()
    assert_same(tmp_path / "out", tmp_path / "whole")


def test_suspended_job_goes_on(chain, flashrex, tmp_path):
    """All ranks stopped for longer than the watchdog waits, as `scontrol suspend` does, then let go."""
    flashrex("run", chain, "output=whole").ok()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "FRX_FAULT": "slow:seconds=0.002"}
    words = command(2, "run", chain, "watchdog=3")
    process = subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_for(tmp_path / "out" / "checkpoint", process)
        ranks = children(process.pid)
        assert len(ranks) == 2
        # one waits for the other when it is stopped, and again when it is let go
        for rank, number, seconds in ((1, signal.SIGSTOP, 0.5), (0, signal.SIGSTOP, 7), (0, signal.SIGCONT, 0.5)):
            os.kill(ranks[rank], number)
            time.sleep(seconds)
        os.kill(ranks[1], signal.SIGCONT)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
    assert_same(tmp_path / "out", tmp_path / "whole")

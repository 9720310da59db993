"""Stopping a run: signals and times lead to a checkpoint at once, and the run goes on as if nothing had happened."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from run_files import assert_same, start, wait_for
from system_files import chain_with_network

CHAIN = """
system: chain.h5
output: out
temperatures: [280, 310, 340, 380, 420]
dt: 0.002
n_timesteps: 1300
exchange_interval: 20
save_interval: 30
"""


@pytest.fixture
def chain(tmp_path, write_config):
    chain_with_network(tmp_path / "chain.h5")
    return write_config(CHAIN)


@pytest.mark.parametrize("ranks, number", [(1, signal.SIGINT), (3, signal.SIGUSR1)])
def test_signals_and_max_time(ranks, number, chain, flashrex, tmp_path):
    steps = ["n_timesteps=60000", "save_interval=600"]  # seconds: the signal has to come before the end
    process = start(chain, *steps, ranks=ranks, cwd=tmp_path)
    wait_for(tmp_path / "out" / "checkpoint", process)
    time.sleep(0.2)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75 and "--continue" in err
    result = flashrex("run", chain, *steps, "--continue", "--max-time", "0.0001", ranks=ranks)
    assert result.code == 75 and "stopped by --max-time after" in result.err
    flashrex("run", chain, *steps, "--continue").ok()
    flashrex("run", chain, "output=whole", *steps).ok()
    assert_same(tmp_path / "out", tmp_path / "whole")


def test_max_time_is_checked(chain, flashrex):
    for text in ("", "soon", "-1", "0", "1:30", "0:55:00x", "1e99", "nan"):
        result = flashrex("run", chain, "--max-time", text)
        assert result.code == 2 and "--max-time" in result.err
    flashrex("run", chain, "--max-time", "0:55:00").ok()
    flashrex("run", chain, "--max-time", "1-00:00:00", "--overwrite").ok()


def stopped_after(text):
    return int(re.search(r"stopped by .* after ([0-9,]+) steps?;", text)[1].replace(",", ""))


@pytest.mark.parametrize("ranks, number", [(1, signal.SIGTERM), (3, signal.SIGUSR1), (3, signal.SIGTERM)])
def test_signals_are_heard_between_exchanges(ranks, number, flashrex, write_config, tmp_path):
    """The exchange interval lasts for hours, and so would a block of 1000 steps for half a minute."""
    chain_with_network(tmp_path / "chain.h5", n_bead=200)
    slow = write_config(CHAIN)
    keys = ["precision=double", "exchange_interval=1e6", "save_interval=10"]
    process = start(slow, *keys, "n_timesteps=1e6", ranks=ranks, cwd=tmp_path)
    wait_for(tmp_path / "out" / "checkpoint", process)
    time.sleep(0.3)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    n_step = stopped_after(err)
    assert 0 < n_step < 1000
    if number != signal.SIGTERM or ranks == 1:  # mpirun has an exit code of its own after SIGTERM
        assert process.returncode == 75
    flashrex("run", slow, *keys, f"n_timesteps={n_step + 15}", "--continue", ranks=2).ok()
    flashrex("run", slow, *keys, f"n_timesteps={n_step + 15}", "output=whole").ok()
    assert_same(tmp_path / "out", tmp_path / "whole")


def children(pid):
    """Process ids of the ranks that mpirun started, the lowest rank first."""
    return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@pytest.mark.parametrize("first, second", [("TERM", "TERM"), ("USR1", "USR1"), ("INT", "TERM")])
def test_second_signal_stops_at_once(first, second, chain, tmp_path):
    """With rank 1 halted, the first signal cannot be obeyed. Two in quick succession are one."""
    first, second = getattr(signal, "SIG" + first), getattr(signal, "SIG" + second)
    for pause in (0.5, 0):
        process = start(chain, "n_timesteps=1e9", "save_interval=1e5", "--overwrite", ranks=2, cwd=tmp_path)
        wait_for(tmp_path / "out" / "checkpoint", process)
        rank = children(process.pid)
        os.kill(rank[1], signal.SIGSTOP)
        os.kill(rank[0], first)
        time.sleep(pause)
        os.kill(rank[0], second)
        if pause == 0:
            os.kill(rank[1], signal.SIGCONT)
        _, err = process.communicate(timeout=60)
        if pause:
            assert process.returncode == 128 + second and f"on signal {second.value}" in err
        else:
            assert process.returncode == 75
        (tmp_path / "out" / "checkpoint").unlink()


def test_end_of_the_slurm_job(chain, flashrex, tmp_path):
    """Slurm says when the job will end; what is not a time to come is ignored."""
    steps = ["n_timesteps=1e9", "save_interval=1e5"]
    result = flashrex("run", chain, *steps, ranks=2, SLURM_JOB_END_TIME=str(int(time.time()) + 3))
    assert result.code == 75 and "stopped by the end of the Slurm job after" in result.err
    result = flashrex(
        "run",
        chain,
        *steps,
        "--continue",
        "--max-time",
        "0.0001",
        SLURM_JOB_END_TIME=str(int(time.time()) + 9000),
    )
    assert result.code == 75 and "stopped by --max-time after" in result.err
    for text in ("0", "soon", "", str(int(time.time()) - 10)):
        flashrex("run", chain, "--overwrite", SLURM_JOB_END_TIME=text).ok()

"""`flashrex run --continue`: as if the run had never stopped."""

import os
import random
import shutil
import subprocess
import time

import h5py
import pytest
from run_files import assert_same, journal, rows, start, state, summary, wait_for, written
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


@pytest.fixture
def whole(chain, flashrex, tmp_path):
    """A run that was never stopped, in the folder `whole`."""
    flashrex("run", chain, "output=whole").ok()
    return tmp_path / "whole"


@pytest.mark.parametrize("move", ["configurations", "temperatures"])
def test_more_steps_on_other_numbers_of_ranks_equal_one_run(move, chain, flashrex, tmp_path):
    flashrex("run", chain, "output=whole", f"move={move}").ok()
    whole = tmp_path / "whole"
    assert (rows(whole)["exchanges/accepted"] > 0).any() and len(rows(whole)["frames/step"]) == 43
    chains = {"one": [(650, 1), (1300, 1)], "more": [(650, 1), (1300, 3)], "less": [(430, 4), (1010, 2), (1300, 2)]}
    for name, jobs in chains.items():
        for job, (steps, ranks) in enumerate(jobs):
            how = ["--continue"] if job else []
            flashrex("run", chain, f"output={name}", f"move={move}", f"n_timesteps={steps}", *how, ranks=ranks).ok()
        assert len(list((tmp_path / name).glob("segment_*.h5"))) == len(jobs)
        assert_same(tmp_path / name, whole)
    assert "frames     43, steps 30 to 1,290" in flashrex("info", "less").ok().out
    # a run with another seed is another run: the comparison sees it
    flashrex("run", chain, "output=other", f"move={move}", "seed=2").ok()
    assert state(tmp_path / "other")["slots"] != state(whole)["slots"]


def test_without_exchange_and_without_frames(chain, flashrex, tmp_path):
    keys = ["exchange_interval=0", "save_interval=0", "n_ladders=2"]
    flashrex("run", chain, "output=whole", "n_timesteps=2500", *keys).ok()
    flashrex("run", chain, *keys, "n_timesteps=1700", ranks=2).ok()
    flashrex("run", chain, *keys, "n_timesteps=2500", "--continue", ranks=3).ok()
    assert_same(tmp_path / "out", tmp_path / "whole")


def test_views_show_all_segments(chain, whole, flashrex, tmp_path):
    for steps, how in [(400, []), (700, ["--continue"]), (1300, ["--continue"])]:
        flashrex("run", chain, f"n_timesteps={steps}", *how).ok()
    script = (
        "import sys, MDAnalysis as mda\n"
        "def read(folder):\n"
        "    u = mda.Universe(f'{folder}/system.pdb', f'{folder}/T_02_340.0K.h5md')\n"
        "    return [(ts.data['step'], ts.time, ts.positions.tobytes()) for ts in u.trajectory]\n"
        "a, b = read('out'), read('whole')\n"
        "assert len(a) == 43 and len(set(p for _, _, p in a)) == 43\n"
        "assert a == b\n"
    )
    python = os.environ["FRX_SYSTEM_PYTHON"]
    if subprocess.run([python, "-c", "import MDAnalysis"], capture_output=True).returncode != 0:
        pytest.skip("no MDAnalysis")
    result = subprocess.run([python, "-W", "ignore", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_finished_run_stays_as_it_is(chain, whole, flashrex):
    before = summary(whole)
    flashrex("run", chain, "output=whole", "--continue").ok()
    assert len(list(whole.glob("segment_*.h5"))) == 1 and summary(whole) == before


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_damaged_checkpoints(chain, whole, flashrex, tmp_path):
    flashrex("run", chain, "n_timesteps=650", "checkpoint_interval=0").ok()
    size = (tmp_path / "out" / "checkpoint").stat().st_size
    for name, damage in {
        "flipped": lambda path: flip(path, size // 2),
        "cut": lambda path: os.truncate(path, size - 7),
        "empty": lambda path: os.truncate(path, 0),
        "gone": lambda path: path.unlink(),
    }.items():
        folder = tmp_path / name
        shutil.copytree(tmp_path / "out", folder)
        damage(folder / "checkpoint")
        out = flashrex("run", chain, f"output={name}", "--continue").ok().out
        assert "warning" in out and "going on from the checkpoint before it" in out and "after 640 steps" in out
        assert_same(folder, whole)
    flip(tmp_path / "out" / "checkpoint", 100)
    flip(tmp_path / "out" / "checkpoint.prev", size - 3)  # in the digest
    for ranks in (1, 2):
        result = flashrex("run", chain, "--continue", ranks=ranks)
        assert result.code == 3 and result.err.count("error") == 1 and "no checkpoint can be used" in result.err
    assert len(list((tmp_path / "out").glob("segment_*.h5"))) == 1


def test_what_may_change_and_what_not(chain, whole, flashrex, tmp_path):
    flashrex("run", chain, "n_timesteps=650").ok()
    for change, word in [
        ("seed=2", "seed"),
        ("dt=0.001", "dt"),
        ("temperatures=[280, 310, 340, 380, 421]", "temperatures"),
        ("n_ladders=2", "n_ladders"),
        ("friction=2", "friction"),
        ("exchange_interval=10", "exchange_interval"),
        ("move=temperatures", "move"),
        ("save_interval=60", "save_interval"),
        ("precision=double", "precision"),
        ("n_timesteps=649", "fewer than the 650"),
    ]:
        result = flashrex("run", chain, "--continue", change)
        assert result.code == 2 and word in result.err, result.err
    result = flashrex("run", chain, "--continue", "seed=2", "dt=0.001", "move=temperatures", "n_threads=1")
    assert "dt: the run was started with" in result.err and "; also changed: seed, move" in result.err
    with h5py.File(tmp_path / "chain.h5", "r") as old, h5py.File(tmp_path / "other.h5", "w") as new:
        for name in old:
            old.copy(name, new)
        new.attrs.update(old.attrs)
        new["beads/mass"][0] *= 1.01
    result = flashrex("run", chain, "--continue", "system=other.h5")
    assert result.code == 2 and "SHA-256" in result.err
    assert flashrex("run", chain, "--continue", "--overwrite").code == 2
    assert flashrex("run", chain).code == 5
    assert len(list((tmp_path / "out").glob("segment_*.h5"))) == 1
    (tmp_path / "chain.h5").rename(tmp_path / "moved.h5")
    (tmp_path / "out").rename(tmp_path / "place")
    changes = ["system=moved.h5", "output=place", "log_interval=10", "checkpoint_interval=1", "n_threads=2"]
    flashrex("run", chain, "--continue", *changes).ok()
    for name, data in rows(whole).items():
        assert rows(tmp_path / "place")[name].tobytes() == data.tobytes(), name
    # what is not continued: nothing there is a new run, a run without checkpoint an error
    for path in (tmp_path / "place").glob("checkpoint*"):
        path.unlink()
    result = flashrex("run", chain, "--continue", *changes)
    assert result.code == 2 and "without a checkpoint" in result.err
    flashrex("run", chain, "system=moved.h5", "output=place", "seed=3", "--overwrite").ok()
    assert len(list((tmp_path / "place").glob("segment_*.h5"))) == 1 and len(journal(tmp_path / "place")) == 1


LONG = ["n_timesteps=5000", "save_interval=50"]


@pytest.fixture
def long(chain, flashrex, tmp_path):
    flashrex("run", chain, "output=whole", *LONG).ok()
    return tmp_path / "whole"


def test_kill_at_random_moments(chain, long, flashrex, tmp_path):
    lot, out, how, n_kill = random.Random(7), tmp_path / "out", [], 0
    while n_kill < 10:
        before = written(out / "checkpoint")
        process = start(chain, *LONG, "checkpoint_interval=0", *how, cwd=tmp_path)
        how = ["--continue"]
        wait_for(out / "checkpoint", process, before)
        time.sleep(lot.uniform(0, 0.1))
        if process.poll() is not None:
            break
        process.kill()
        process.communicate()
        n_kill += 1
        counted = rows(out)  # readable whenever it was killed, and right as far as it goes
        for name, data in rows(long).items():
            assert data[: len(counted[name])].tobytes() == counted[name].tobytes(), name
    assert n_kill > 4 and len(journal(out)) >= n_kill
    assert "run" in flashrex("info", "out").ok().out
    flashrex("run", chain, *LONG, "--continue").ok()
    assert_same(out, long)

"""Kills at write-like system calls and at random moments: a few of those that kills.py tries."""

import kills
import pytest


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """lab(case, ranks): folders are shared by the tests of this file."""
    labs = {}

    def get(case="short", ranks=1):
        if (case, ranks) not in labs:
            folder = tmp_path_factory.mktemp(f"{case}{ranks}")
            labs[case, ranks] = kills.Lab(folder, kills.small_config(folder, case), ranks)
        return labs[case, ranks]

    return get


@pytest.fixture
def strace():
    if why := kills.can_trace():
        pytest.skip(why)


# in the order in which they come: making the run, the first checkpoint, commits and checkpoints, the end
POINTS = [
    ("mkdir", 1), ("write", 60), ("fsync", 3), ("rename", 2), ("fsync", 12), ("link", 1), ("fallocate", 1),
    ("pwrite64", 1), ("pwrite64", 40), ("pwrite64", 77), ("rename", 15), ("fsync", 25), ("link", 4), ("unlink", 5),
    ("pwrite64", 131), ("rename", 22), ("pwrite64", 190), ("ftruncate", 1),
]  # fmt: skip


@pytest.mark.parametrize("call, number", POINTS)
def test_kill_at_call(call, number, lab, strace):
    assert kills.kill_at_call(lab(), 0, call, number)


@pytest.mark.parametrize("rank, call, number", [(0, "pwrite64", 60), (1, "pwrite64", 3), (3, "fsync", 2)])
def test_kill_one_of_four_ranks_at_call(rank, call, number, lab, strace):
    assert kills.kill_at_call(lab(ranks=4), rank, call, number)


def test_kill_while_a_ladder_is_adapted(lab, strace):
    for call, number in [("pwrite64", 50), ("rename", 25), ("fsync", 60)]:
        assert kills.kill_at_call(lab("adapt"), 0, call, number)


def test_kill_at_random_moments(lab):
    assert sum(kills.kill_at_random(lab(ranks=3), 2, seed) for seed in range(4)) > 0


def test_the_comparison_sees_what_is_wrong(lab, tmp_path):
    """Negative control: frames that are not those of the run, and frames that nobody committed."""
    import shutil

    import h5py

    right, name = lab(), "wrong"
    folder = right.folder / name
    shutil.copytree(right.whole, folder)
    with h5py.File(folder / "segment_0001.h5", "r+") as file:
        file["frames/position"][3, 2, 1, 0] += 1e-4
    with pytest.raises(AssertionError):
        right.check(name)
    shutil.rmtree(folder)
    shutil.copytree(right.whole, folder)
    lines = (folder / "journal").read_text().replace(" 12 6", " 11 6")
    (folder / "journal").write_text(lines)
    with pytest.raises(AssertionError):
        right.check(name)
    shutil.rmtree(folder)

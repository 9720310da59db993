"""Power failures in a run, and kills at every one of its calls: a few of those that power.py tries."""

import random

import kills
import power
import pytest


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """By case and ranks: a laboratory and the calls of a run."""
    if why := kills.can_trace():
        pytest.skip(why)
    made = {}

    def get(case="short", ranks=1):
        if (case, ranks) not in made:
            folder = tmp_path_factory.mktemp("power")
            lab = kills.Lab(folder, kills.small_config(folder, case), ranks)
            made[case, ranks] = lab, power.record(lab, "recorded")
        return made[case, ranks]

    return get


@pytest.mark.parametrize("way", power.WAYS)
def test_run_goes_on_after_a_power_failure(way, recorded):
    lab, calls = recorded()
    points = power.find_points(calls, lab.folder / "recorded", [way], 1)
    for point in random.Random(1).sample(points, 5):
        power.fail_after(lab, calls, *point)


@pytest.mark.parametrize("case, ranks", [("long", 1), ("long", 2), ("short", 4), ("adapt", 1)])
def test_committed_rows_survive_every_call(case, ranks, recorded):
    """Also those by which HDF5 makes its index of chunks larger, in the long run."""
    lab, calls = recorded(case, ranks)
    assert power.check_all(lab, calls, ("all", "some"), random.Random(1)) > 900


@pytest.mark.parametrize("forgotten", ["journal.tmp", "checkpoint.tmp", "segment_0001.h5", "system.pdb.tmp"])
def test_the_disk_forgets_what_is_not_forced_to_it(forgotten, recorded):
    """Negative control: a program that does not force a file to the disk, or not the name of its folder."""
    lab, calls = recorded()
    careless = [(call, a) for call, a in calls if call != "fsync" or not a[0].endswith("/" + forgotten)]
    with pytest.raises((AssertionError, OSError, ValueError, KeyError, EOFError, IndexError)):
        power.fail_after(lab, careless, len(careless), "names")


def test_the_disk_forgets_names_that_are_not_forced_to_it(recorded):
    lab, calls = recorded()
    parent = str(lab.folder)
    careless = [(call, a) for call, a in calls if call != "fsync" or a[0] != parent]
    assert len(careless) < len(calls)
    with pytest.raises(AssertionError):
        power.fail_after(lab, careless, len(careless), "forced")

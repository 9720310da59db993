"""Runs that adapt their ladder: `adapt_ladder`."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from run_files import assert_same, rows
from system_files import chain_with_network

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from flashrex_tools.run_directory import read_run  # noqa: E402

BOLTZMANN = 0.0019872
CHAIN = """
system: chain.h5
output: out
temperatures: [200, 400, 410, 420, 600]   # two wide gaps
adapt_ladder: 7                           # 254 exchanges
n_ladders: 2
dt: 0.002
n_timesteps: 10160                        # as many again
exchange_interval: 20
save_interval: 50
"""
STEPS, EVENTS = 254 * 20, 254


@pytest.fixture
def chain(tmp_path, write_config):
    chain_with_network(tmp_path / "chain.h5")
    return write_config(CHAIN)


def read(path):
    with h5py.File(path, "r") as file:
        data = {f"{g}/{name}": data[...] for g in ("frames", "exchanges", "run") for name, data in file[g].items()}
        return data | {"run": dict(file["run"].attrs), "committed": tuple(file["committed"][...])}


def test_adapts_first_then_samples_with_a_ladder_that_stays(chain, flashrex, tmp_path):
    result = flashrex("run", chain).ok()
    first, second = read(tmp_path / "out" / "segment_0001.h5"), read(tmp_path / "out" / "segment_0002.h5")
    assert not (tmp_path / "out" / "segment_0003.h5").exists()

    # what was sampled meanwhile lies apart and is flagged
    assert first["run"]["adapting"] == 1 and second["run"]["adapting"] == 0
    assert first["committed"] == (STEPS // 50, EVENTS) and second["committed"] == (102, EVENTS)
    for data, flag in ((first, 1), (second, 0)):
        assert (data["frames/adapting"] == flag).all() and (data["exchanges/adapting"] == flag).all()
    assert first["frames/step"].max() <= STEPS < second["frames/step"].min()
    assert list(first["exchanges/event"]) + list(second["exchanges/event"]) == list(range(2 * EVENTS))

    # a ladder per round, each better than the first, all with the same ends
    beta = first["exchanges/beta"]
    ends = np.cumsum(2 ** np.arange(1, 8))
    changes = 1 + np.flatnonzero((np.diff(beta, axis=0) != 0).any(1))
    assert list(changes) == list(ends[:-1])
    np.testing.assert_allclose(1 / (BOLTZMANN * beta[0]), [200, 400, 410, 420, 600])
    ladder = second["run/beta"]
    for row in (*beta, ladder):
        assert (np.diff(row) < 0).all() and row[0] == beta[0, 0] and row[-1] == beta[0, -1]
    assert "exchanges/beta" not in second
    before = 1 - first["exchanges/probability"][:2].mean((0, 1))
    after = 1 - second["exchanges/probability"].mean((0, 1))
    spread = [np.ptp(r) / r.mean() for r in (before, after)]
    assert spread[1] < 0.25 < 0.8 < spread[0], spread
    # the swaps of the first segment were decided with the ladder that is noted there
    for e in (0, 3, 100, 253):
        u, b = first["exchanges/energy"][e].reshape(2, 5), beta[e]
        expected = np.minimum(1, np.exp((b[:-1] - b[1:]) * (u[:, :-1] - u[:, 1:])))
        np.testing.assert_allclose(first["exchanges/probability"][e], expected, rtol=1e-9)

    # nobody counts what was sampled meanwhile
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    kelvin = 1 / (BOLTZMANN * ladder)
    np.testing.assert_allclose([r["temperature"] for r in summary["rungs"]], kelvin)
    assert summary["exchange"]["events"] == EVENTS and summary["frames"] == 102
    energy = second["exchanges/energy"].reshape(-1, 5)
    np.testing.assert_allclose([r["energy_mean"] for r in summary["rungs"]], energy.mean(0), rtol=1e-12)
    everything = np.concatenate([first["exchanges/energy"].reshape(-1, 5), energy]).mean(0)
    assert abs(everything[1] / energy.mean(0)[1] - 1) > 1e-3  # would be seen
    np.testing.assert_allclose([r["acceptance_to_next"] for r in summary["rungs"][:-1]], 1 - after, rtol=1e-12)
    run = read_run(tmp_path / "out")
    np.testing.assert_array_equal(run.time, second["frames/time"])
    np.testing.assert_allclose(run.temperatures, np.tile(kelvin, 2))
    info = flashrex("info", "out").ok().out
    assert "frames     102, steps 5,100 to 10,150" in info and "exchanges  254" in info
    assert "adapting   101 frames and 254 exchanges before these" in info
    names = sorted(p.name for p in (tmp_path / "out").glob("*.h5md"))
    assert names == [f"ladder_{p // 5}_T_{p % 5:02d}_{kelvin[p % 5]:.1f}K.h5md" for p in range(10)]
    with h5py.File(tmp_path / "out" / names[3], "r") as view:
        np.testing.assert_array_equal(view["particles/trajectory/position/step"][...], second["frames/step"])
        np.testing.assert_array_equal(view["coordinates"][...], second["frames/position"][:, 3])
        np.testing.assert_allclose(view["flashrex"].attrs["temperature"], kelvin[3])

    # the user is told
    assert "adapt     the ladder during the first 5,080 steps" in result.out
    said = re.search(r"adapted +(.*) K", result.out)[1]
    np.testing.assert_allclose([float(t) for t in said.split(",")], kelvin, atol=0.006)


@pytest.mark.parametrize("move", ["configurations", "temperatures"])
def test_stops_anywhere_and_goes_on_bit_for_bit(move, chain, flashrex, tmp_path):
    keys = ["adapt_ladder=3", "exchange_interval=1", "n_timesteps=35", "save_interval=2", f"move={move}"]
    flashrex("run", chain, "output=whole", *keys).ok()
    ladder = read(tmp_path / "whole" / "segment_0002.h5")["run/beta"]
    for job in range(17):  # one exchange each; rounds end after 2, 6 and 14, where adaptation ends and no job stops
        result = flashrex("run", chain, *keys, "--continue", "--max-time", "1e-9", ranks=(1, 3, 2, 4)[job % 4])
        assert result.code == 75 and f"after {job + 1 + (job >= 13)} step" in result.err, result.err
        summary = json.loads((tmp_path / "out" / "summary.json").read_text())
        assert ("This is round" in result.out) == ("adapting" in summary) == (job < 13), job
        if job == 9:
            assert "\nThis is round 3 of 3 of adapting the ladder, of which nothing is counted.\n" in result.out
            assert not list((tmp_path / "out").glob("*.h5md"))
            assert "frames     0\n" in flashrex("info", "out").ok().out
            run = read_run(tmp_path / "out")
            assert len(run.time) == 0
    flashrex("run", chain, *keys, "--continue", ranks=2).ok()
    assert_same(tmp_path / "out", tmp_path / "whole")
    last = sorted((tmp_path / "out").glob("segment_*.h5"))[-1]
    assert read(last)["run/beta"].tobytes() == ladder.tobytes()
    assert (rows(tmp_path / "out")["exchanges/adapting"] == (np.arange(35) < 14)).all()
    with h5py.File(next((tmp_path / "out").glob("ladder_1_T_01*")), "r") as view:
        assert list(view["particles/trajectory/position/step"][...]) == list(range(16, 36, 2))
    # a longer run has the same ladder; another number of rounds is another run
    flashrex("run", chain, *keys, "--continue", "n_timesteps=40").ok()
    result = flashrex("run", chain, *keys, "--continue", "n_timesteps=45", "adapt_ladder=4")
    assert result.code == 2 and "adapt_ladder" in result.err


def test_the_same_on_any_number_of_ranks_with_either_move(chain, flashrex, tmp_path):
    """The ladder depends on energies that are in another place with each."""
    keys = ["adapt_ladder=4", "n_timesteps=1000", "save_interval=70"]
    flashrex("run", chain, *keys).ok()
    expected = rows(tmp_path / "out")
    for ranks, move in ((4, "temperatures"), (3, "configurations")):
        flashrex("run", chain, *keys, "output=other", f"move={move}", "--overwrite", ranks=ranks).ok()
        found = rows(tmp_path / "other")
        assert set(found) == set(expected)
        for name, data in expected.items():
            assert found[name].tobytes() == data.tobytes(), name


def test_what_makes_no_sense_is_refused(chain, flashrex, tmp_path):
    for keys, words in [
        (["temperatures=[300, 400]"], "at least three temperatures"),
        (["exchange_interval=0"], "needs exchanges"),
        (["n_timesteps=5080"], "254 exchanges and take 5080 steps"),
        (["adapt_ladder=25"], "from 0 to 24"),
        (["adapt_ladder=24", "exchange_interval=1000000000000"], "n_timesteps"),
        (["ladder=adapt"], "adapt_ladder: 10"),
    ]:
        result = flashrex("run", chain, *keys)
        assert result.code == 2 and words in result.err, result.err
    assert not (tmp_path / "out").exists()


def test_views_of_an_adapted_run_in_mdanalysis(chain, flashrex, tmp_path):
    flashrex("run", chain, "adapt_ladder=3", "n_timesteps=700", ranks=2).ok()
    python = os.environ["FRX_SYSTEM_PYTHON"]
    if subprocess.run([python, "-c", "import MDAnalysis"], capture_output=True).returncode != 0:
        pytest.skip("no MDAnalysis")
    name = next((tmp_path / "out").glob("ladder_0_T_02*")).name
    script = (
        "import MDAnalysis as mda\n"
        f"u = mda.Universe('out/system.pdb', 'out/{name}')\n"
        "assert [ts.data['step'] for ts in u.trajectory] == list(range(300, 701, 50))\n"
    )
    result = subprocess.run([python, "-W", "ignore", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_example(flashrex, tmp_path):
    config = Path(__file__).parents[2] / "configs" / "demo-adapt.yaml"
    out = flashrex("run", config, "adapt_ladder=5", "n_timesteps=8000", f"output={tmp_path}/demo").ok().out
    assert "adapt     the ladder during the first 6,200 steps" in out
    assert len(read_run(tmp_path / "demo").time) == 4
    assert "temperatures: [300, " in flashrex("ladder", config, "--rounds", 4).ok().out

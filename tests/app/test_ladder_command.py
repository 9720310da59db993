"""`flashrex ladder` against the closed form of oscillators, and against runs with what it says."""

import json
import math
import re

import h5py
import numpy as np
import pytest
from system_files import chain_with_network, harmonic_wells

WELLS = """
system: wells.h5
output: out
temperatures: [300, 310, 320, 450, 900]   # badly placed
n_ladders: 4
dt: 0.02
friction: 5
n_timesteps: 30000
exchange_interval: 10
save_interval: 0
"""
D = 30  # degrees of freedom


def acceptance_of(ratio):
    """2 I_x(n, n) with x = 1/(1 + ratio), n = d/2, as a binomial tail."""
    n, x = D // 2, 1 / (1 + ratio)
    return 2 * sum(math.comb(2 * n - 1, j) * x**j * (1 - x) ** (2 * n - 1 - j) for j in range(n, 2 * n))


BARRIER = math.gamma((D + 1) / 2) / math.sqrt(math.pi) / math.gamma(D / 2) * math.log(3)


@pytest.fixture
def wells(tmp_path, write_config):
    harmonic_wells(tmp_path / "wells.h5", n_bead=D // 3)
    return write_config(WELLS)


def test_oscillators(wells, flashrex, tmp_path):
    found = json.loads(flashrex("ladder", wells, "--rounds", "12", "--json").ok().out)
    assert found["barrier"] == pytest.approx(BARRIER, rel=0.02) and "warning" not in found
    assert found["pilot"]["exchanges_measured"] == 4096 and found["pilot"]["steps"] == 8190 * 10
    for rung in found["pilot"]["rungs"]:
        assert rung["energy_mean"] == pytest.approx(D / 2 * 0.0019872 * rung["temperature"], rel=0.02)

    # as few rungs as have the wanted acceptance, at a constant ratio of temperatures
    n = found["rungs"]
    assert acceptance_of(3 ** (1 / (n - 1))) >= 0.44 > 0.43 > acceptance_of(3 ** (1 / (n - 2)))
    assert found["acceptance"] == pytest.approx(acceptance_of(3 ** (1 / (n - 1))), abs=0.02)
    np.testing.assert_allclose(found["temperatures"], 300 * 3 ** (np.arange(n) / (n - 1)), rtol=0.015)
    assert len(found["temperatures"]) == n and found["temperatures"][0] == 300 and found["temperatures"][-1] == 900

    # for a number of replicas, and on other numbers of ranks the same
    pilots = [flashrex("ladder", wells, "--json", "--replicas", 10, "--rounds", 8, ranks=r).ok().out for r in (1, 3)]
    first, second = (json.loads(p) for p in pilots)
    for pilot in (first, second):
        del pilot["pilot"]["wall_seconds"]
    assert first == second and first["rungs"] == len(first["temperatures"]) == 10
    assert first["acceptance"] == pytest.approx(acceptance_of(3 ** (1 / 9)), abs=0.04)
    assert not (tmp_path / "out").exists()

    # pasted into a config the line does what it says, which the first temperatures did not
    text = flashrex("ladder", wells, "--rounds", "12").ok().out
    line = re.search(r"^temperatures: \[.*\]$", text, re.M)[0]
    new = WELLS.replace(re.search("^temperatures.*$", WELLS, re.M)[0], line)
    (tmp_path / "new.yaml").write_text(new)
    rates = []
    for config in ("new.yaml", wells):
        flashrex("run", config, "--overwrite").ok()
        with h5py.File(tmp_path / "out" / "segment_0001.h5", "r") as file:
            rates.append(file["exchanges/probability"][...].mean((0, 1)))
    np.testing.assert_allclose(rates[0], found["acceptance"], atol=0.04)
    assert np.ptp(rates[1]) > 0.5


def test_words(tmp_path, write_config, flashrex):
    chain_with_network(tmp_path / "chain.h5")
    config = write_config(
        "system: chain.h5\noutput: out\nladder: {t_min: 200, t_max: 600, n_rungs: 4}\ndt: 0.002\nn_timesteps: 9\n"
    )
    out = flashrex("ladder", config, "--rounds", 7, "exchange_interval=20").ok().out
    assert "pilot     254 exchanges of 4 rungs from 200 to 600 K, 5,080 steps; nothing is saved" in out
    rungs, acceptance = re.search(r"Barrier [\d.]+: (\d+) rungs are accepted with ([\d.]+)", out).groups()
    assert re.search(rf"^-> +{rungs} +{acceptance} ", out, re.M), out
    assert "warning" not in out
    out = flashrex("ladder", config, "--rounds", 5, "--replicas", 40, "n_ladders=2").ok().out
    assert re.search(r"40 replicas are more than a ladder needs: n_ladders: \d+ with \d rungs each would do more", out)
    assert "2 ladders of these are 80 replicas" in out
    few = "32 exchanges are few, so these numbers are rough; make --rounds larger"
    assert f"\nwarning: {few}\n" in out
    assert json.loads(flashrex("ladder", config, "--rounds", 5, "--json").ok().out)["warning"] == few
    out = flashrex("ladder", config, "--rounds", 5, "ladder={t_min: 20, t_max: 9000, n_rungs: 2}").ok().out
    assert "these numbers are rough; give it more rungs, as in ladder.n_rungs=" in out
    for arguments, words in [
        (["--acceptance", "1"], "from 0.01 to 0.99"),
        (["--acceptance", "0.5x"], "from 0.01 to 0.99"),
        (["--acceptance", "0.3", "--replicas", "8"], "exclude each other"),
        (["--replicas", "1"], "from 2 to 4096"),
        (["--rounds", "21"], "from 1 to 20"),
        (["temperatures=[300]"], "its two ends"),
        (["exchange_interval=0"], "has to exchange"),
    ]:
        result = flashrex("ladder", config, *arguments)
        assert result.code == 2 and words in result.err, result.err

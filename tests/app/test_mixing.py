"""What a run says about its mixing, against a recount of its exchanges."""

import json
import re

import h5py
import numpy as np
import pytest
from system_files import chain_with_network

CHAIN = """
system: chain.h5
output: out
temperatures: [280, 310, 340, 380]
n_ladders: 2
dt: 0.002
n_timesteps: 12000
exchange_interval: 20
save_interval: 0
"""


@pytest.fixture
def chain(tmp_path, write_config):
    chain_with_network(tmp_path / "chain.h5")
    return write_config(CHAIN)


def recount(folder):
    """Everything in `mixing`, from the exchanges of all segments."""
    parts = {"identity": [], "from": [], "probability": []}
    for path in sorted(folder.glob("segment_*.h5")):
        with h5py.File(path, "r") as file:
            beta = file["run/beta"][...]
            for name, part in parts.items():
                part.append(file["exchanges"][name][: file["committed"][1]])
    identity, origin, probability = (np.concatenate(parts[name]) for name in ("identity", "from", "probability"))
    n_event, n_ladder, n_pair = probability.shape
    n_rung, n_replica = n_pair + 1, n_ladder * (n_pair + 1)
    label = [None] * n_replica
    trips, restarts = np.zeros(n_replica, int), np.zeros(n_replica, int)
    residence, ups = np.zeros((n_replica, n_rung), int), np.zeros((2, n_ladder, n_rung))
    for before, source in zip(identity.reshape(n_event, n_ladder, n_rung), origin.reshape(n_event, n_ladder, n_rung)):
        for ladder in range(n_ladder):
            for rung, replica in enumerate(before[ladder][source[ladder]]):
                residence[replica, rung] += 1
                if rung == n_pair:
                    trips[replica] += label[replica] == "up"
                    label[replica] = "down"
                elif rung == 0 and label[replica] == "down":
                    restarts[replica] += 1
                    label[replica] = "up"
                if label[replica]:
                    ups[int(label[replica] == "down"), ladder, rung] += 1
    acceptance = probability.mean(0)
    rejection = 1 - acceptance
    return {
        "n_event": [n_event],
        "acceptance": acceptance,
        "barrier": np.concatenate([np.zeros((n_ladder, 1)), rejection.cumsum(1)], 1),
        "barrier_density": rejection / -np.diff(beta),
        "up_fraction": ups[0] / ups.sum(0),
        "round_trip_rate": trips.reshape(n_ladder, n_rung).sum(1) / n_event,
        "predicted_round_trip_rate": 1 / (2 + 2 * (rejection / acceptance).sum(1)),
        "round_trips": trips,
        "tempered_restarts": restarts,
        "residence": residence,
    }


def saved(path):
    with h5py.File(path, "r") as file:
        return {name: data[...] for name, data in file["mixing"].items()}


def test_numbers(chain, flashrex, tmp_path):
    flashrex("run", chain, "n_timesteps=7000").ok()
    out = flashrex("run", chain, "--continue", "--progress", "lines", "log_interval=12000", ranks=3).ok().out
    expected = recount(tmp_path / "out")
    found = saved(tmp_path / "out" / "segment_0002.h5")
    assert set(found) == set(expected) and expected["n_event"] == [600]
    assert expected["round_trips"].sum() > 5 and (expected["residence"] > 0).sum() > 20
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, err_msg=name)
    assert saved(tmp_path / "out" / "segment_0001.h5")["n_event"] == [350]

    exchange = json.loads((tmp_path / "out" / "summary.json").read_text())["exchange"]
    assert exchange["round_trips"] == expected["round_trips"].sum()
    assert exchange["tempered_restarts"] == expected["tempered_restarts"].sum()
    assert [r["round_trips"] for r in exchange["replicas"]] == list(expected["round_trips"])
    assert [r["tempered_restarts"] for r in exchange["replicas"]] == list(expected["tempered_restarts"])
    assert [r["ladder"] for r in exchange["replicas"]] == [0] * 4 + [1] * 4
    for name in ("acceptance", "barrier_density"):
        np.testing.assert_allclose([p[name] for p in exchange["pairs"]], expected[name].mean(0), rtol=1e-12)
    np.testing.assert_allclose([p["barrier"] for p in exchange["pairs"]], expected["barrier"].mean(0)[1:], rtol=1e-12)
    info = flashrex("info", "out").ok().out
    of = round(2 * 600 / (2 + 2 * (1 / expected["acceptance"].mean(0) - 1).sum()))
    assert re.search(rf"barrier [\d.]+   {expected['round_trips'].sum()} of {of} round trips", out), out
    assert "acceptance " + " ".join(f"{a:.3f}" for a in expected["acceptance"].mean(0)) in info
    assert f"trips      {expected['round_trips'].sum()} round trips in 600 exchanges; " in info
    assert exchange["barrier"] == exchange["pairs"][-1]["barrier"] and "warning" not in exchange


def test_a_pair_that_does_not_exchange_is_named_at_once(chain, flashrex, tmp_path):
    gap = ["temperatures=[100, 110, 700, 720]", "log_interval=2000"]
    result = flashrex("run", chain, *gap, "--progress", "lines").ok()
    lines = result.out.splitlines()
    said = [i for i, line in enumerate(lines) if "warning: pair 1-2 (110.0-700.0 K) exchanges with probability" in line]
    table = next(i for i, line in enumerate(lines) if "accept next" in line)
    assert len(said) == 2 and said[0] < table < said[1], result.out  # while the run goes on, once, and at its end
    assert "put a rung between, or let `flashrex ladder` place them; about " in lines[said[1]]
    assert "pair 1-2" in json.loads((tmp_path / "out" / "summary.json").read_text())["exchange"]["warning"]
    # rungs enough, in the wrong places
    crowd = "temperatures=[150, 600, 601, 602, 603, 604, 605, 606, 607, 608, 609, 610, 611, 612, 613, 614, 615, 620]"
    out = flashrex("run", chain, crowd, "n_ladders=1", "n_timesteps=3000", "--overwrite").ok().out
    assert "pair 0-1 (150.0-600.0 K)" in out and "18 temperatures are enough, but not where they are" in out
    # the advice works
    out = flashrex("run", chain, "temperatures=[100, 150, 220, 330, 490, 720]", "--overwrite").ok().out
    assert "warning: pair" not in out


def test_rungs_that_are_not_needed_are_noticed(chain, flashrex):
    said, keys = "rungs are more than this ladder needs", ["n_timesteps=3000", "--overwrite"]
    out = flashrex("run", chain, f"temperatures={list(range(300, 340, 2))}", *keys).ok().out
    assert re.search(rf"^20 {said}: [23] would do, where `flashrex ladder` places\nthem;", out, re.M), out
    out = flashrex("run", chain, "temperatures=[100, 150, 220, 330, 490, 720]", *keys).ok().out
    assert said not in out and "warning: pair" not in out


def test_replicas_that_turn_back_are_noticed(chain, flashrex):
    """Exchanges every 0.2 fs: energies are remembered, and replicas go back and forth."""
    keys = ["exchange_interval=1", "n_timesteps=1000", "temperatures=[50, 100, 200, 400, 800, 1600]"]
    out = flashrex("run", chain, *keys, "dt=0.0002").ok().out
    assert " expected: replicas turn back at pair 2-3 (200.0-400.0 K), where" in out, out
    assert "warning: " not in flashrex("run", chain, *keys, "dt=0.002", "save_interval=9", "--overwrite").ok().out

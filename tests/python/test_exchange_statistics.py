"""Acceptance, round trips, f and walks against a plain loop over the events."""

import numpy as np
import pytest
from fake_run import random_exchanges, write_run
from flashrex_tools import run_directory
from flashrex_tools.exchange_statistics import exchange_statistics, places_of_replicas, walk
from flashrex_tools.run_directory import read_run

N_RUNG, N_LADDER, N_EVENT = 4, 2, 600


def by_loop(exchanges, counted):
    """Round trips [n_replica], f [n_rung] and rungs [event][n_replica] as exchange/statistics.h defines them."""
    n_place = N_RUNG * N_LADDER
    label, trips, counts = [None] * n_place, np.zeros(n_place, int), np.zeros((2, N_RUNG))
    rungs = np.empty((N_EVENT, n_place), int)
    for event in range(N_EVENT):
        for place in range(n_place):
            ladder, rung = divmod(place, N_RUNG)
            replica = exchanges["identity"][event, ladder * N_RUNG + exchanges["from"][event, place]]
            rungs[event, replica] = rung
            if rung == N_RUNG - 1:
                trips[replica] += label[replica] == "up" and counted[event]
                label[replica] = "down"
            elif rung == 0 and label[replica]:
                label[replica] = "up"
            if label[replica] and counted[event]:
                counts[int(label[replica] == "down"), rung] += 1
    return trips, counts[0] / counts.sum(axis=0), rungs


@pytest.fixture(params=["all events", "the first third adapted the ladder"])
def case(request, tmp_path):
    exchanges = random_exchanges(np.random.default_rng(5), N_EVENT, N_RUNG, N_LADDER)
    if request.param != "all events":
        exchanges["adapting"][: N_EVENT // 3] = 1
    write_run(tmp_path / "run", [300, 330, 360, 400], np.zeros((3, 8)), n_ladder=2, exchanges=exchanges)
    return read_run(tmp_path / "run"), exchanges, exchanges["adapting"] == 0


@pytest.mark.parametrize("block", [run_directory.BLOCK, 64 * 8 * 7])  # all at once; 7 events
def test_statistics(case, monkeypatch, block):
    monkeypatch.setattr(run_directory, "BLOCK", block)
    run, exchanges, counted = case
    trips, fraction, _ = by_loop(exchanges, counted)
    found = exchange_statistics(run)
    assert trips.sum() > 20 and np.array_equal(found.round_trips, trips)
    assert np.allclose(found.from_cold, fraction) and found.from_cold[0] == 1 and found.from_cold[-1] == 0
    assert found.acceptance == pytest.approx(exchanges["probability"][counted].mean(axis=(0, 1)))
    assert np.array_equal(found.accepted, exchanges["accepted"][counted].sum(axis=(0, 1)))
    assert np.array_equal(found.attempted, exchanges["attempted"][counted].sum(axis=(0, 1)))
    assert found.barrier == pytest.approx(np.sum(1 - found.acceptance))
    assert found.n_event == counted.sum() and np.all(found.visitors == 8)


def test_rejections_do_not_add_up_where_they_are_large(tmp_path):
    """Three pairs of a ladder whose every pair has the length sigma: acceptance erfc(sigma), of k pairs in one
    erfc(k sigma). However few rungs it is measured with, it needs as many."""
    erfc = pytest.importorskip("scipy.special").erfc
    for n_rung in (2, 3, 4, 7, 13):
        exchanges = random_exchanges(np.random.default_rng(2), 20, n_rung)
        exchanges["probability"][:] = erfc(12 * 0.5 / (n_rung - 1))
        write_run(tmp_path / f"run{n_rung}", np.linspace(300, 400, n_rung), np.zeros((3, n_rung)), exchanges=exchanges)
        found = exchange_statistics(read_run(tmp_path / f"run{n_rung}"))
        assert found.good_rungs == 13 and erfc(12 * 0.5 / 12) >= 0.45 > erfc(12 * 0.5 / 11), n_rung
    assert found.barrier > 5  # the sum of rejections cannot say so with few rungs: at most one for each pair


def test_walk_of_a_run_without_frames(case):
    run, exchanges, counted = case
    shown = walk(run)
    assert np.array_equal(shown.rung, by_loop(exchanges, counted)[2][counted])
    assert shown.time == pytest.approx(exchanges["step"][counted] * 0.004)


def test_replicas_are_found():
    replica = np.array([[2, 0, 1], [0, 1, 2]])
    assert places_of_replicas(replica).tolist() == [[1, 2, 0], [0, 1, 2]]


def test_one_temperature_has_none(tmp_path):
    assert exchange_statistics(read_run(write_run(tmp_path / "run", [300], np.zeros((3, 1))))) is None


def test_rows_of_several_segments_are_those_of_the_journal(tmp_path):
    """Nothing is read that the journal does not name: the rest of a killed job, a segment that is being begun."""
    folder = tmp_path / "run"
    for k, name in enumerate(["segment_0001.h5", "segment_0002.h5", "segment_0003.h5"]):
        write_run(folder, [300, 330], np.full((10, 2), float(k)), segment=name)
    assert read_run(folder).n_frame == 30
    (folder / "journal").write_text("flashrex journal 1\nsegment_0001.h5 7 0\nsegment_0002.h5 4 0\nsha256 0\n")
    run = read_run(folder)
    assert run.n_frame == 11 and run.energy[:, 0].tolist() == [0.0] * 7 + [1.0] * 4
    assert len(run.positions) == 11 and run.time[6] == 14 and run.time[7] == 2

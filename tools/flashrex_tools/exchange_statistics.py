"""How well a run exchanged: acceptance, barrier, round trips, f(rung), and the walk of the replicas; the
definitions are those of exchange/statistics.h. Read in blocks, as there can be 10^7 events."""

from dataclasses import dataclass
from math import ceil

import numpy as np

COLD_TO_HOT, HOT_TO_COLD = 1, 2  # labels: which end a replica saw last; 0: it has not been hot yet
GOOD_ACCEPTANCE = 0.45  # of neighbours, as in src/app/mixing.c
SHOWN_TIMES = 1500  # columns of a picture


@dataclass
class ExchangeStatistics:
    acceptance: np.ndarray  # [n_rung-1] mean probability of a swap with the next rung
    attempted: np.ndarray  # [n_rung-1]
    accepted: np.ndarray  # [n_rung-1]
    from_cold: np.ndarray  # [n_rung] f: of the replicas there, the fraction that last saw the coldest rung
    round_trips: np.ndarray  # [n_replica] hot-cold-hot
    visitors: np.ndarray  # [n_rung] how many replicas were there
    n_event: int

    @property
    def barrier(self):
        """Sum of the rejections along the ladder (Syed et al., J. R. Stat. Soc. B 2022, 84, 321)."""
        return float(np.sum(1 - self.acceptance))

    @property
    def good_rungs(self):
        """With so many rungs, well placed, neighbours would accept GOOD_ACCEPTANCE. Lengths of pairs are those of
        exchange/adapt.h: rejections do not add up where they are large."""
        from scipy.special import erfcinv

        length = erfcinv(np.clip(self.acceptance, 1e-300, 1)).sum() / erfcinv(GOOD_ACCEPTANCE)
        return max(2, 1 + ceil(length - 1e-9))


def exchange_statistics(run):
    """Of all events outside adaptation; None for a run that has none."""
    if run.n_event == 0 or run.n_rung == 1:
        return None
    n_pair, n_place = run.n_rung - 1, run.n_place
    sums = {name: np.zeros(n_pair) for name in ("probability", "attempted", "accepted")}
    up, down, seen = np.zeros(run.n_rung), np.zeros(run.n_rung), np.zeros((n_place, run.n_rung), bool)
    trips, label = np.zeros(n_place, np.int64), np.zeros(n_place, np.int8)
    for counts, block in run.exchange_blocks("probability", "attempted", "accepted", "identity", "from"):
        for name, total in sums.items():
            total += block[name][counts].sum(axis=(0, 1))
        rungs = rungs_after(block["identity"], block["from"], run.n_rung)
        labels, completed = _follow(rungs, label, run.n_rung)
        label = labels[-1]
        trips += completed[counts].sum(axis=0)
        replicas = np.arange(n_place)
        for k in range(run.n_rung):
            here = (rungs == k) & counts[:, None]
            up[k] += np.sum(here & (labels == COLD_TO_HOT))
            down[k] += np.sum(here & (labels == HOT_TO_COLD))
            seen[replicas, k] |= here.any(axis=0)
    with np.errstate(invalid="ignore"):
        return ExchangeStatistics(
            acceptance=sums["probability"] / (run.n_event * run.n_ladder),
            attempted=sums["attempted"].astype(int),
            accepted=sums["accepted"].astype(int),
            from_cold=up / (up + down),
            round_trips=trips,
            visitors=seen.sum(axis=0),
            n_event=run.n_event,
        )


def rungs_after(identity, origin, n_rung):
    """Rung of each replica [event][n_replica] after the swaps, of who was at which place before [event][place]
    and the rung that the replica now at a place came from."""
    n_event, n_place = identity.shape
    start_of_ladder = np.arange(n_place) // n_rung * n_rung
    after = np.take_along_axis(identity.astype(np.int64), origin + start_of_ladder, axis=1)
    return places_of_replicas(after) % n_rung


def places_of_replicas(replica):
    """Where each replica is [n][n_replica], of who is at each place [n][n_place]."""
    return np.argsort(replica, axis=1, kind="stable")


def _follow(rungs, first_label, n_rung):
    """Labels [event][n_replica] and the events at which a replica completes a round trip. The label of a
    replica changes only at an end; trips begin at the hottest rung."""
    hot, cold = rungs == n_rung - 1, rungs == 0
    event = np.arange(len(rungs))[:, None]
    last_hot = np.maximum.accumulate(np.where(hot, event, -1), axis=0)
    last_cold = np.maximum.accumulate(np.where(cold, event, -1), axis=0)
    labels = np.where(last_cold > last_hot, COLD_TO_HOT, HOT_TO_COLD).astype(np.int8)
    labels = np.where((last_hot < 0) & (last_cold < 0), first_label, labels)
    labels[(first_label == 0) & (last_hot < 0)] = 0  # the coldest rung means nothing to who was never hot
    before = np.concatenate([first_label[None], labels[:-1]])
    return labels, hot & (before == COLD_TO_HOT)


@dataclass
class Walk:
    """Which rung each replica was at, at some times only."""

    time: np.ndarray  # [n] ps
    rung: np.ndarray  # [n][n_replica]


def walk(run):
    """Of the frames, or of the exchange events where a run has hardly any frames; None where it has neither."""
    if run.n_frame >= min(run.n_event, 50) and run.n_frame > 0:
        chosen = np.unique(np.linspace(0, run.n_frame - 1, SHOWN_TIMES).astype(int))
        return Walk(run.time[chosen], places_of_replicas(run.replica[chosen]) % run.n_rung)
    if run.n_event == 0:
        return None
    stride, seen, steps, rungs = max(1, run.n_event // SHOWN_TIMES), 0, [], []
    for counts, block in run.exchange_blocks("identity", "from", "step"):
        rows = np.flatnonzero(counts)
        rows = rows[(seen + np.arange(len(rows))) % stride == 0]
        seen += int(counts.sum())
        steps.append(block["step"][rows])
        rungs.append(rungs_after(block["identity"][rows], block["from"][rows], run.n_rung))
    return Walk(np.concatenate(steps) * float(run.attributes["timestep"]), np.concatenate(rungs))

"""Reweighting against closed forms, its errors against their frequency, each with something wrong that must show."""

import numpy as np
import pytest
from fake_run import BOLTZMANN, TwoStates
from scipy.special import gammainc

pytest.importorskip("pymbar")
from flashrex_tools.reweighting import (  # noqa: E402
    NotConnected,
    Reweighting,
    Sampling,
    direct_average,
    equilibration,
    inefficiency,
    overlap,
    sampling,
)

BETA = 1 / (BOLTZMANN * np.geomspace(300, 500, 6))
BETWEEN = np.sort(np.concatenate([BETA, (BETA[1:] + BETA[:-1]) / 2]))[::-1]
DOF = 30


def independent(n, n_place):
    return Sampling(np.zeros(n_place, int), np.ones(n_place), 1.0, n)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def harmonic(rng):
    """Energies of DOF harmonic degrees of freedom: U ~ Gamma(DOF/2, kT)."""
    return rng.gamma(DOF / 2, 1 / BETA, (3000, len(BETA)))


def test_harmonic_free_energies_and_heat_capacity(harmonic):
    mbar = Reweighting(BETA, harmonic, independent(*harmonic.shape))
    assert np.all(np.abs(mbar.f[1:] - DOF / 2 * np.log(BETA[1:] / BETA[0])) < 4 * mbar.f_error[1:])
    mean, error = mbar.average(mbar.energy, BETWEEN)
    assert np.all(np.abs(mean - DOF / 2 / BETWEEN) < 4 * error)
    assert np.all(error < 0.01 * mean)
    heat, error = mbar.heat_capacity(BETWEEN)
    assert np.all(np.abs(heat - DOF / 2 * BOLTZMANN) < 4 * error)
    assert np.all(error < 0.05 * heat)


def test_swapped_or_wrong_betas_show(harmonic):
    """MBAR does not ask which sample is of which rung, but each rung's own average does."""
    chosen = independent(*harmonic.shape)
    assert np.all(Reweighting(BETA, harmonic, chosen).contradiction(harmonic, chosen) < 4)
    swapped = BETA[[0, 2, 1, 3, 4, 5]]
    assert np.all(Reweighting(swapped, harmonic, chosen).contradiction(harmonic, chosen)[[1, 2]] > 20)
    wrong = Reweighting(1.05 * BETA, harmonic, chosen)
    mean, error = wrong.average(wrong.energy, BETA)
    assert np.all(np.abs(mean - DOF / 2 / BETA)[[0, -1]] > 4 * error[[0, -1]])


def test_weights_are_those_of_mbar(harmonic):
    mbar = Reweighting(BETA, harmonic, independent(*harmonic.shape))
    weights = np.exp(mbar.log_weights(mbar.energy, BETA[2]))
    assert np.allclose(weights / weights.sum(), mbar._all.W_nk[:, 2], rtol=1e-6, atol=1e-12)


def z_scores_of_folded_fraction(betas, targets, repetitions=60):
    """(estimate - exact) / stated error, [repetition][target], of independent samples, if rungs are believed to be
    at `betas`."""
    model, rng, out = TwoStates(), np.random.default_rng(3), []
    for _ in range(repetitions):
        energy, folded = model.draw(rng, BETA, 300)
        mbar = Reweighting(betas, energy, independent(*energy.shape))
        fraction, error = mbar.average(mbar.take(folded.astype(float)), targets)
        out.append((fraction - model.folded(targets)) / error)
    return np.array(out)


def test_folded_fraction_of_two_states_is_within_its_error():
    assert 0.1 < TwoStates().folded(BETA[-1]) < 0.3 and TwoStates().folded(BETA[0]) > 0.9
    z = z_scores_of_folded_fraction(BETA, BETWEEN)
    assert np.all(np.abs(z.mean(axis=0)) < 4 / np.sqrt(len(z)))
    assert np.all((z.std(axis=0) > 0.75) & (z.std(axis=0) < 1.3))


def test_folded_fraction_with_wrong_betas_is_not():
    """Every temperature 5 % too low, as with a wrong Boltzmann constant."""
    z = z_scores_of_folded_fraction(1.05 * BETA, BETA, 10)
    assert np.all(np.sqrt(np.mean(z**2, axis=0)) > 3)


def test_error_where_replicas_carry_their_fold_along():
    """Folding is slow, exchange fast: the series of a rung looks nearly uncorrelated and makes errors too small."""
    model = TwoStates()
    energies, folds, replicas = model.exchange(np.random.default_rng(11), BETA, 10000, 30, 0.03)
    z = {"both": [], "rung alone": [], "one rung": []}
    for energy, folded, replica in zip(energies, folds.astype(float), replicas):
        both = sampling([energy, folded], replica, len(BETA))
        alone = Sampling(both.start, both.g_rung, 1.0, both.n_row)
        for name, chosen in (("both", both), ("rung alone", alone)):
            mbar = Reweighting(BETA, energy, chosen)
            fraction, error = mbar.average(mbar.take(folded), BETA)
            z[name].append((fraction - model.folded(BETA)) / error)
        fraction, error = direct_average(folded, both, len(BETA))
        z["one rung"].append((fraction - model.folded(BETA)) / error)
    spread = {name: np.sqrt(np.mean(np.square(values))) for name, values in z.items()}
    assert 0.7 < spread["both"] < 1.3, spread
    assert spread["rung alone"] > 1.6, spread
    assert 0.75 < spread["one rung"] < 1.3, spread


def test_overlap_of_gamma_distributions(rng):
    """One minus the difference of the cumulative distributions where the densities cross."""
    a, b = BETA[0], BETA[3]
    crossing = DOF / 2 * np.log(a / b) / (a - b)
    exact = 1 - (gammainc(DOF / 2, a * crossing) - gammainc(DOF / 2, b * crossing))
    n = 20000
    first, second = rng.gamma(DOF / 2, 1 / a, n), rng.gamma(DOF / 2, 1 / b, n)
    assert overlap(first, second) == pytest.approx(exact, abs=0.015)
    assert abs(overlap(first, 1.1 * second) - exact) > 0.05
    assert overlap(first, first) == 1 and overlap(first, first + 1000) == 0


@pytest.mark.parametrize("gap", [150, 200, 500])
def test_rungs_that_share_no_energies_are_refused(harmonic, gap):
    energy = harmonic + gap * (np.arange(len(BETA)) > 2)
    with pytest.raises(NotConnected):
        Reweighting(BETA, energy, independent(*energy.shape))


def correlated(rng, n, memory, columns=1):
    """Autoregressive series: g = (1 + memory)/(1 - memory)."""
    series = np.zeros((n, columns))
    for i, kick in enumerate(rng.normal(size=(n - 1, columns))):
        series[i + 1] = memory * series[i] + np.sqrt(1 - memory**2) * kick
    return series


def test_inefficiency_of_correlated_series(rng):
    g = inefficiency(correlated(rng, 20000, 0.9, 4))
    assert 17 < g < 25  # exactly 19; pymbar's fast sum is some 15 % high, which is the safe side
    assert inefficiency(rng.normal(size=(20000, 1))) < 1.2
    assert inefficiency(np.ones((100, 1))) == 1.0


@pytest.mark.parametrize("n", [2000, 40000])
def test_equilibration_finds_the_end_of_a_decay(rng, n):
    tau = n / 40
    series = correlated(rng, n, 0.5)[:, 0]
    decaying = series + 20 * np.exp(-np.arange(n) / tau)
    assert 2 * tau < equilibration(decaying) < 12 * tau
    assert equilibration(series) < 0.3 * n
    assert equilibration(series[:5]) == 0 and equilibration(np.ones(100)) == 0


def test_ladders_are_pooled_rung_by_rung(rng):
    energy = rng.gamma(DOF / 2, 1 / np.tile(BETA, 2), (1500, 2 * len(BETA)))
    chosen = independent(*energy.shape)
    mbar = Reweighting(BETA, energy, chosen)
    assert np.all(mbar.n_sample == 3000)
    mean, error = mbar.average(mbar.energy, BETA)
    assert np.all(np.abs(mean - DOF / 2 / BETA) < 4 * error)
    mean, error = direct_average(energy, chosen, len(BETA))
    assert np.all(np.abs(mean - DOF / 2 / BETA) < 4 * error)
    assert error == pytest.approx(np.sqrt(DOF / 2) / BETA / np.sqrt(3000), rel=0.1)


def test_what_is_left_out_is_the_same_on_all_ladders(rng):
    """Rung 1 of both ladders starts far away; rung 0 does not."""
    series = correlated(rng, 2000, 0.5, 4)
    series[:, [1, 3]] += 20 * np.exp(-np.arange(2000) / 50)[:, None]
    found = sampling([series], np.tile(np.arange(4), (2000, 1)), 2)
    assert found.start[0] == found.start[2] < found.start[1] == found.start[3]
    assert 100 < found.start[1] < 600
    assert found.n_effective[1] == pytest.approx((2000 - found.start[1]) / found.g[1])
    mbar = Reweighting(BETA[:2], 8 + 0.1 * series, found)
    for place in range(4):
        rows = mbar.rows[mbar.places == place]
        assert rows.tolist() == list(range(found.start[place], 2000))
        independent = rows[mbar.independent[mbar.places == place]]
        assert independent[0] == found.start[place]
        assert set(np.diff(independent)) <= {np.floor(found.g[place]), np.ceil(found.g[place])}

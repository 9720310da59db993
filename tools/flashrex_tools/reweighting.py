"""From correlated samples at several temperatures to averages with errors at any temperature between them.

Equilibration and statistical inefficiency: Chodera, J. Chem. Theory Comput. 2016, 12, 1799, through
pymbar.timeseries. Replicas carry their memory from rung to rung, so the series of one rung looks less correlated
than it is; therefore the inefficiency is taken along replicas, too (Chodera et al., J. Chem. Theory Comput. 2007,
3, 26). MBAR: Shirts and Chodera, J. Chem. Phys. 2008, 129, 124105."""

import logging
import warnings
from dataclasses import dataclass

import numpy as np

from .exchange_statistics import places_of_replicas

BOLTZMANN = 0.0019872  # kcal/mol/K, as in src/core/units.h
MOST_SAMPLES = 40_000  # that MBAR is solved with, about; more are thinned out evenly
LEAST_OVERLAP = 1e-4  # of neighbours in MBAR's overlap matrix; errors of f are 5 kT and more below
FEWEST_ROWS = 20  # a series shorter than this says nothing
MOST_ORIGINS, MOST_POINTS = 40, 8000  # of the search for the end of equilibration


def _pymbar():
    """pymbar, without the advice that it prints on import."""
    logging.getLogger("pymbar").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pymbar
        import pymbar.timeseries
    return pymbar


def equilibration(series):
    """Index at which a series [n] is equilibrated: the start that leaves most independent samples."""
    if len(series) < FEWEST_ROWS or np.ptp(series) == 0:
        return 0
    stride = -(-len(series) // MOST_POINTS)
    thin = series[::stride]
    origin, _, _ = _pymbar().timeseries.detect_equilibration(
        thin, fast=True, nskip=max(1, len(thin) // MOST_ORIGINS)
    )
    return int(origin) * stride


def inefficiency(columns):
    """Statistical inefficiency g >= 1 of series [n][n_series] with one common mean: samples per independent
    one; 1 + 2 tau / spacing."""
    if len(columns) < 4 or np.ptp(columns) == 0:
        return 1.0
    return float(_pymbar().timeseries.statistical_inefficiency_multiple(list(columns.T), fast=True))


class NotConnected(Exception):
    """Neighbouring rungs share no energies, so nothing says how their free energies differ."""


@dataclass
class Sampling:
    """What counts of the samples of each place. Everything [n_place], in rows."""

    start: np.ndarray  # equilibrated from here
    g_rung: np.ndarray  # inefficiency of the series at this temperature
    g_replica: float  # along the replicas, of the deviation from the mean of their rung

    n_row: int

    @property
    def g(self):
        """What counts for all rungs together: a replica must not count as new at its next rung."""
        return np.maximum(self.g_rung, self.g_replica)

    @property
    def n_effective(self):
        return (self.n_row - self.start) / self.g


def sampling(observables, replica, n_rung):
    """Sampling that does for each of several observables [n][n_place]; replica [n][n_place]. Ladders start alike, so
    their mean tells with less noise when a rung is equilibrated."""
    n_row, n_place = replica.shape
    means = [observable.reshape(n_row, -1, n_rung).mean(axis=1) for observable in observables]
    start = np.array([max(equilibration(mean[:, k]) for mean in means) for k in range(n_rung)])
    start = np.tile(start, n_place // n_rung)
    g_rung = [max(inefficiency(o[start[p] :, p : p + 1]) for o in observables) for p in range(n_place)]
    common = min(int(start.max()), n_row // 2)
    where = places_of_replicas(replica[common:])
    g_replica = 1.0
    for observable in observables:
        deviation = observable[common:] - observable[common:].mean(axis=0)
        g_replica = max(g_replica, inefficiency(np.take_along_axis(deviation, where, axis=1)))
    return Sampling(start, np.array(g_rung), g_replica, n_row)


class Reweighting:
    """MBAR over all rungs. `energy` [n][n_place] in kcal/mol; several ladders are pooled rung by rung. Averages are of
    all samples after equilibration, their errors those of decorrelated samples, every g-th.

    Raises NotConnected where pymbar does not find free energies that mean something.

    f, f_error [n_rung]: reduced free energies, f[0] = 0, with standard errors."""

    def __init__(self, beta, energy, sampling):
        self.beta = np.asarray(beta, np.float64)
        n_rung, n_place = len(beta), energy.shape[1]
        stride = -(-int(np.sum(sampling.n_row - sampling.start)) // MOST_SAMPLES)
        samples = []
        for place in sorted(range(n_place), key=lambda place: place % n_rung):
            rows = np.arange(sampling.start[place], sampling.n_row, stride)
            step = max(1.0, sampling.g[place] / stride)
            independent = np.zeros(len(rows), bool)
            independent[np.floor(np.arange(max(1, int(len(rows) / step))) * step).astype(int)] = True
            samples.append((rows, np.full(len(rows), place), independent))
        self.rows, self.places, self.independent = map(np.concatenate, zip(*samples))
        self.energy = energy[self.rows, self.places]
        self.n_sample = np.bincount(self.places % n_rung, minlength=n_rung)
        self._all = self._solve(slice(None))
        self._independent = self._solve(self.independent)
        self.f = self._all.f_k - self._all.f_k[0]
        self.f_error = self._independent.compute_free_energy_differences()["dDelta_f"][0]

    def _solve(self, chosen):
        pymbar, n_rung = _pymbar(), len(self.beta)
        n_sample = np.bincount(self.places[chosen] % n_rung, minlength=n_rung)
        try:
            mbar = pymbar.MBAR(self.beta[:, None] * self.energy[chosen], n_sample)
            shared = np.diag(mbar.compute_overlap()["matrix"], 1) if n_rung > 1 else np.ones(1)
        except (pymbar.utils.ParameterError, np.linalg.LinAlgError):
            raise NotConnected from None
        if np.any(shared < LEAST_OVERLAP):
            raise NotConnected
        return mbar

    def take(self, observable):
        """Of an observable [n][n_place] the values that belong to the samples, [n_sample]."""
        return observable[self.rows, self.places]

    def average(self, values, beta):
        """Mean and standard error, at each of beta [n], of values [n_sample] or [n][n_sample]."""
        values = np.asarray(values, np.float64)
        if np.ptp(values) == 0:
            return np.full(len(beta), values.flat[0]), np.zeros(len(beta))
        mean = self._expectation(self._all, slice(None), values, beta, False)["mu"]
        chosen = values[..., self.independent]
        if np.ptp(chosen) == 0:
            return mean, np.zeros(len(beta))
        return mean, self._expectation(self._independent, self.independent, chosen, beta, True)["sigma"]

    def _expectation(self, mbar, chosen, values, beta, uncertain):
        reduced = np.asarray(beta)[:, None] * self.energy[chosen]
        with np.errstate(divide="ignore"):  # it takes the logarithm of values that may be zero
            return mbar.compute_expectations(
                values, u_kn=reduced, state_dependent=values.ndim == 2, compute_uncertainty=uncertain
            )

    def heat_capacity(self, beta):
        """Potential part k beta^2 var(U) in kcal/mol/K with standard error, at each of beta [n]. The error of
        the mean does not enter to first order: the derivative of <(U - m)^2> by m is zero at m = <U>."""
        mean, _ = self.average(self.energy, beta)
        variance, error = self.average((self.energy - mean[:, None]) ** 2, beta)
        factor = BOLTZMANN * np.asarray(beta) ** 2
        return factor * variance, factor * error

    def contradiction(self, energy, sampling):
        """How many standard errors the mean energy of each rung [n_rung] is away from that of all rungs together:
        large where temperatures are wrong or rungs are not equilibrated. Near 1 otherwise."""
        mean, error = direct_average(energy, sampling, len(self.beta))
        return np.abs(mean - self.average(self.energy, self.beta)[0]) / np.maximum(error, 1e-12)

    def log_weights(self, energy, beta):
        """Logarithm of the weight, up to a constant, that a sample of this energy [..] from all rungs together
        has at inverse temperature `beta` (MBAR, eq. 13)."""
        exponents = self.f - np.multiply.outer(energy, self.beta) + np.log(self.n_sample)
        most = exponents.max(axis=-1)
        return -beta * energy - most - np.log(np.exp(exponents - most[..., None]).sum(axis=-1))


def overlap(a, b):
    """Integral of the smaller of two densities that samples a and b come from. The ratio of canonical densities
    of U is monotonic, so they cross once, and this is one minus the Kolmogorov-Smirnov distance: no bins."""
    from scipy.stats import ks_2samp

    return 1.0 - float(ks_2samp(a, b).statistic)


def direct_average(values, sampling, n_rung):
    """Mean and standard error at each rung of values [n][n_place] without reweighting, ladders pooled. Here the
    inefficiency of the series of the rung is the right one: it is one series, and nothing is said about others."""
    mean, error = np.empty(n_rung), np.empty(n_rung)
    for rung in range(n_rung):
        places = range(rung, values.shape[1], n_rung)
        pooled = np.concatenate([values[sampling.start[p] :, p] for p in places])
        n_independent = sum((sampling.n_row - sampling.start[p]) / sampling.g_rung[p] for p in places)
        mean[rung], error[rung] = pooled.mean(), pooled.std() / np.sqrt(max(1.0, n_independent - 1))
    return mean, error

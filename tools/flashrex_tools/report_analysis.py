"""What a report shows of a run, computed: exchange statistics, decorrelated energies with MBAR, distance from a
reference."""

from dataclasses import dataclass

import numpy as np

from .exchange_statistics import exchange_statistics
from .native import read_native
from .reweighting import (
    BOLTZMANN,
    FEWEST_ROWS,
    NotConnected,
    Reweighting,
    direct_average,
    overlap,
    sampling,
)

FEW_FRAMES = 200  # fewer than this, and energies are those of exchange events
MOST_EVENTS = 20_000


@dataclass
class Ensemble:
    """Energies [n][n_place] in kcal/mol at equal distances in time, what counts of them, and MBAR over all rungs."""

    source: str  # "frames" or "exchange events"
    spacing: float  # ps
    energy: np.ndarray
    sampling: object
    n_rung: int
    mbar: object  # Reweighting; None where rungs do not overlap

    def alone(self, values):
        """Mean and standard error at each rung of values [n][n_place], without the other rungs."""
        return direct_average(values, self.sampling, self.n_rung)

    def pooled(self, rung):
        """Energies of a rung on all ladders, after equilibration."""
        places = range(rung, self.energy.shape[1], self.n_rung)
        return np.concatenate([self.energy[self.sampling.start[p] :, p] for p in places])

    @property
    def overlaps(self):
        """Overlap of the energies of neighbours, [n_rung-1]."""
        pooled = [self.pooled(k) for k in range(self.n_rung)]
        return [overlap(a, b) for a, b in zip(pooled, pooled[1:])]

    def worst(self, values):
        """Of values [n_place] the largest over the ladders, [n_rung]."""
        return np.reshape(values, (-1, self.n_rung)).max(axis=0)

    @property
    def n_independent(self):
        """[n_rung], all ladders together."""
        return self.sampling.n_effective.reshape(-1, self.n_rung).sum(axis=0)


@dataclass
class Analysis:
    """Everything that the page shows; what a run does not have is None."""

    run: object
    exchange: object = None  # ExchangeStatistics
    energies: Ensemble = None
    frames: Ensemble = None  # of the frames; usually the same one
    native: object = None  # Native
    rmsd: np.ndarray = None  # [n_frame][n_place] Angstrom
    contacts: np.ndarray = None  # [n_frame][n_place] fraction
    folded_rmsd: float = None  # Angstrom

    @property
    def folded(self):
        """1 or 0, [n_frame][n_place]."""
        return (self.rmsd < self.folded_rmsd).astype(np.float64)

    @property
    def grid(self):
        """Temperatures of curves: finely spaced ones, and every rung."""
        rungs = self.run.rung_temperatures
        return np.union1d(np.linspace(rungs[0], rungs[-1], 60), rungs)

    @property
    def grid_beta(self):
        return 1 / (BOLTZMANN * self.grid)


def analyse(run, reference=None, folded_rmsd=2.5):
    """The analysis of a Run; `reference` is the path of a PDB file."""
    analysis = Analysis(run, exchange_statistics(run), folded_rmsd=folded_rmsd)
    observables = [run.energy]
    if reference is not None:
        analysis.native = read_native(reference, run.beads)
        analysis.rmsd, analysis.contacts = analysis.native.measure(run)
        observables += [analysis.rmsd, analysis.folded]
    if run.n_frame >= FEWEST_ROWS:
        analysis.frames = _ensemble("frames", run.time, run.beta, observables, run.replica)
    analysis.energies = analysis.frames
    if run.n_frame < min(FEW_FRAMES, run.n_event):
        time, energy, replica = run.exchange_energies(MOST_EVENTS)
        if len(time) >= FEWEST_ROWS:
            analysis.energies = _ensemble("exchange events", time, run.beta, [energy], replica)
    return analysis


def _ensemble(source, time, beta, observables, replica):
    chosen = sampling(observables, replica, len(beta))
    spacing = float(np.median(np.diff(time)))
    try:
        mbar = Reweighting(beta, observables[0], chosen)
    except NotConnected:
        mbar = None
    return Ensemble(source, spacing, observables[0], chosen, len(beta), mbar)

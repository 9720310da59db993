"""The figures of a report: functions from numbers to a matplotlib Figure. Temperatures are coloured by viridis (cold
dark, hot light), single curves by Okabe and Ito's blue and vermilion: both are told apart by colour-blind readers."""

import functools

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from .reweighting import BOLTZMANN

BLUE, VERMILION, GREY = "#0072b2", "#d55e00", "0.55"
WIDTH = 9.6  # inches
SHOWN_POINTS = 4000  # of one time series
FREE_ENERGY_LIMIT = 5.0  # kcal/mol


STYLE = {
    "font.size": 10, "axes.titlesize": 10.5, "axes.titlelocation": "left", "axes.spines.top": False,
    "axes.spines.right": False, "legend.frameon": False, "figure.constrained_layout.use": True, "figure.dpi": 110,
}  # fmt: skip


def _in_style(draw):
    """Draws with the settings above, whatever those of the user."""

    @functools.wraps(draw)
    def styled(*arguments, **options):
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)
            return draw(*arguments, **options)

    return styled


def _name_line(axes, x, y, name):
    """Above a horizontal line at y, up to x."""
    axes.annotate(name, (x, y), (0, 3), textcoords="offset points", ha="right", va="bottom", fontsize=9, color="0.3")


def _figure(height, rows=1, columns=1, **options):
    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def rung_colours(n_rung):
    return mpl.colormaps["viridis"](np.linspace(0.0, 0.88, n_rung))


def _kelvin(temperature):
    return f"{temperature:.0f} K"


def evenly(n, most):
    """At most `most` of 0..n-1, evenly, with both ends."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


def _every(n, most):
    """Every so-many-th of 0..n-1, at most `most` of them; with both ends if there is such a stride nearby."""
    stride = -(-(n - 1) // (most - 1)) or 1
    return np.arange(0, n, next((s for s in range(stride, 2 * stride + 1) if (n - 1) % s == 0), stride))


def _temperature_axis(axis, temperatures):
    """Ticks at the rungs, as many as there is room for."""
    shown = temperatures[_every(len(temperatures), 9)]
    axis.set_major_locator(FixedLocator(shown))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value:.0f}")


def _nanoseconds(time):
    return np.asarray(time) / 1000


@_in_style
def ladder(temperatures, statistics):
    """Temperatures of the rungs, and acceptance of every pair."""
    figure, axes = _figure(3.3, 1, 2)
    rung, colours = np.arange(len(temperatures)), rung_colours(len(temperatures))
    left, right = axes[0]
    left.plot(rung, temperatures, color=GREY, linewidth=1, zorder=1)
    left.scatter(rung, temperatures, c=colours, s=36, zorder=2)
    left.set(xlabel="rung", ylabel="temperature (K)", title="Temperatures")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.axhspan(0.39, 0.50, color="0.93", zorder=0)
    right.bar(rung[:-1] + 0.5, statistics.acceptance, width=0.8, color=BLUE, label="mean probability")
    tried = statistics.attempted > 0
    made = statistics.accepted[tried] / statistics.attempted[tried]
    right.plot(rung[:-1][tried] + 0.5, made, "o", color="white", markeredgecolor="black", markersize=5,
               label="made / tried")  # fmt: skip
    right.set(xlabel="between rungs", ylabel="acceptance", ylim=(0, 1), title="Acceptance of neighbours")
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.legend(loc="upper right", ncols=2, fontsize=9)
    return figure


@_in_style
def walk(walk, temperatures):
    """The rung of every replica over time."""
    n_replica = walk.rung.shape[1]
    figure, axes = _figure(min(1.6 + 0.28 * n_replica, 5.5))
    image = _over_replicas(axes[0, 0], walk.time, walk.rung, "viridis", 0, max(1, len(temperatures) - 1))
    bar = figure.colorbar(image, ax=axes[0, 0], pad=0.01, label="temperature (K)")
    shown = _every(len(temperatures), 8)
    bar.set_ticks(shown, labels=[f"{temperatures[k]:.0f}" for k in shown])
    return figure


def _over_replicas(axes, time, values, colours, low, high):
    """Picture of values [n_time][n_replica]."""
    time = _nanoseconds(time)
    half = (time[-1] - time[0]) / max(1, len(time) - 1) / 2 or 0.5
    extent = (time[0] - half, time[-1] + half, values.shape[1] - 0.5, -0.5)
    image = axes.imshow(values.T, aspect="auto", interpolation="nearest", extent=extent, cmap=colours,
                        vmin=low, vmax=high)  # fmt: skip
    axes.set(xlabel="time (ns)", ylabel="replica")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.spines[:].set_visible(False)
    return image


@_in_style
def one_replica(time, rung, temperatures, rmsd):
    """One replica's walk, coloured by its RMSD where there is a reference."""
    figure, axes = _figure(3.0)
    axes, time = axes[0, 0], _nanoseconds(time)
    axes.step(time, temperatures[rung], where="mid", color="0.8", linewidth=0.8, zorder=1)
    if rmsd is None:
        axes.scatter(time, temperatures[rung], s=10, color=BLUE, zorder=2)
    else:
        points = axes.scatter(time, temperatures[rung], c=rmsd, s=14, cmap="cividis_r", vmin=0,
                              vmax=np.quantile(rmsd, 0.98), zorder=2)  # fmt: skip
        figure.colorbar(points, ax=axes, label="RMSD (Å)", pad=0.01, extend="max")
    axes.set_yscale("log")
    _temperature_axis(axes.yaxis, temperatures)
    axes.set(xlabel="time (ns)", ylabel="temperature (K)", xlim=(time[0], time[-1] or 1))
    return figure


@_in_style
def from_cold(temperatures, statistics):
    """f(rung)."""
    figure, axes = _figure(3.1)
    axes, rung = axes[0, 0], np.arange(len(temperatures))
    axes.plot(rung, 1 - rung / rung[-1], color=GREY, linestyle="--", label="even diffusion")
    axes.plot(rung, statistics.from_cold, color="0.4", linewidth=1, zorder=1)
    axes.scatter(rung, statistics.from_cold, c=rung_colours(len(rung)), s=40, zorder=2, label="this run")
    axes.set(xlabel="rung (temperature in K below)", ylabel="f: fraction coming from cold", ylim=(-0.03, 1.03))
    shown = _every(len(rung), 16)
    axes.set_xticks(shown, [f"{k}\n{temperatures[k]:.0f}" for k in shown])
    axes.legend()
    return figure


@_in_style
def energies(temperatures, energies, overlaps):
    """Histograms of the potential energy at every rung, and the overlap of neighbours."""
    figure, axes = _figure(3.6, 1, 2, width_ratios=[2, 1]) if overlaps else _figure(3.6)
    left = axes[0, 0]
    low, high = np.quantile(np.concatenate([energies[0], energies[-1]]), [0.0005, 0.9995])
    bins = np.linspace(low, high + 1e-9, 90)
    colours = rung_colours(len(temperatures))
    labelled = evenly(len(temperatures), 6)
    for k, sample in enumerate(energies):
        density, _ = np.histogram(sample, bins, density=True)
        label = _kelvin(temperatures[k]) if k in labelled else None
        left.stairs(density, bins, fill=True, color=colours[k], alpha=0.18)
        left.stairs(density, bins, color=colours[k], linewidth=1.4, label=label)
    left.set(xlabel="potential energy (kcal/mol)", ylabel="probability density (mol/kcal)",
             title="Potential energy at each rung")  # fmt: skip
    left.legend(fontsize=9)
    if not overlaps:
        return figure
    right, pair = axes[0, 1], np.arange(len(overlaps)) + 0.5
    right.bar(pair, overlaps, width=0.8, color=BLUE)
    right.set(xlabel="between rungs", ylabel="overlap of neighbours", ylim=(0, 1), title="Overlap")
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.set_xlim(0, len(overlaps))
    return figure


@_in_style
def sampling(temperatures, inefficiency, start, length):
    """Decorrelation time and discarded beginning of every rung (ps)."""
    figure, axes = _figure(3.0, 1, 2)
    left, right = axes[0]
    rung, colours = np.arange(len(temperatures)), rung_colours(len(temperatures))
    own, replica = inefficiency
    left.scatter(rung, own, c=colours, s=36, zorder=2, label="of the series of the rung")
    left.axhline(replica, color=VERMILION, linestyle="--", label="along the replicas")
    left.set(xlabel="rung", ylabel="ps per independent sample", title="Statistical inefficiency")
    left.set_ylim(0, 1.25 * max(replica, own.max()))
    left.legend(fontsize=9)
    right.bar(rung, _nanoseconds(start), color=GREY, width=0.8)
    right.axhline(length / 1000, color="black", linewidth=1, linestyle=":")
    _name_line(right, rung[-1] + 0.4, length / 1000, "length of the run")
    right.set(xlabel="rung", ylabel="discarded (ns)", title="Equilibration left out", ylim=(0, 1.15 * length / 1000))
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@_in_style
def curve(grid, curve, rungs, points, label, highest=None, level=None):
    """A quantity against temperature: MBAR (mean, error on the grid) and each rung's own average; `level`: (value,
    name) of a dotted line."""
    figure, axes = _figure(3.4)
    axes = axes[0, 0]
    mean, error = curve
    axes.fill_between(grid, mean - 2 * error, mean + 2 * error, color=BLUE, alpha=0.2, linewidth=0,
                      label="MBAR, two standard errors")  # fmt: skip
    axes.plot(grid, mean, color=BLUE, label="MBAR, all rungs together")
    axes.errorbar(rungs, points[0], 2 * points[1], fmt="o", color="black", markersize=4.5, capsize=3,
                  linewidth=1, label="each rung alone, two standard errors")  # fmt: skip
    if level is not None:
        axes.axhline(level[0], color=GREY, linestyle=":")
        _name_line(axes, grid[-1], *level)
    axes.set(xlabel="temperature (K)", ylabel=label)
    axes.set_ylim(0, highest)
    axes.legend(fontsize=9)
    return figure


@_in_style
def native_over_time(time, rmsd, contacts, temperatures, start, folded_rmsd):
    """RMSD and native contacts at the coldest, a middle and the hottest rung; discarded time is grey."""
    chosen = evenly(len(temperatures), 3)
    figure, axes = _figure(1.2 + 1.45 * len(chosen), len(chosen), 2, sharex=True, sharey="col")
    rows, colours = evenly(len(time), SHOWN_POINTS), rung_colours(len(temperatures))
    for row, k in enumerate(chosen):
        for column, (values, name) in enumerate(((rmsd, "RMSD (Å)"), (contacts, "native contacts Q"))):
            panel = axes[row, column]
            if start[k] > 0:
                panel.axvspan(time[0] / 1000, time[min(start[k], len(time) - 1)] / 1000, color="0.9", linewidth=0)
            panel.plot(_nanoseconds(time[rows]), values[rows, k], ".", color=colours[k], markersize=2,
                       alpha=0.7, rasterized=True)  # fmt: skip
            panel.set(ylabel=name, title=_kelvin(temperatures[k]))
            if column == 0:
                panel.axhline(folded_rmsd, color="black", linewidth=0.8, linestyle=":")
    axes[0, 0].set_ylim(0, 1.05 * rmsd[:, chosen].max())
    axes[0, 1].set_ylim(0, 1)
    for panel in axes[-1]:
        panel.set_xlabel("time (ns)")
    return figure


@_in_style
def native_of_replicas(time, contacts):
    """Native contacts of every replica, continuous in time; [n_time][n_replica]."""
    figure, axes = _figure(min(1.6 + 0.28 * contacts.shape[1], 5.5))
    image = _over_replicas(axes[0, 0], time, contacts, "cividis", 0, 1)
    figure.colorbar(image, ax=axes[0, 0], pad=0.01, label="native contacts Q")
    return figure


@_in_style
def structures(native, bundles):
    """C-alpha traces of frames at some temperatures on the reference: [(title, frames [n][n_bead][3])]."""
    figure, axes = _figure(3.9, 1, len(bundles))
    plane = np.linalg.svd(native.positions, full_matrices=False)[2][:2].T  # where the reference is widest
    everything = np.concatenate([np.concatenate(frames) for _, frames in bundles]) @ plane
    reach = np.quantile(np.abs(everything), 0.995) * 1.05
    colours = (BLUE, VERMILION)
    for panel, colour, (title, frames) in zip(axes[0], colours, bundles):
        for frame in frames:
            panel.plot(*(frame @ plane).T, color=colour, alpha=0.22, linewidth=1)
        panel.plot(*(native.positions @ plane).T, "o-", color="black", linewidth=2, markersize=4, label="reference")
        panel.set_aspect("equal")
        panel.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], title=title)
        panel.spines[:].set_visible(False)
        panel.plot([-reach, -reach + 10], [-0.95 * reach] * 2, color="black", linewidth=2)
        panel.text(-reach + 5, -0.93 * reach, "10 Å", ha="center", va="bottom", fontsize=9)
    axes[0, 0].legend(loc="upper left")
    return figure


@_in_style
def free_energy_surfaces(rmsd, contacts, surfaces):
    """-kT ln p over RMSD and native contacts; `surfaces`: [(temperature, weights)] of the same samples."""
    columns = 2 if len(surfaces) == 4 else min(3, len(surfaces))
    rows = -(-len(surfaces) // columns)
    figure, axes = _figure(0.4 + 2.75 * rows, rows, columns, sharex=True, sharey=True)
    x, y = np.linspace(0, np.quantile(rmsd, 0.9995) * 1.02 + 1e-6, 46), np.linspace(0, 1, 41)
    for panel, (temperature, weights) in zip(axes.flat, surfaces):
        density = np.histogram2d(rmsd, contacts, (x, y), weights=weights)[0]
        with np.errstate(divide="ignore"):
            surface = -BOLTZMANN * temperature * np.log(density)
        surface = np.where(np.isfinite(surface), surface - surface[np.isfinite(surface)].min(), np.nan)
        image = panel.pcolormesh(x, y, surface.T, cmap="cividis", vmin=0, vmax=FREE_ENERGY_LIMIT, rasterized=True)
        panel.set_title(_kelvin(temperature))
    for k, panel in enumerate(axes.flat):
        panel.set_visible(k < len(surfaces))
        if k + columns >= len(surfaces):  # nothing below
            panel.set_xlabel("RMSD (Å)")
            panel.tick_params(labelbottom=True)
    for panel in axes[:, 0]:
        panel.set_ylabel("native contacts Q")
    figure.colorbar(image, ax=axes, label="free energy (kcal/mol)", extend="max", pad=0.01, aspect=30)
    return figure

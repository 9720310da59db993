"""The picture of the demo: what a replica-exchange run of a small protein shows.

    flashrex-demo-plot RUN [-o PICTURE.png]
"""

import argparse

import numpy as np

from .run_directory import read_run

NATIVE_RMSD = 2.0  # Angstrom: closer than this to the native structure counts as folded
SHOWN_ROUND_TRIPS = 6  # of one replica
BLUE, ORANGE = "#0072b2", "#d55e00"  # Okabe and Ito, told apart by colour-blind readers


def superposed(positions, native):
    """Frames [..][n_bead][3] moved onto `native` (Kabsch, Acta Cryst. 1976, A32, 922), about the origin."""
    native = native - native.mean(axis=0)
    frames = positions - positions.mean(axis=-2, keepdims=True)
    u, _, vt = np.linalg.svd(np.swapaxes(frames, -1, -2) @ native)
    u[..., -1] *= np.sign(np.linalg.det(u) * np.linalg.det(vt))[..., None]  # a rotation, never a reflection
    return frames @ (u @ vt)


def rmsd(positions, native):
    """Root-mean-square deviation from `native` after superposition, Angstrom, [..]."""
    difference = superposed(positions, native) - (native - native.mean(axis=0))
    return np.sqrt(np.mean(np.sum(difference**2, axis=-1), axis=-1))


def folded_fraction(deviation, n_block=10):
    """Folded fraction per rung and its standard error by block averages, of RMSD [n_frame][n_rung]."""
    folded = deviation < NATIVE_RMSD
    blocks = np.array([block.mean(axis=0) for block in np.array_split(folded, n_block)])
    return folded.mean(axis=0), blocks.std(axis=0, ddof=1) / np.sqrt(n_block)


def round_trips(rungs, n_rung):
    """Frames at which a replica on these rungs completes its round trips hot-cold-hot."""
    ends, cold = [], False
    for frame, rung in enumerate(rungs):
        if rung == 0:
            cold = True
        elif rung == n_rung - 1 and cold:
            cold = False
            ends.append(frame)
    return ends


def draw(run):
    """The figure of a run whose system's first structure is the native one."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator

    deviation = rmsd(run.positions, run.first_structure)
    n_rung = len(run.temperatures)
    figure = Figure(figsize=(10.5, 6.0), dpi=100, layout="constrained")
    grid = figure.add_gridspec(2, 4, height_ratios=[1.0, 1.1], width_ratios=[1.15, 1.15, 1, 1])

    axes = figure.add_subplot(grid[0, :])
    rungs = np.argmax(run.replica == 0, axis=1)
    n = ([len(rungs)] + round_trips(rungs, n_rung)[:SHOWN_ROUND_TRIPS])[-1]
    time = (run.time[:n] - run.time[0]) / 1000
    axes.step(time, run.temperatures[rungs[:n]], where="mid", color="0.8", linewidth=0.8, zorder=1)
    points = axes.scatter(
        time, run.temperatures[rungs[:n]], c=deviation[np.arange(n), rungs[:n]], s=14, cmap="cividis_r",
        vmin=0, vmax=8, zorder=2,
    )  # fmt: skip
    figure.colorbar(points, ax=axes, label="RMSD from native (Å)", pad=0.01, extend="max")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(FixedLocator(run.temperatures))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
    axes.set(xlabel="time (ns)", ylabel="temperature (K)", xlim=(0, time[-1]))
    title = "One replica walks through the temperatures: it unfolds when hot, folds when cold"
    axes.set_title(title, loc="left", fontsize=10)

    centre = run.first_structure - run.first_structure.mean(axis=0)
    plane = np.linalg.svd(centre)[2][:2].T  # the two directions in which the native structure is widest
    for column, rung, colour in ((0, 0, BLUE), (1, n_rung - 1, ORANGE)):
        axes = figure.add_subplot(grid[1, column])
        chosen = np.linspace(len(run.time) // 10, len(run.time) - 1, 30).astype(int)
        for frame in superposed(run.positions[chosen, rung], run.first_structure) @ plane:
            axes.plot(*frame.T, color=colour, alpha=0.25, linewidth=1)
        axes.plot(*(centre @ plane).T, "o-", color="black", linewidth=2, markersize=4, label="native")
        axes.set_aspect("equal")
        axes.set(xlim=(-11, 11), ylim=(-11, 11), xticks=[], yticks=[])
        axes.plot([-10, 0], [-9.8, -9.8], color="black", linewidth=2)
        if rung == 0:
            axes.legend(frameon=False, loc="upper left")
        axes.text(-5, -9.6, "10 Å", ha="center", va="bottom", fontsize=8)
        axes.set_title(f"Structures at {run.temperatures[rung]:.0f} K", loc="left", fontsize=10)

    axes = figure.add_subplot(grid[1, 2])
    bins = np.linspace(0, 10, 41)
    for rung, style, colour in ((0, "-", BLUE), (n_rung - 1, "--", ORANGE)):
        density, _ = np.histogram(deviation[:, rung], bins, density=True)
        label = f"{run.temperatures[rung]:.0f} K"
        axes.stairs(density, bins, color=colour, linestyle=style, linewidth=1.5, label=label)
    axes.axvline(NATIVE_RMSD, color="0.6", linewidth=0.8, linestyle=":")
    axes.legend(frameon=False)
    axes.set(xlabel="RMSD from native (Å)", ylabel="probability density (1/Å)", xlim=(0, 10))
    axes.set_title("Distance from native", loc="left", fontsize=10)

    axes = figure.add_subplot(grid[1, 3])
    fraction, error = folded_fraction(deviation)
    axes.errorbar(run.temperatures, fraction, error, fmt="o-", color="black", capsize=3, markersize=5)
    axes.set(xlabel="temperature (K)", ylabel=f"folded (RMSD < {NATIVE_RMSD:.0f} Å)", ylim=(0, 1.02))
    axes.set_title("Melting curve", loc="left", fontsize=10)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", help="run directory of `flashrex run configs/demo.yaml`")
    parser.add_argument("-o", "--output", default="demo.png", help="picture to write (default: demo.png)")
    options = parser.parse_args()
    draw(read_run(options.run)).savefig(options.output)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()

"""Section of a report: how native the structures are."""

import numpy as np

from . import report_figures as figures
from .exchange_statistics import places_of_replicas
from .report_energies import NOT_CONNECTED, NOT_PHYSICAL
from .report_page import number, text, with_error

SHOWN_SURFACES = 6


def native_section(page, analysis):
    run, native = analysis.run, analysis.native
    if native is None:
        page.section("native", "Structure")
        page.add(
            "No reference structure was given: with <code>--reference native.pdb</code> this page has RMSD, native "
            "contacts, free-energy surfaces and the folded fraction."
        )
        return
    page.section("native", "RMSD and native contacts")
    page.add(
        f"Compared with the reference: {len(native.beads)} beads ({text(native.what)}), {len(native.pairs)} native "
        "contacts."
        + ("" if len(native.pairs) else " A reference with no native contacts has no free-energy surface here.")
    )
    if analysis.frames is None:
        page.add(f"There are {run.n_frame} frames, too few for pictures and averages.")
        return
    _over_time(page, analysis)
    if len(native.pairs) and analysis.frames.mbar:
        _surfaces(page, analysis)
    _folded(page, analysis)


def _over_time(page, analysis):
    run, native, rmsd, contacts = analysis.run, analysis.native, analysis.rmsd, analysis.contacts
    page.numbers([
        (f"{rmsd.min():.2f} Å", "smallest RMSD of all frames"),
        (number(contacts.max()), "largest fraction of native contacts"),
    ])  # fmt: skip
    page.figure(
        "native_over_time",
        figures.native_over_time(
            run.time, rmsd, contacts, run.rung_temperatures, analysis.frames.sampling.start, analysis.folded_rmsd
        ),
        "RMSD and fraction of native contacts at some temperatures (of the first ladder). Replicas come and go, so "
        "jumps are swaps as often as folding; grey time is left out of averages. Dotted: folded below.",
    )
    if len(native.pairs):
        rows = figures.evenly(run.n_frame, 1500)
        along = np.take_along_axis(contacts[rows], places_of_replicas(run.replica[rows]), axis=1)
        page.figure(
            "native_of_replicas",
            figures.native_of_replicas(run.time[rows], along),
            "Fraction of native contacts of every replica, continuous in time: a change of colour is a folding or "
            "unfolding event.",
        )
    page.figure(
        "structures",
        figures.structures(native, _bundles(run, native)),
        "Thirty frames of the coldest and the hottest rung, superposed on the reference (black).",
    )


def _surfaces(page, analysis):
    run, ensemble = analysis.run, analysis.frames
    page.section("surface", "Free-energy surfaces")
    counts = np.arange(run.n_frame)[:, None] >= ensemble.sampling.start
    energy, surfaces = run.energy[counts], []
    for k in figures.evenly(run.n_rung, SHOWN_SURFACES):
        logarithm = ensemble.mbar.log_weights(energy, run.beta[k])
        surfaces.append((run.rung_temperatures[k], np.exp(logarithm - logarithm.max())))
    page.figure(
        "free_energy",
        figures.free_energy_surfaces(analysis.rmsd[counts], analysis.contacts[counts], surfaces),
        "−kT ln p over RMSD and native contacts, from all rungs by MBAR; zero is the lowest basin of each "
        "temperature, white was never seen.",
    )


def _folded(page, analysis):
    run, ensemble = analysis.run, analysis.frames
    page.section("folded", "Folded fraction")
    page.box("note", NOT_PHYSICAL)
    page.add(f"Folded means an RMSD below {analysis.folded_rmsd:g} Å (<code>--folded-rmsd</code>).")
    alone, together = ensemble.alone(analysis.folded), np.full((2, run.n_rung), np.nan)
    if ensemble.mbar:
        folded = ensemble.mbar.take(analysis.folded)
        together = ensemble.mbar.average(folded, run.beta)
    else:
        page.add(NOT_CONNECTED)
    if run.n_rung > 1 and ensemble.mbar:
        curve = ensemble.mbar.average(folded, analysis.grid_beta)
        page.figure(
            "folded_fraction",
            figures.curve(analysis.grid, curve, run.rung_temperatures, alone, "folded fraction", 1.02),
            "Folded fraction against temperature: MBAR over all rungs, and every rung's own average.",
        )
    rmsd, contacts = (ensemble.alone(values)[0] for values in (analysis.rmsd, analysis.contacts))
    page.table(
        ["rung", "T (K)", "folded, MBAR", "folded, this rung alone", "mean RMSD (Å)", "mean Q"],
        [
            (
                k, f"{run.rung_temperatures[k]:.1f}", with_error(together[0][k], together[1][k]),
                with_error(alone[0][k], alone[1][k]), number(rmsd[k]), number(contacts[k]),
            )
            for k in range(run.n_rung)
        ],
    )  # fmt: skip


def _bundles(run, native):
    """Some frames of the coldest and the hottest rung on the reference."""
    chosen, out = np.linspace(run.n_frame // 10, run.n_frame - 1, 30).astype(int), []
    for place in sorted({0, run.n_rung - 1}):
        frames = []
        for rows, block in run.position_blocks(slice(place, place + 1)):
            frames += list(block[chosen[(chosen >= rows.start) & (chosen < rows.stop)] - rows.start, 0])
        out.append((f"{run.temperatures[place]:.0f} K", [native.superposed(frame) for frame in frames]))
    return out

"""Sections of a report: energies, equilibration, free energies and heat capacity."""

import numpy as np

from . import report_figures as figures
from .report_page import number, with_error
from .reweighting import BOLTZMANN

NOT_PHYSICAL = (
    "<b>This is no physical melting curve.</b> A coarse-grained potential is fitted at one temperature: it is a free "
    "energy, whose dependence on temperature the model does not have. Averages at that temperature can be compared "
    "with experiment; other temperatures help the sampling. How folded fraction, free energies and heat "
    "capacity change with temperature is a property of the model, not of the protein."
)

NOT_CONNECTED = "Neighbouring rungs do not overlap, so MBAR cannot connect them: there are averages of each rung alone."


def energy_sections(page, analysis):
    run, ensemble = analysis.run, analysis.energies
    page.section("energies", "Energies")
    if ensemble is None:
        page.add(f"There are {run.n_frame} frames and {run.n_event} exchange events, too few for a histogram.")
        return
    page.add(f"Energies of {len(ensemble.energy):,} {ensemble.source}, {number(ensemble.spacing)} ps apart.")
    pooled = [ensemble.pooled(k) for k in range(run.n_rung)]
    page.figure(
        "energies",
        figures.energies(run.rung_temperatures, pooled, ensemble.overlaps),
        "Potential energies at each rung after equilibration" + (
            ", and for neighbours the area that two histograms share. Below about 0.3 swaps become rare and MBAR has "
            "little to connect the rungs with." if run.n_rung > 1 else "."),
    )
    _sampling_section(page, analysis)
    _mbar_section(page, analysis)
    if run.n_rung > 1 and ensemble.mbar:
        _heat_capacity_section(page, analysis)


def _sampling_section(page, analysis):
    run, ensemble = analysis.run, analysis.energies
    page.section("sampling", "Equilibration and statistical inefficiency")
    sampling, spacing = ensemble.sampling, ensemble.spacing
    inefficiency = ensemble.worst(sampling.g_rung) * spacing, sampling.g_replica * spacing
    start = ensemble.worst(sampling.start) * spacing
    observed = "the energy and the RMSD" if analysis.native and ensemble is analysis.frames else "the energy"
    page.figure(
        "sampling",
        figures.sampling(run.rung_temperatures, inefficiency, start, sampling.n_row * spacing),
        f"Time between independent samples, from {observed}, and the beginning of each rung that is left out. " + (
            "A rung forgets fast because replicas come and go; the replicas themselves remember. " if analysis.exchange
            else "") + "The longer of the two counts.",
    )


def _mbar_section(page, analysis):
    run, ensemble = analysis.run, analysis.energies
    page.section("mbar", "Free energies and averages by MBAR")
    mbar = ensemble.mbar
    if mbar:
        page.add(
            f"Means of {len(mbar.rows):,} samples of all rungs together, errors of {mbar.independent.sum():,} of them "
            "that are decorrelated."
        )
        together, f = mbar.average(mbar.energy, run.beta), (mbar.f, mbar.f_error)
    else:
        page.add(NOT_CONNECTED)
        together = f = np.full((2, run.n_rung), np.nan)
    start, g = (ensemble.worst(values) * ensemble.spacing for values in (ensemble.sampling.start, ensemble.sampling.g))
    alone = ensemble.alone(ensemble.energy)
    page.table(
        ["rung", "T (K)", "discarded (ns)", "g (ps)", "independent", "f (kT)", "⟨U⟩ alone", "⟨U⟩ MBAR (kcal/mol)"],
        [
            (
                k, f"{run.rung_temperatures[k]:.1f}", number(start[k] / 1000), number(g[k]),
                f"{ensemble.n_independent[k]:,.0f}", with_error(f[0][k], f[1][k]),
                with_error(alone[0][k], alone[1][k]), with_error(together[0][k], together[1][k]),
            )
            for k in range(run.n_rung)
        ],
    )  # fmt: skip


def _heat_capacity_section(page, analysis):
    run, ensemble = analysis.run, analysis.energies
    page.section("heat", "Heat capacity")
    page.box("note", NOT_PHYSICAL)
    kinetic = 1.5 * run.n_bead * BOLTZMANN
    heat, error = ensemble.mbar.heat_capacity(analysis.grid_beta)
    mean, _ = ensemble.alone(ensemble.energy)
    variance, variance_error = ensemble.alone((ensemble.energy - np.tile(mean, run.n_ladder)) ** 2)
    factor = BOLTZMANN * run.beta**2
    page.figure(
        "heat_capacity",
        figures.curve(
            analysis.grid, (heat + kinetic, error), run.rung_temperatures,
            (factor * variance + kinetic, factor * variance_error), "heat capacity (kcal/mol/K)",
            level=(kinetic, "kinetic part, 3N/2 k"),
        ),
        f"Potential part, k β² var(U), plus the kinetic part, which is 3N/2 k = {number(kinetic)} kcal/mol/K for the "
        f"{run.n_bead} beads at every temperature.",
    )  # fmt: skip

"""Sections of a report: what was run, what to beware of, how it exchanged, and how all was computed."""

import numpy as np

from . import report_figures as figures
from .exchange_statistics import places_of_replicas, walk
from .pdb import RESIDUES, standard_name
from .report_page import fixed, number, plural
from .reweighting import MOST_SAMPLES

LETTERS = dict(zip(RESIDUES, "ACDEFGHIKLMNPQRSTVWY"))
SHOWN_ROUND_TRIPS = 6  # of one replica


def run_section(page, analysis):
    run, summary = analysis.run, analysis.run.summary
    exchange = analysis.exchange
    length, replicas = _length(run), "replicas" if run.n_place > 1 else "replica"
    page.numbers([
        (f"{number(length / 1000)} ns", "per replica" + (", after adaptation" if run.n_adapting else "")),
        (f"{run.n_place}", replicas + (f" on {run.n_ladder} ladders" if run.n_ladder > 1 else "")),
        (_temperature_range(run), "temperatures" if run.n_rung > 1 else "temperature"),
        (f"{run.n_frame:,}", "frames of each replica"),
        *([(f"{exchange.round_trips.sum():,}", "round trips hot–cold–hot")] if exchange else []),
    ])
    remarks = _remarks(analysis)
    if remarks:
        page.box("warning", *remarks)
    page.section("run", "What was run")
    settings = _settings(run)
    status = summary.get("status", "going on, or stopped without a word (no summary.json yet)")
    machine = []
    if summary:
        machine.append(f"{summary['engine']}, {summary['precision']} precision, {plural(summary['ranks'], 'rank')}")
    frames = f"{run.n_frame:,}, every {settings.get('save_interval', '?')} steps"
    if run.n_adapting:
        frames += f"; {run.n_adapting:,} more of the adaptation of the ladder are left out everywhere"
    page.facts([
        ("Molecule", _molecule(run)),
        ("System", f"{run.attributes['system']} (SHA-256 {run.attributes['system_sha256'][:16]}…)"),
        ("Status", status),
        ("Ladder" if run.n_ladder == 1 else f"{run.n_ladder} ladders",
         f"{plural(run.n_rung, 'temperature')}, {_temperature_range(run)}"),
        ("Dynamics", f"Langevin, time step {settings.get('dt', '?')} ps, friction {settings.get('friction', '?')}/ps"),
        ("Exchange", f"{settings.get('exchange_scheme', '?')}, every {settings.get('exchange_interval', '?')} steps, "
                     f"{plural(run.n_event, 'event')}" if run.n_rung > 1 and _interval(run) else "none"),
        ("Frames", frames),
        ("Segments", f"{len(run.segments)} ({run.attributes['generator']})"),
        ("Seed", run.attributes["seed"]),
        *[("Machine", line) for line in machine],
    ])
    page.details("Complete config", run.attributes["config"])
    page.details("Program", run.attributes["build"])


def _length(run):
    """ps of simulated time that counts."""
    return max(run.n_event * _interval(run), run.n_frame * _spacing(run))


def _interval(run):
    return float(_settings(run).get("exchange_interval", 0)) * float(run.attributes["timestep"])


def _spacing(run):
    """ps between frames."""
    return float(_settings(run).get("save_interval", 0)) * float(run.attributes["timestep"])


def _settings(run):
    """Keys of the stored config, which has one `key: value` a line."""
    lines = (line.partition(":") for line in run.attributes["config"].splitlines())
    return {key.strip(): value.strip() for key, colon, value in lines if colon}


def _temperature_range(run):
    low, high = run.rung_temperatures[[0, -1]]
    return f"{low:.1f} K" if run.n_rung == 1 else f"{low:.0f}–{high:.0f} K"


def _molecule(run):
    beads, chains = run.beads, {}
    for chain, residue, name in zip(beads["chain"], beads["residue_index"], beads["residue_name"]):
        chains.setdefault(chain, {})[int(residue)] = LETTERS.get(standard_name(name), "X")
    sequences = " + ".join("".join(residues.values()) for residues in chains.values())
    return f"{run.n_bead} beads, {sum(map(len, chains.values()))} residues: {sequences}"


def _remarks(analysis):
    """What a reader should know before believing anything below."""
    run, exchange, energies, out = analysis.run, analysis.exchange, analysis.energies, []
    if run.n_frame == 0 and run.n_event == 0:
        out.append("Nothing was written yet that counts: no frame and no exchange.")
    if exchange is not None:
        worst = int(np.argmin(exchange.acceptance))
        if exchange.acceptance[worst] < 0.1:
            out.append(
                f"Rungs {worst} and {worst + 1} hardly exchange (acceptance {exchange.acceptance[worst]:.3f}): the "
                "ladder is cut in two there. More rungs between them would help."
            )
        if exchange.round_trips.sum() < 5 * run.n_ladder:
            out.append(
                f"Only {plural(exchange.round_trips.sum(), 'round trip')}: replicas have not travelled enough to trust "
                "averages."
            )
    if analysis.frames is None:
        out.append(f"{run.n_frame} frames are too few for statistics; the sections that need them say so.")
    if energies is None:
        return out
    ensembles = [ensemble for ensemble in (energies, analysis.frames) if ensemble is not None]
    fewest = min(ensemble.n_independent.min() for ensemble in ensembles)
    if fewest < 50:
        out.append(
            f"As few as {plural(round(fewest), 'independent sample')} of a rung: errors of errors are large, and slow "
            "motions may be missing altogether. Sample longer."
        )
    sampling = energies.sampling
    late = max(ensemble.sampling.start.max() / ensemble.sampling.n_row for ensemble in ensembles)
    if late > 0.5:
        out.append(f"A rung took {100 * late:.0f} % of the run to equilibrate: probably it is not equilibrated yet.")
    for k, shared in enumerate(energies.overlaps):
        if shared < 0.02:
            out.append(f"Energies of rungs {k} and {k + 1} hardly overlap ({shared:.3f}): MBAR connects them badly.")
    if run.n_rung > 1 and energies.mbar:
        off = energies.mbar.contradiction(energies.energy, sampling)
        if off.max() > 5:
            out.append(
                f"At {run.rung_temperatures[off.argmax()]:.0f} K the mean energy differs from that of all rungs "
                f"together by {off.max():.0f} standard errors: the rungs contradict each other. They are not "
                "equilibrated, or something is wrong with the sampling."
            )
    return out


def exchange_sections(page, analysis):
    run, exchange = analysis.run, analysis.exchange
    page.section("ladder", "Ladder and acceptance")
    if exchange is None:
        page.add("One temperature: there is no ladder." if run.n_rung == 1 else
                 "There are no exchanges that count yet." if any(segment.n_event for segment in run.segments) else
                 "There were no exchanges.")
        return
    page.figure("ladder", figures.ladder(run.rung_temperatures, exchange),
        "Left: the temperatures. Right: mean acceptance probability of a swap between neighbours, and the fraction "
        "of swaps tried that were made; both must agree. Grey: 0.39 to 0.50, where round trips are fastest.")
    page.add(f"Barrier (sum of the rejections): <b>{exchange.barrier:.2f}</b>. "
             f"{exchange.good_rungs} rungs, well placed (<code>flashrex ladder</code>), would accept 45 % or more.")
    page.table(
        ["rung", "T (K)", "acceptance to next", "from cold, f", "visitors"],
        [(k, f"{run.rung_temperatures[k]:.1f}", fixed(a), fixed(exchange.from_cold[k]),
          f"{exchange.visitors[k]} of {run.n_place}")
         for k, a in enumerate([*exchange.acceptance, np.nan])],
    )
    page.section("walk", "Walk through temperature space")
    trips = exchange.round_trips
    per = f", {number(1000 * trips.sum() / (run.n_event * _interval(run)))} per ns" if _interval(run) else ""
    page.add(f"{trips.sum():,} round trips from the hottest rung to the coldest and back{per}; "
             f"the replicas made between {trips.min()} and {trips.max()} each.")
    path = walk(run)
    if path is None or len(path.time) < 2:
        page.add("Too little was written to draw a walk.")
    else:
        page.figure("walk", figures.walk(path, run.rung_temperatures),
            "Every replica's temperature over time. A well-mixed run looks like noise: long stretches of one colour "
            "are replicas that stay cold or hot.")
        _one_replica(page, analysis)
    page.section("f", "f: where replicas come from")
    page.figure("f_of_rung", figures.from_cold(run.rung_temperatures, exchange),
        "Of the replicas seen at a rung, the fraction that last were at the coldest end rather than the hottest. "
        "A straight fall means that replicas diffuse evenly; a jump is a bottleneck, often the folding transition.")


def _one_replica(page, analysis):
    run = analysis.run
    if run.n_frame < 20:
        return
    places = places_of_replicas(run.replica)[:, 0]
    rungs = places % run.n_rung
    ends = _round_trips(rungs, run.n_rung)[:SHOWN_ROUND_TRIPS]
    n = min(ends[-1] + 1 if ends else len(rungs), 2000)
    rmsd = None if analysis.rmsd is None else analysis.rmsd[np.arange(n), places[:n]]
    page.figure("one_replica", figures.one_replica(run.time[:n], rungs[:n], run.rung_temperatures, rmsd),
        "The beginning of the first replica's walk" + ("." if rmsd is None else
        ", coloured by its distance from the reference: folded is light, unfolded dark."))


def _round_trips(rungs, n_rung):
    """Frames at which a replica on these rungs completes a trip to the coldest and back to the hottest."""
    ends, cold = [], False
    for frame, rung in enumerate(rungs):
        if rung == 0:
            cold = True
        elif rung == n_rung - 1 and cold:
            cold = False
            ends.append(frame)
    return ends


def methods_section(page, analysis):
    page.section("methods", "How this was computed")
    page.add(
        "Only committed frames count, and none of a ladder that was still being adapted. The beginning of each "
        "rung is left out up to the time that leaves most independent samples (Chodera, J. Chem. Theory Comput. 2016, "
        "12, 1799; pymbar). The statistical inefficiency is the larger of that of the series at the rung and that "
        "along the replicas (Chodera et al., J. Chem. Theory Comput. 2007, 3, 26), so that a replica that takes its "
        "fold along from rung to rung does not count as many independent ones.",
        f"Averages: MBAR (Shirts and Chodera, J. Chem. Phys. 2008, 129, 124105) on all samples after equilibration, "
        f"thinned out to about {MOST_SAMPLES:,} where there are more; their standard errors are those of "
        "decorrelated samples. Histograms and surfaces use all samples after equilibration. Overlap: one minus the "
        "Kolmogorov–Smirnov distance, which for canonical energies is the shared area.",
        "RMSD after superposition (MDAnalysis). Native contacts: pairs of C-alpha three or more residues apart and "
        "within 8 Å in the reference; Q is the mean of 1/(1 + exp(5 (r − 1.2 r₀)/Å)) (Best, Hummer, Eaton, PNAS 2013, "
        "110, 17874).",
    )

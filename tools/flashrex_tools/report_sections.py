"""The sections of a report: which numbers, figures and words, for what a run has."""

import numpy as np

from . import report_figures as figures
from .exchange_statistics import places_of_replicas, walk
from .pdb import RESIDUES, standard_name
from .report_page import number, text, with_error
from .reweighting import BOLTZMANN, MOST_SAMPLES, direct_average, overlap

LETTERS = dict(zip(RESIDUES, "ACDEFGHIKLMNPQRSTVWY"))
SHOWN_ROUND_TRIPS = 6  # of one replica
SHOWN_SURFACES = 6
NOT_PHYSICAL = (
    "<b>This is no physical melting curve.</b> A coarse-grained potential is fitted at one temperature: it is a free "
    "energy, whose dependence on temperature the model does not have. Averages at that temperature can be compared "
    "with experiment; other temperatures help the sampling. How folded fraction, free energies and heat "
    "capacity change with temperature is a property of the model, not of the protein."
)


def run_section(page, analysis):
    run, summary = analysis.run, analysis.run.summary
    exchange = analysis.exchange
    length = _length(run)
    page.numbers([
        (f"{number(length / 1000)} ns", "per replica" + (", after adaptation" if run.n_adapting else "")),
        (f"{run.n_place}", "replicas" + (f" on {run.n_ladder} ladders" if run.n_ladder > 1 else "")),
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
    machine = [f"{summary['engine']}, {summary['precision']} precision, {summary['ranks']} ranks"] if summary else []
    frames = f"{run.n_frame:,}, every {settings.get('save_interval', '?')} steps"
    if run.n_adapting:
        frames += f"; {run.n_adapting:,} more of the adaptation of the ladder are left out everywhere"
    page.facts([
        ("Molecule", _molecule(run)),
        ("System", f"{run.attributes['system']} (SHA-256 {run.attributes['system_sha256'][:16]}…)"),
        ("Status", status),
        ("Ladder", f"{run.n_rung} temperatures, {_temperature_range(run)}, × {run.n_ladder}"),
        ("Dynamics", f"Langevin, time step {settings.get('dt', '?')} ps, friction {settings.get('friction', '?')}/ps"),
        ("Exchange", f"{settings.get('exchange_scheme', '?')}, every {settings.get('exchange_interval', '?')} steps, "
                     f"{run.n_event:,} events" if exchange else "none"),
        ("Frames", frames),
        ("Segments", f"{len(run.segments)} ({run.attributes['generator']})"),
        ("Seed", run.attributes["seed"]),
        *[("Machine", line) for line in machine],
    ])
    page.details("Complete config", run.attributes["config"])
    page.details("Program", run.attributes["build"])


def _length(run):
    """ps of simulated time that counts."""
    return run.n_event * _interval(run) if run.n_frame == 0 else run.n_frame * _spacing(run)


def _interval(run):
    return float(_settings(run).get("exchange_interval", 0)) * float(run.attributes["timestep"])


def _spacing(run):
    """ps between frames."""
    return float(np.median(np.diff(run.time))) if run.n_frame > 1 else float(run.time[0])


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
    run, exchange, sampling, out = analysis.run, analysis.exchange, analysis.sampling, []
    if run.n_frame == 0 and run.n_event == 0:
        out.append("Nothing was written yet: no frame and no exchange.")
    if exchange is not None:
        worst = int(np.argmin(exchange.acceptance))
        if exchange.acceptance[worst] < 0.1:
            out.append(
                f"Rungs {worst} and {worst + 1} hardly exchange (acceptance {exchange.acceptance[worst]:.3f}): the "
                "ladder is cut in two there. More rungs between them would help."
            )
        if exchange.round_trips.sum() < 5 * run.n_ladder:
            out.append(
                f"Only {exchange.round_trips.sum()} round trips: replicas have not travelled enough to trust averages."
            )
    if sampling is None:
        out.append(f"{run.n_frame} frames are too few for statistics; the sections that need them say so.")
        return out
    if sampling.n_effective.min() < 50:
        out.append(
            f"As few as {sampling.n_effective.min():.0f} independent samples of a rung: errors of errors are large, "
            "and slow motions may be missing altogether. Sample longer."
        )
    late = sampling.start.max() / run.n_frame
    if late > 0.5:
        out.append(f"A rung took {100 * late:.0f} % of the run to equilibrate: probably it is not equilibrated yet.")
    if run.n_rung > 1:
        off = analysis.reweighting.contradiction(run.energy, sampling)
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
        page.add("One temperature: there is no ladder." if run.n_rung == 1 else "There were no exchanges.")
        return
    page.figure("ladder", figures.ladder(run.rung_temperatures, exchange),
        "Left: the temperatures. Right: mean acceptance probability of a swap between neighbours, and the fraction "
        "of swaps tried that were made; both must agree. Grey: 0.39 to 0.50, where round trips are fastest.")
    page.add(f"Barrier (sum of the rejections): <b>{exchange.barrier:.2f}</b>. "
             f"About twice the barrier, {max(2, round(2 * exchange.barrier) + 1)} rungs, is a good number.")
    page.table(
        ["rung", "T (K)", "acceptance to next", "from cold, f", "visitors"],
        [(k, f"{run.rung_temperatures[k]:.1f}", number(a), number(exchange.from_cold[k]),
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
    page.section("f", "f(rung)")
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


def energy_sections(page, analysis):
    run, sampling, mbar = analysis.run, analysis.sampling, analysis.reweighting
    page.section("energies", "Energies")
    if sampling is None:
        page.add(f"There are {run.n_frame} frames, too few for a histogram.")
        return
    n_rung, spacing = run.n_rung, _spacing(run)
    pooled = [np.concatenate([run.energy[sampling.start[p]:, p] for p in range(k, run.n_place, n_rung)])
              for k in range(n_rung)]
    overlaps = [overlap(a, b) for a, b in zip(pooled, pooled[1:])]
    page.figure("energies", figures.energies(run.rung_temperatures, pooled, overlaps),
        "Potential energies at each rung after equilibration, and for neighbours the area that two histograms share. "
        "Below about 0.3 swaps become rare and MBAR has little to connect the rungs with.")

    page.section("sampling", "Equilibration and statistical inefficiency")
    own = _worst(sampling.g_rung, n_rung) * spacing
    start = _worst(sampling.start, n_rung) * spacing
    page.figure("sampling", figures.sampling(run.rung_temperatures, (own, sampling.g_replica * spacing), start,
                                             _length(run)),
        "Time between independent samples, from the energy"
        + (" and the RMSD" if analysis.native else "") + ", and the beginning of each rung that is left out. A rung "
        "forgets fast because replicas come and go; the replicas themselves remember. The longer of the two counts.")

    page.section("mbar", "Free energies and averages by MBAR")
    page.add(f"From {len(mbar.rows):,} decorrelated samples of all rungs together.")
    mean, mean_error = mbar.average(mbar.energy, run.beta)
    alone, alone_error = direct_average(run.energy, sampling, n_rung)
    page.table(
        ["rung", "T (K)", "discarded (ns)", "g (ps)", "independent samples", "f (kT)", "⟨U⟩ alone (kcal/mol)",
         "⟨U⟩ MBAR (kcal/mol)"],
        [(k, f"{run.rung_temperatures[k]:.1f}", number(start[k] / 1000),
          number(_worst(sampling.g, n_rung)[k] * spacing), f"{_independent(sampling, n_rung)[k]:,.0f}",
          with_error(mbar.f[k], mbar.f_error[k]), with_error(alone[k], alone_error[k]),
          with_error(mean[k], mean_error[k])) for k in range(n_rung)],
    )
    if n_rung == 1:
        return
    page.section("heat", "Heat capacity")
    page.box("note", NOT_PHYSICAL)
    kinetic = 1.5 * run.n_bead * BOLTZMANN
    grid = _grid(run)
    heat, error = mbar.heat_capacity(1 / (BOLTZMANN * grid))
    square = (run.energy - np.tile(alone, run.n_ladder)) ** 2
    factor = BOLTZMANN * run.beta**2
    variance, variance_error = direct_average(square, sampling, n_rung)
    page.figure("heat_capacity",
        figures.curve(grid, (heat + kinetic, error), run.rung_temperatures,
                      (factor * variance + kinetic, factor * variance_error),
                      "heat capacity (kcal/mol/K)", level=(kinetic, "kinetic part, 3N/2 k")),
        f"Potential part, k β² var(U), plus the kinetic part, which is 3N/2 k = {number(kinetic)} kcal/mol/K for the "
        f"{run.n_bead} beads at every temperature.")


def _grid(run):
    """Temperatures of curves: fine, and every rung."""
    return np.union1d(np.linspace(run.rung_temperatures[0], run.rung_temperatures[-1], 60), run.rung_temperatures)


def _worst(values, n_rung):
    """Of [n_place] the largest over the ladders, [n_rung]."""
    return np.reshape(values, (-1, n_rung)).max(axis=0)


def _independent(sampling, n_rung):
    return sampling.n_effective.reshape(-1, n_rung).sum(axis=0)


def native_section(page, analysis):
    if analysis.native is None:
        page.section("native", "Structure")
        page.add("No reference structure was given: with <code>--reference native.pdb</code> this page has RMSD, "
                 "native contacts, free-energy surfaces and the folded fraction.")
        return
    run, native, n_rung = analysis.run, analysis.native, analysis.run.n_rung
    page.section("native", "RMSD and native contacts")
    page.add(f"Compared with the reference: {len(native.beads)} beads ({text(native.what)}), {len(native.pairs)} "
             "native contacts.")
    if analysis.sampling is None:
        page.add(f"There are {run.n_frame} frames, too few for pictures and averages.")
        return
    sampling, mbar = analysis.sampling, analysis.reweighting
    rmsd, contacts = analysis.rmsd, analysis.contacts
    page.numbers([(f"{rmsd.min():.2f} Å", "smallest RMSD of all frames"),
                  (f"{np.nanmax(contacts):.2f}", "largest fraction of native contacts")])
    page.figure("native_over_time",
        figures.native_over_time(run.time, rmsd, contacts, run.rung_temperatures, sampling.start),
        "RMSD and fraction of native contacts at some temperatures (of the first ladder). Replicas come and go, so "
        "jumps are swaps as often as folding; grey time is left out of averages.")
    rows = np.unique(np.linspace(0, run.n_frame - 1, 1500).astype(int))
    along = np.take_along_axis(contacts[rows], places_of_replicas(run.replica[rows]), axis=1)
    page.figure("native_of_replicas", figures.native_of_replicas(run.time[rows], along),
        "Fraction of native contacts of every replica, continuous in time: a change of colour is a folding or "
        "unfolding event.")
    page.figure("structures", figures.structures(native, _bundles(run, native)),
        "Thirty frames of the coldest and the hottest rung, superposed on the reference (black).")

    page.section("surface", "Free-energy surfaces")
    mask = np.arange(run.n_frame)[:, None] >= sampling.start
    x, y, energy = rmsd[mask], contacts[mask], run.energy[mask]
    surfaces = []
    for k in figures.evenly(n_rung, SHOWN_SURFACES):
        logarithm = mbar.log_weights(energy, run.beta[k])
        surfaces.append((run.rung_temperatures[k], np.exp(logarithm - logarithm.max())))
    page.figure("free_energy", figures.free_energy_surfaces(x, y, surfaces),
        "−kT ln p over RMSD and native contacts, from all rungs by MBAR; zero is the lowest basin of each "
        "temperature, white was never seen.")

    page.section("folded", "Folded fraction")
    page.box("note", NOT_PHYSICAL)
    folded = analysis.folded
    alone = direct_average(folded, sampling, n_rung)
    at_rungs = mbar.average(mbar.take(folded), run.beta)
    page.add(f"Folded means an RMSD below {analysis.folded_rmsd:g} Å (<code>--folded-rmsd</code>).")
    if n_rung > 1:
        grid = _grid(run)
        page.figure("folded_fraction",
            figures.curve(grid, mbar.average(mbar.take(folded), 1 / (BOLTZMANN * grid)), run.rung_temperatures, alone,
                          "folded fraction", 1.02),
            "Folded fraction against temperature: MBAR over all rungs, and every rung's own average.")
    page.table(
        ["rung", "T (K)", "folded, MBAR", "folded, this rung alone", "mean RMSD (Å)", "mean Q"],
        [(k, f"{run.rung_temperatures[k]:.1f}", with_error(at_rungs[0][k], at_rungs[1][k]),
          with_error(alone[0][k], alone[1][k]), number(direct_average(rmsd, sampling, n_rung)[0][k]),
          number(direct_average(contacts, sampling, n_rung)[0][k])) for k in range(n_rung)],
    )


def _bundles(run, native):
    chosen = np.linspace(run.n_frame // 10, run.n_frame - 1, 30).astype(int)
    out = []
    for place in sorted({0, run.n_rung - 1}):
        frames = np.concatenate([block[:, 0][np.isin(np.arange(rows.start, rows.stop), chosen)]
                                 for rows, block in run.position_blocks(slice(place, place + 1))])
        out.append((f"{run.temperatures[place]:.0f} K", [native.superposed(frame) for frame in frames]))
    return out


def methods_section(page, analysis):
    page.section("methods", "How this was computed")
    page.add(
        "Only committed frames count, and none of a ladder that was still being adapted. The beginning of each "
        "rung is left out up to the time that leaves most independent samples (Chodera, J. Chem. Theory Comput. 2016, "
        "12, 1799; pymbar). The statistical inefficiency is the larger of that of the series at the rung and that "
        "along the replicas (Chodera et al., J. Chem. Theory Comput. 2007, 3, 26), so that a replica that takes its "
        "fold along from rung to rung does not count as many independent ones.",
        f"Averages and their standard errors: MBAR (Shirts and Chodera, J. Chem. Phys. 2008, 129, 124105) on "
        f"decorrelated samples, at most {MOST_SAMPLES:,}. Histograms and surfaces use all samples after "
        "equilibration. Overlap: one minus the Kolmogorov–Smirnov distance, which for canonical energies is the shared "
        "area.",
        "RMSD after superposition (MDAnalysis). Native contacts: pairs of C-alpha three or more residues apart and "
        "within 8 Å in the reference; Q is the mean of 1/(1 + exp(5 (r − 1.2 r₀)/Å)) (Best, Hummer, Eaton, PNAS 2013, "
        "110, 17874).",
    )

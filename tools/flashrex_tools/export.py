"""flashrex-export: a run as XTC or DCD trajectories with a PDB file, per temperature or per replica."""

import argparse
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from . import __version__
from .errors import ImportFailure, in_words
from .exchange_statistics import places_of_replicas
from .run_directory import read_run

DESCRIPTION = """\
Write the frames of a run as XTC or DCD trajectories, with system.pdb as their topology, for VMD, PyMOL, nglview and
everything else that reads them: one trajectory per temperature, an ensemble in which replicas come and go, or one
per replica, continuous in time, which walks through the temperatures. Frames of a ladder that was being adapted are
left out. XTC rounds coordinates to 0.001 nm; DCD keeps them as they are."""

EPILOG = """\
examples:
  flashrex-export protein-run                                   # all temperatures, XTC, into protein-run/export
  flashrex-export protein-run --temperature 300 350 --format dcd -o cold
  flashrex-export protein-run --per replica -o replicas"""

OPEN_AT_ONCE = 200  # files
AKMA_PER_PS = 1 / 0.04888821  # the unit of time in a DCD file


class _Xtc:
    suffix = "xtc"

    def __init__(self, path, run):
        from MDAnalysis.lib.formats.libmdaxdr import XTCFile

        self.file = XTCFile(str(path), "w")

    def write(self, positions, times, steps):
        box = np.zeros((3, 3), np.float32)
        for frame, time, step in zip(positions * np.float32(0.1), times, steps):
            self.file.write(frame, box, int(step), float(time), 1000)


class _Dcd:
    suffix = "dcd"

    def __init__(self, path, run):
        from MDAnalysis.lib.formats.libdcd import DCDFile

        self.file = DCDFile(str(path), "w")
        steps, timestep = run.step, float(run.attributes["timestep"])
        spacing = int(steps[1] - steps[0]) if len(steps) > 1 else max(1, int(steps[0]))
        self.file.write_header(
            remarks="flashrex-export", natoms=run.n_bead, istart=int(steps[0]), nsavc=spacing,
            delta=timestep * AKMA_PER_PS, is_periodic=0,
        )  # fmt: skip

    def write(self, positions, times, steps):
        box = np.zeros(6)
        for frame in positions:
            self.file.write(frame, box)


FORMATS = {"xtc": _Xtc, "dcd": _Dcd}


def export(run, folder, per="temperature", form="xtc", temperatures=None):
    """Writes the trajectories of a Run and system.pdb into a folder; returns the paths of the trajectories."""
    if run.n_frame == 0:
        but = ", only some of adapting its ladder" if run.n_adapting else ""
        raise ImportFailure(f"{run.directory}: the run has no frames yet{but}")
    places = _places(run, temperatures) if per == "temperature" else range(run.n_place)
    writer = FORMATS[form]
    names = [_name_of_place(run, p) if per == "temperature" else f"replica_{p:03d}" for p in places]
    paths = [Path(folder) / f"{name}.{writer.suffix}" for name in names]
    Path(folder).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run.directory / "system.pdb", Path(folder) / "system.pdb")
    for first in range(0, len(paths), OPEN_AT_ONCE):
        chosen = places[first : first + OPEN_AT_ONCE]
        with ExitStack() as stack:
            writers = [writer(path, run) for path in paths[first : first + OPEN_AT_ONCE]]
            for one in writers:
                stack.callback(one.file.close)
            for rows, positions in run.position_blocks():
                if per == "replica":
                    where = places_of_replicas(run.replica[rows])
                for one, place in zip(writers, chosen):
                    column = where[:, place] if per == "replica" else np.full(len(positions), place)
                    frames = np.ascontiguousarray(positions[np.arange(len(positions)), column])
                    one.write(frames, run.time[rows], run.step[rows])
    return paths


def _places(run, temperatures):
    if temperatures is None:
        return range(run.n_place)
    rungs = []
    for wanted in temperatures:
        rung = int(np.argmin(np.abs(run.rung_temperatures - wanted)))
        if abs(run.rung_temperatures[rung] - wanted) > 0.5:
            have = ", ".join(f"{temperature:.1f}" for temperature in run.rung_temperatures)
            raise ImportFailure(f"no rung at {wanted:g} K; there are {have} K")
        rungs.append(rung)
    return [ladder * run.n_rung + rung for ladder in range(run.n_ladder) for rung in dict.fromkeys(rungs)]


def _name_of_place(run, place):
    """As the views of a run are called."""
    ladder, rung = divmod(place, run.n_rung)
    prefix = f"ladder_{ladder}_" if run.n_ladder > 1 else ""
    return f"{prefix}T_{rung:02d}_{run.temperatures[place]:.1f}K"


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}\n")


def main(argv=None):
    """Runs the command; returns the exit code: 0, or 2 with one line on stderr."""
    parser = _Parser("flashrex-export", description=DESCRIPTION, epilog=EPILOG)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("run", metavar="RUN", help="folder of a run (key `output` of its config)")
    parser.add_argument("--per", choices=["temperature", "replica"], default="temperature",
                        help="what one trajectory follows (default: temperature)")  # fmt: skip
    parser.add_argument("--format", choices=FORMATS, default="xtc", help="of the trajectories (default: xtc)")
    parser.add_argument("--temperature", metavar="K", nargs="+", type=float, help="only these temperatures")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder to write to (default: RUN/export)")
    parser.add_argument("--version", action="version", version=f"flashrex-export {__version__}")
    options = parser.parse_args(argv)
    if options.temperature and options.per == "replica":
        parser.error("--temperature chooses among trajectories per temperature, not per replica")
    folder = Path(options.output or Path(options.run) / "export")
    try:
        run = read_run(options.run)
        paths = export(run, folder, options.per, options.format, options.temperature)
    except (ImportFailure, OSError) as failure:
        print(f"flashrex-export: error: {in_words(failure)}", file=sys.stderr)
        return 2
    many = "trajectory" if len(paths) == 1 else "trajectories"
    print(f"wrote {len(paths)} {many} of {run.n_frame:,} frame{'s' * (run.n_frame != 1)}, and system.pdb, to {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

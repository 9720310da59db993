"""flashrex-report: what a run sampled and how well, as one HTML page and PNG pictures."""

import argparse
import sys
import time
from pathlib import Path

from . import __version__
from .errors import ImportFailure, in_words
from .report_analysis import analyse
from .report_energies import energy_sections
from .report_native import native_section
from .report_page import Page
from .report_sections import exchange_sections, methods_section, run_section
from .run_directory import read_run

DESCRIPTION = """\
Write a page about a run: what was run, ladder and acceptance, walks of the replicas, energies and their overlap,
equilibration, free energies by MBAR; with a reference structure also RMSD, native contacts, free-energy surfaces and
the folded fraction. The run may still be going on."""

EPILOG = """\
examples:
  flashrex-report protein-run
  flashrex-report protein-run --reference native.pdb --folded-rmsd 2.5 -o report

What each figure shows: docs/report.md."""


def page_of(analysis):
    """The Page of an Analysis."""
    run = analysis.run
    now = time.strftime("%Y-%m-%d %H:%M")
    page = Page(f"Replica exchange: {run.directory.resolve().name}", f"flashrex-report {__version__}, {now}")
    run_section(page, analysis)
    exchange_sections(page, analysis)
    energy_sections(page, analysis)
    native_section(page, analysis)
    methods_section(page, analysis)
    return page


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}\n")


def _distance(word):
    try:
        if 0 < float(word) < float("inf"):
            return float(word)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"'{word}' is not a distance above 0 in Angstrom")


def main(argv=None):
    """Runs the command; returns the exit code: 0, or 2 with one line on stderr."""
    parser = _Parser("flashrex-report", description=DESCRIPTION, epilog=EPILOG)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("run", metavar="RUN", help="folder of a run (key `output` of its config)")
    parser.add_argument("--reference", metavar="NATIVE.pdb", help="structure to compare with")
    parser.add_argument("--folded-rmsd", metavar="A", type=_distance, default=2.5,
                        help="closer to the reference than this counts as folded (default: 2.5 Angstrom)")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="DIR", help="folder to write to (default: RUN/report)")
    parser.add_argument("--version", action="version", version=f"flashrex-report {__version__}")
    options = parser.parse_args(argv)
    folder = Path(options.output or Path(options.run) / "report")
    try:
        page = page_of(analyse(read_run(options.run), options.reference, options.folded_rmsd))
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in page.pictures.items():
            (folder / f"{name}.png").write_bytes(picture)
        (folder / "report.html").write_text(page.html(), encoding="utf-8")
    except (ImportFailure, OSError) as failure:
        print(f"flashrex-report: error: {in_words(failure)}", file=sys.stderr)
        return 2
    print(f"wrote {folder / 'report.html'} and {len(page.pictures)} pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())

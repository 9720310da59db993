"""flashrex-import: makes one self-contained system file from a trained model and a molecule."""

import argparse
import os
import sys

import numpy as np

from . import __version__
from .errors import ImportFailure
from .importer import Request, import_system
from .reference_energy import evaluate
from .system_file import write_system

DESCRIPTION = """\
Make one self-contained system file (HDF5) for flashrex from a trained PyTorch model. Nothing of the model's
file is executed, and neither torch nor mlcg is needed. What each FILE is, is seen from its content."""

EPILOG = """\
examples:
  mlcg model with its list of AtomicData:
    flashrex-import model_and_prior.pt --structures configurations.pt -o system.h5
  mlcg model and prior, any protein:
    flashrex-import model_and_prior.pt --structures protein.pdb -o system.h5
    flashrex-import model.pt --prior prior.pt --structures protein.pdb -o system.h5
  torchmd-net checkpoint:
    flashrex-import model.ckpt --prior priors.yaml --topology protein.psf --structures start.xtc \\
        --embedding majewski2023 -o system.h5

What is understood, and what is refused: docs/import.md."""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}\n")


def _parser():
    parser = _Parser("flashrex-import", description=DESCRIPTION, epilog=EPILOG)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", metavar="MODEL", help="model saved by mlcg, or checkpoint of torchmd-net")
    parser.add_argument(
        "--structures", metavar="FILE", help="starting structures: AtomicData list, PDB, XTC, frames"
    )
    parser.add_argument(
        "--prior", metavar="FILE", help="prior: ModuleDict of mlcg, or force field (YAML) of torchmd"
    )
    parser.add_argument("--topology", metavar="FILE", help="the molecule: PDB, or PSF for torchmd")
    parser.add_argument(
        "--embedding",
        metavar="NAME",
        help="torchmd: residue numbering, majewski2023, torchmd-exp or a YAML file",
    )
    parser.add_argument(
        "--cutoff",
        metavar=("LOWER", "UPPER"),
        nargs=2,
        type=float,
        help="torchmd: cutoffs that the file does not hold",
    )
    parser.add_argument(
        "--activation", metavar="NAME", help="torchmd: activation that the file does not hold"
    )
    parser.add_argument(
        "--extended", action="store_true", help="start from a stretched chain (one C-alpha per residue)"
    )
    parser.add_argument("-o", "--output", metavar="SYSTEM.h5", required=True, help="the file to write")
    parser.add_argument("-f", "--force", action="store_true", help="replace an existing output")
    parser.add_argument("--version", action="version", version=f"flashrex-import {__version__}")
    return parser


def describe(system, notes, answer):
    """What was taken, as lines of text."""
    beads, net = system.beads, system.network
    yield f"molecule    {len(beads)} beads, {len(set(zip(beads.chain, beads.residue_index)))} residues"
    if net is None:
        yield "network     none"
    else:
        n_type, n_hidden = net.embedding.shape
        yield (
            f"network     {len(net.interactions)} interactions, {n_hidden} features, "
            f"{net.interactions[0].lin1.weight.shape[0]} filters, {n_type} bead types, cutoff {net.r_cut:g} A"
        )
        n_basis = len(net.basis.center)
        yield f"  basis     {n_basis} {net.basis.name}, {_envelope(net.basis.envelope)}"
        yield f"  filter    {_widths(n_basis, net.interactions[0].filter)}, {_envelope(net.envelope)}"
        yield f"  output    {_widths(n_hidden, net.output)}, scale {net.scale:g}, shift {net.shift:g}"
    for term in system.priors:
        yield f"prior       {term.name}: {len(term.atoms)} terms, {term.form} in {term.feature}"
    for note in notes:
        yield f"note        {note}"
    yield f"structures  {len(system.structures)}"
    parts = f"network {answer['parts']['SchNet']:.7f}, " if net is not None else ""
    prior = sum(value for name, value in answer["parts"].items() if name != "SchNet")
    yield f"energy      {answer['energy']:.7f} kcal/mol of structure 0 ({parts}priors {prior:.7f})"


def _widths(first, layers):
    bias = "" if layers[-1].bias is None else ", bias in the last layer"
    return "-".join(map(str, [first, *(layer.weight.shape[0] for layer in layers)])) + f" tanh{bias}"


def _envelope(envelope):
    if envelope.kind == "identity":
        return "no envelope"
    return f"{envelope.kind} envelope {envelope.r_lo:g}-{envelope.r_hi:g} A"


def _one_line(text):
    """Text of a file may hold anything; what is printed is one line of printable characters."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(str(text).split("\n")))[:2000]


def main(argv=None):
    """Runs the command; returns the exit code: 0, or 2 with one line on stderr."""
    args = _parser().parse_args(argv)
    request = Request(
        args.model, args.structures, args.prior, args.topology, args.embedding, args.cutoff, args.activation,
        args.extended,
    )  # fmt: skip
    try:
        if os.path.exists(args.output) and not args.force:
            raise ImportFailure(f"{args.output} exists; -f replaces it")
        system = import_system(request)
        with np.errstate(all="ignore"):
            answer = evaluate(system, system.structures[0])
        if not (np.isfinite(answer["energy"]) and np.all(np.isfinite(answer["forces"]))):
            raise ImportFailure("the energy or a force of structure 0 is not a finite number")
        write_system(args.output, system, answer)
    except ImportFailure as failure:
        print(f"flashrex-import: error: {_one_line(failure)}", file=sys.stderr)
        return 2
    for line in describe(system, request.notes, answer):
        print(_one_line(line))
    print(f"written     {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

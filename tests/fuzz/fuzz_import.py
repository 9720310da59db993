"""Fuzzers of what flashrex-import reads; whatever comes in, it is a result or an ImportFailure.

    python fuzz_import.py torch|structures [options of libFuzzer] CORPUS
    python fuzz_import.py torch|structures --seeds CORPUS

`torch`: the first byte chooses what the rest is: a whole file, or the pickle of an mlcg model or of a torchmd
checkpoint inside an intact archive. `structures`: a PDB file, a PSF file, or a force field (YAML). Needs atheris.
"""

import atexit
import contextlib
import dataclasses
import pickletools
import random
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))

import atheris

with atheris.instrument_imports(include=["flashrex_tools"]):
    from flashrex_tools import importer, pdb, topology, torch_file, torchmd_prior
    from flashrex_tools.errors import ImportFailure

import numpy as np
import test_import_mlcg as mlcg
import test_import_torchmd as torchmd
from models import configuration
from test_fuzz import mutate
from torch_writer import Array, Obj, Sparse, Writer, sum_out, write_archive

FOLDER = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
FILE = FOLDER / "f.pt"
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def mlcg_writer():
    frame = configuration(mlcg.POSITIONS, mlcg.TYPES, {"bonds": mlcg.BONDS})
    return Writer().put((sum_out({"SchNet": mlcg.simple()[0], "bonds": mlcg.bonds_prior()}), [frame, frame]))


def small_writer():
    record = Obj("mlcg.nn.A", {"k": [1, (2, "x")]})
    return Writer().put({"w": Array(np.arange(8.0)), "r": record, "s": Sparse(np.eye(2))})


WRITERS = [small_writer(), mlcg_writer(), Writer().put(torchmd.small())]
TORCHMD = torchmd.request(FOLDER, torchmd.small())
REQUESTS = [None, importer.Request(str(FILE)), dataclasses.replace(TORCHMD, model=str(FILE))]


def read_everything(value, n=1000):
    """Uses the tensors of an object, wherever they are."""
    waiting, seen = [value], set()
    while waiting and n:
        value, n = waiting.pop(), n - 1
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, (torch_file.Tensor, torch_file.SparseTensor)):
            value.numpy()
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, (list, tuple)):
            waiting += value
        elif hasattr(value, "args"):
            waiting += [value.args, value.state]


def torch_input(data):
    mode = data[0] % 3
    if mode == 0:
        FILE.write_bytes(data[1:])
        if torch_file.is_torch_file(FILE):
            read_everything(torch_file.TorchFile(FILE).load())
    else:
        write_archive(FILE, data[1:], WRITERS[mode].storages)
        importer.import_system(dataclasses.replace(REQUESTS[mode], notes=[]))


def torch_mutate(data, size, seed):
    """A third of the changes are of whole instructions of the pickle."""
    rng = random.Random(seed)
    if len(data) > 20 and data[0] % 3 and rng.random() < 0.33:
        positions = []
        with contextlib.suppress(Exception):
            for _, _, at in pickletools.genops(data[1:]):
                positions.append(at)
        if len(positions) > 10:
            return (data[:1] + mutate(data[1:], positions, rng))[:size]
    return atheris.Mutate(data, size)


def torch_seeds():
    write_archive(FILE, WRITERS[0].pickle(), WRITERS[0].storages)
    yield b"\0" + FILE.read_bytes()
    for mode in (1, 2):
        yield bytes([mode]) + WRITERS[mode].pickle()


def structures_input(data):
    mode = data[0] % 3
    FILE.write_bytes(data[1:])
    if mode == 0:
        protein = pdb.read_pdb(FILE)
        for mapping in ("ca", "five-bead"):
            with contextlib.suppress(ImportFailure):
                topology.build_molecule(protein, mapping)
    elif mode == 1:
        torchmd_prior.read_psf(FILE)
    else:
        torchmd_prior.load_yaml(FILE)


def structures_seeds():
    torchmd.write_pdb(FILE)
    yield b"\0" + FILE.read_bytes()
    atoms = ["N", "CA", "C", "O", "CB"]
    lines = [
        f"ATOM  {5 * r + i + 1:5d}  {atom:<3s} ALA A{r + 1:4d}    {3.8 * r + 0.5 * i:8.3f}{0.4 * i:8.3f}{0.0:8.3f}\n"
        for r in range(4)
        for i, atom in enumerate(atoms)
    ]
    yield b"\0" + "".join([*lines, "ENDMDL\n", *lines, "END\n"]).encode()
    torchmd.write_psf(FILE)
    yield b"\1" + FILE.read_bytes()
    yield b"\2" + torchmd.yaml.safe_dump(torchmd.force_field()).encode()


TARGETS = {
    "torch": (torch_input, torch_mutate, torch_seeds),
    "structures": (structures_input, None, structures_seeds),
}


def main():
    read, mutator, seeds = TARGETS[sys.argv[1]]
    if sys.argv[2] == "--seeds":
        for i, seed in enumerate(seeds()):
            (Path(sys.argv[3]) / f"seed_{i}").write_bytes(seed)
        return

    def one_input(data):
        with contextlib.suppress(ImportFailure):
            if data:
                read(data)

    more = {"custom_mutator": mutator} if mutator else {}
    atheris.Setup([sys.argv[0], *sys.argv[2:]], one_input, **more)
    atheris.Fuzz()


main()

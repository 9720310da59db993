"""Whole models with random changes of their pickles: whatever happens, it is a System or an ImportFailure."""

import pickletools
import random

import pytest
import test_import_mlcg as mlcg
import test_import_torchmd as torchmd
from flashrex_tools.errors import ImportFailure
from flashrex_tools.importer import Request, import_system
from models import configuration
from torch_writer import Writer, sum_out, write_archive

OPCODES = [op.code.encode("latin1") for op in pickletools.opcodes]
VALUES = [b"N", b")", b"]", b"}", b"K\x00", b"K\xff", b"\x88", b"G\x7f\xf8" + b"\x00" * 6, b""]


def mutate(data, positions, rng):
    """A few bytes or instructions changed, or a run of instructions replaced by a value or by another one."""
    data, kind = bytearray(data), rng.random()
    if kind < 0.5:
        for _ in range(rng.randint(1, 3)):
            at = rng.choice(positions) if kind < 0.2 else rng.randrange(2, len(data))
            data[at : at + 1] = rng.choice(OPCODES) if kind < 0.2 else bytes([rng.randrange(256)])
        return bytes(data)
    i = rng.randrange(len(positions) - 5)
    j = rng.randrange(len(positions) - 1)
    new = rng.choice(VALUES) if kind < 0.75 else data[positions[j] : positions[j + 1]]
    data[positions[i] : positions[i + rng.randint(1, 4)]] = new
    return bytes(data)


@pytest.mark.parametrize("family", ["mlcg", "torchmd"])
def test_changed_models(tmp_path, family):
    if family == "mlcg":
        models = {"SchNet": mlcg.simple()[0], "bonds": mlcg.bonds_prior()}
        frame = configuration(mlcg.POSITIONS, mlcg.TYPES, {"bonds": mlcg.BONDS})
        writer, request = Writer().put((sum_out(models), [frame, frame])), Request("")
    else:
        writer = Writer().put(torchmd.small())
        request = torchmd.request(tmp_path, torchmd.small())
    whole, rng, outcomes = writer.pickle(), random.Random(11), {"read": 0, "refused": 0}
    positions = [at for _, _, at in pickletools.genops(whole)]
    for _ in range(400):
        changed = mutate(whole, positions, rng)
        request.model = str(write_archive(tmp_path / "f.pt", changed, writer.storages))
        try:
            import_system(request)
            outcomes["read"] += 1
        except ImportFailure:
            outcomes["refused"] += 1
    assert outcomes["read"] > 0 and outcomes["refused"] > 200

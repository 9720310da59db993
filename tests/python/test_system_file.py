"""The writer of system files: the same bytes for the same content, and damage is noticed."""

import random
import time

import h5py
import numpy as np
import pytest
import test_import_mlcg as mlcg
from flashrex_tools.reference_energy import evaluate
from flashrex_tools.system_file import read_system, write_system


@pytest.fixture
def path(tmp_path):
    models = {"SchNet": mlcg.simple()[0], "bonds": mlcg.bonds_prior()}
    system = mlcg.run(tmp_path, models, {"bonds": mlcg.BONDS})
    system.beads.name[0] = "Cα"
    answer = evaluate(system, mlcg.POSITIONS)
    for name in ("a.h5", "b.h5"):
        write_system(tmp_path / name, system, answer)
        time.sleep(1.1 if name == "a.h5" else 0)  # times are kept in seconds
    return tmp_path / "a.h5"


def test_the_same_content_gives_the_same_bytes(path):
    assert path.read_bytes() == (path.parent / "b.h5").read_bytes()


def test_texts_have_fixed_lengths(path):
    texts = []

    def look(_, member):
        values = [member.attrs.get_id(name).dtype for name in member.attrs]
        values += [member.dtype] if isinstance(member, h5py.Dataset) else []
        texts.extend(h5py.check_string_dtype(t) for t in values if t.kind in "OS")

    with h5py.File(path) as file:
        file.visititems(look)
        look("/", file)
    assert len(texts) > 12 and all(text.length for text in texts)
    assert read_system(path).beads.name[:2] == ["Cα", "X"]


def everything(path):
    """All values in a file."""
    out = {}

    def keep(name, member):
        out.update({(name, key): np.asarray(value).tobytes() for key, value in member.attrs.items()})
        if isinstance(member, h5py.Dataset):
            out[name] = member[()].tobytes()

    with h5py.File(path) as file:
        file.visititems(keep)
        keep("/", file)
    return out


def test_changed_bytes_are_noticed(path):
    """With checksums on everything a changed byte is refused or lies where nothing is stored."""
    whole, expected, rng = path.read_bytes(), everything(path), random.Random(3)
    bad, n_refused = path.with_name("bad.h5"), 0
    for _ in range(300):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        bad.write_bytes(data)
        try:
            found = everything(bad)
        except (OSError, KeyError, RuntimeError):
            n_refused += 1
        else:
            assert found == expected
    assert n_refused > 150


def test_without_checksums_they_are_not(path):
    """Control: a value as h5py writes it by itself."""
    plain, values = path.with_name("plain.h5"), np.arange(100.0)
    with h5py.File(plain, "w") as file:
        file["values"] = values
    data = bytearray(plain.read_bytes())
    data[data.find(values.tobytes()) + 301] ^= 4
    plain.write_bytes(data)
    with h5py.File(plain) as file:
        assert not np.array_equal(file["values"][:], values)

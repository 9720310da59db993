"""The reader of PyTorch files: honest files are read, hostile and damaged ones end in ImportFailure and
nothing else."""

import pickle
import pickletools
import random
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from flashrex_tools.errors import ImportFailure
from flashrex_tools.pickle_values import Record
from flashrex_tools.torch_file import SparseTensor, TorchFile, is_torch_file
from flashrex_tools.unpickle import Unpickler
from torch_writer import Array, Call, Name, Obj, Sparse, Writer, save, write_archive


def load(path):
    return TorchFile(path).load()


# Honest files


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "?"])
def test_dtypes(tmp_path, dtype, big_endian):
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    got = load(save(tmp_path / "a.pt", [Array(values)], big_endian))[0].numpy()
    assert got.dtype == values.dtype and np.array_equal(got, values)


def test_bfloat16(tmp_path):
    values = np.array([1.0, -2.5, 3.140625, 1e30], np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.int16)
    tensor = load(save(tmp_path / "a.pt", Array(bits, kind="BFloat16Storage")))
    expected = (bits.astype(np.uint16).astype(np.uint32) << 16).view(np.float32)
    assert np.array_equal(tensor.numpy(), expected) and np.allclose(expected, values, rtol=1e-2)


def test_views_scalars_and_empty(tmp_path):
    base = np.arange(12.0)
    value = {
        "transposed": Array(base, "s", 0, (4, 3), (1, 4)),
        "column": Array(base, "s", 1, (4,), (3,)),
        "expanded": Array(base, "s", 5, (2, 3), (0, 0)),
        "scalar": Array(np.array(7.5)),
        "empty": Array(np.zeros((0, 3))),
        "one": Array(base, "s", 2, (1,), (1 << 39,)),
    }
    got = load(save(tmp_path / "a.pt", value))
    assert np.array_equal(got["transposed"].numpy(), base.reshape(3, 4).T)
    assert np.array_equal(got["column"].numpy(), base.reshape(4, 3)[:, 1])
    assert np.array_equal(got["expanded"].numpy(), np.full((2, 3), 5.0))
    assert (
        got["scalar"].numpy() == 7.5 and got["empty"].numpy().shape == (0, 3) and got["one"].numpy() == [2.0]
    )
    index = np.array([[0, 3, 2], [1, 2, 0]])
    assert np.array_equal(got["transposed"].gather(index), base.reshape(3, 4).T[tuple(index)])


def test_sparse(tmp_path):
    rng = np.random.default_rng(1)
    dense = rng.normal(size=(3, 4, 5)) * (rng.random((3, 4, 5)) < 0.3)
    twice = Sparse(indices=np.array([[1, 1, 0]]), values=np.array([2.0, 3.0, 1.0]), size=(4,))
    got = load(save(tmp_path / "a.pt", [Sparse(dense), twice]))
    index = np.array(np.unravel_index(np.arange(60), dense.shape))
    assert np.array_equal(got[0].numpy(), dense) and np.array_equal(got[0].gather(index), dense.ravel())
    assert np.array_equal(got[1].gather(np.array([[0, 1, 2]])), [1.0, 5.0, 0.0])  # duplicates add up


def test_records_and_containers(tmp_path):
    value = Obj("mlcg.nn.Thing", {"a": (1, -2, 1 << 40), "b": Call("collections.OrderedDict", [("k", 2.5)])})
    got = load(save(tmp_path / "a.pt", value))
    assert isinstance(got, Record) and got.kind == "Thing"
    assert got.state["a"] == (1, -2, 1 << 40) and got.state["b"] == {"k": 2.5}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_protocols(protocol):
    value = {
        "x": [1, 2.5, "text", None, True, (1, (2, 3))],
        "y": {1, 2},
        "z": b"bytes",
        "long": "l" * 300,
        5: [],
    }
    data = pickle.dumps(value, protocol)
    if protocol == 2:  # bytes are made by _codecs.encode there
        assert b"_codecs" in data
    assert Unpickler(data).load() == value


def test_only_the_elements_asked_for_are_kept(tmp_path):
    table = np.zeros((1 << 21,), np.float32)  # 8 MiB
    path = save(tmp_path / "a.pt", Array(table, size=(128, 128, 128), stride=(16384, 128, 1)))
    tracemalloc.start()
    load(path).gather(np.array([[1, 2], [3, 4], [5, 6]]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < table.nbytes / 8


# Hostile pickles

COMMAND = "touch {}"


def hostile(marker):
    command = COMMAND.format(marker)
    text = b"X" + struct.pack("<I", len(command)) + command.encode()
    head, end = b"\x80\x02", b"."
    return {
        "reduce": head + b"cos\nsystem\n" + text + b"\x85R" + end,
        "posix": head + b"cposix\nsystem\n" + text + b"\x85R" + end,
        "eval": head + b"c__builtin__\neval\nX" + struct.pack("<I", 3) + b"1+1" + b"\x85R" + end,
        "getattr": head + b"c__builtin__\ngetattr\n" + text + b"\x85R" + end,
        "import": head + b"c__builtin__\n__import__\n" + text + b"\x85R" + end,
        "inst": head + b"(" + text + b"ios\nsystem\n" + end,
        "obj": head + b"(cos\nsystem\n" + text + b"o" + end,
        "newobj": head + b"csubprocess\nPopen\n" + text + b"\x85\x81" + end,
        "newobj_ex": b"\x80\x04csubprocess\nPopen\n" + text + b"\x85}\x92" + end,
        "stack_global": b"\x80\x04\x8c\x02os\x8c\x06system\x93" + text + b"\x85R" + end,
        "dotted": b"\x80\x04\x8c\x04mlcg\x8c\x0bos.path.abc\x93)R" + end,
        "extension": head + b"\x82\x01" + end,
        "persid": head + b"Pid\n" + end,
        "call_of_a_text": head + text + text + b"\x85R" + end,
        "call_of_a_record": head + b"cmlcg.nn\nA\n)R" + text + b"\x85R" + end,
        "build_on_a_name": head + b"cmlcg.nn\nA\n}b" + end,
        "build_on_a_list": head + b"]}b" + end,
        "build_dict_attribute": head
        + b"ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00items"
        + text
        + b"sb"
        + end,
        "codecs": head + b"c_codecs\nencode\n" + text + b"X\x03\x00\x00\x00hex\x86R" + end,
        "protocol_0": b"cos\nsystem\n(S'" + command.encode() + b"'\ntR" + end,
    }


@pytest.mark.parametrize("case", sorted(hostile("x")))
def test_nothing_is_executed(tmp_path, case):
    marker = tmp_path / "executed"
    data = hostile(marker)[case]
    with pytest.raises(ImportFailure):
        load(write_archive(tmp_path / "a.pt", data))
    assert not marker.exists()


def test_the_hostile_pickles_are_dangerous(tmp_path):
    """Control: Python's own unpickler does run the command."""
    marker = tmp_path / "executed"
    pickle.loads(hostile(marker)["reduce"])
    assert marker.exists()


def test_unknown_name_is_named(tmp_path):
    with pytest.raises(ImportFailure, match="somewhere.Strange"):
        load(save(tmp_path / "a.pt", Obj("somewhere.Strange", {})))


@pytest.mark.parametrize(
    "body",
    [
        b"." * 3,  # empty stack
        b"N",  # no STOP
        b"N0.",
        b"(N.",  # open mark
        b"t.",  # no mark
        b"}(Nu.",  # key without value
        b"}]Ns.",  # a list as key
        b"h\x07.",  # memo that is not there
        b"X\xff\xff\xff\xff.",  # text of 4 GiB
        b"\x8e" + b"\xff" * 8 + b".",  # bytes of 2^64
        b"\x8b" + struct.pack("<I", 1 << 30) + b".",  # integer of 1 GiB
        b"\x8a\xff" + b"\x7f" * 255 + b".",  # integer of 255 bytes
        b"X\x02\x00\x00\x00\xff\xfe.",  # not UTF-8
        b"]Na",  # unfinished
        b"NNe.",
        b"\x80\x07N.",
        b"(" * 5000 + b".",  # deep marks
        b")" + b"\x85" * 100000 + b".",  # deep tuples
        b"]q\x00" + b"]h\x00aq\x00" * 5000 + b".",  # deep lists
        b"}(" + b")" + b"\x85" * 100000 + b"Nu.",  # a deep tuple as key, whose hash would recurse
        b"ccollections\nOrderedDict\n(NNtR.",
        b"c__builtin__\nset\n(NNtR.",
        b"c__builtin__\nset\n](]e\x85R.",
        b"cnumpy.core.multiarray\nscalar\n(NNtR.",
        b"cnumpy.core.multiarray\nscalar\n)R.",
        b"ctorch\nSize\n)R.",
        b"ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"ctorch._utils\n_rebuild_sparse_tensor\n(NNtR.",
        b"ctorch._utils\n_rebuild_parameter\n)R.",
        b"NQ.",
        b"(NNNNNtQ.",
    ],
)
def test_malformed_pickles(tmp_path, body):
    with pytest.raises(ImportFailure):
        load(write_archive(tmp_path / "a.pt", b"\x80\x02" + body))


def test_a_small_file_cannot_make_an_endless_message(tmp_path):
    """x = (x, x), 60 times: its repr would have 2^60 characters."""
    bomb = b")" + b"".join(b"q\x00h\x00\x86" for _ in range(60))
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(NN" + bomb + b"NtR"
    for body in (tensor, b"cmlcg.nn\nA\n)\x81" + bomb + b"b" + bomb + b"b", b"}" + bomb + b"Ns"):
        with pytest.raises(ImportFailure):
            load(write_archive(tmp_path / "a.pt", b"\x80\x02" + body + b"."))


# Hostile tensors


@pytest.mark.parametrize(
    "kw",
    [
        dict(offset=1),
        dict(offset=-1),
        dict(offset=12, size=(1,), stride=(1,)),
        dict(size=(13,), stride=(1,)),
        dict(size=(12,), stride=(2,)),
        dict(size=(12,), stride=(-1,), offset=11),
        dict(size=(-1,), stride=(1,)),
        dict(size=(2, 2), stride=(1,)),
        dict(size=(1 << 62,), stride=(0,)),
        dict(size=(1 << 20, 1 << 20), stride=(0, 0)),
        dict(size=(2,), stride=(1 << 63,)),
        dict(size=(0, 1 << 100), stride=(1, 1)),
        dict(offset=1 << 100),
        dict(offset=1.5),
        dict(offset=True),
        dict(size=(3.0,), stride=(1,)),
        dict(size=(1,) * 40, stride=(1,) * 40),
        dict(count=13),
        dict(count=11),
        dict(count=-1),
        dict(count=1 << 40),
        dict(kind="QUInt8Storage"),
        dict(kind="DoubleStorage", count=6, offset=1),
    ],
)
def test_bounds(tmp_path, kw):
    path = save(tmp_path / "a.pt", Array(np.arange(12, dtype=np.float32), **kw))
    with pytest.raises(ImportFailure):
        load(path).numpy()


@pytest.mark.parametrize(
    "kw",
    [
        dict(indices=np.array([[0, 5]]), values=np.ones(2), size=(5,)),
        dict(indices=np.array([[0, -1]]), values=np.ones(2), size=(5,)),
        dict(indices=np.array([[0, 1]]), values=np.ones(3), size=(5,)),
        dict(indices=np.array([[0, 1]]), values=np.ones(2), size=(5, 5)),
        dict(indices=np.zeros((2, 1), int), values=np.ones(1), size=(1 << 39, 1 << 39)),
        dict(indices=np.array([[0]]), values=np.ones((1, 2)), size=(5,)),
        dict(indices=np.array([[0]]), values=np.ones(1), size=(5,), layout="torch.sparse_csr"),
        dict(indices=np.array([0]), values=np.ones(1), size=(5,)),
    ],
)
def test_sparse_bounds(tmp_path, kw):
    path = save(tmp_path / "a.pt", Sparse(**kw))
    with pytest.raises(ImportFailure):
        tensor = load(path)
        assert isinstance(tensor, SparseTensor)
        tensor.gather(np.zeros((len(tensor.shape), 1), int))


@pytest.mark.parametrize("index", [[[0, 3]], [[-1, 0]], [[0], [0]], [[0.5]]])
def test_gather_outside(tmp_path, index):
    tensor = load(save(tmp_path / "a.pt", Array(np.arange(3.0))))
    with pytest.raises(ImportFailure):
        tensor.gather(np.array(index))


# Damaged archives


def test_missing_and_damaged_storage(tmp_path):
    writer = Writer().put(Array(np.arange(1000.0)))
    with pytest.raises(ImportFailure, match="missing"):
        load(write_archive(tmp_path / "a.pt", writer.pickle(), {}))
    path = write_archive(tmp_path / "b.pt", writer.pickle(), writer.storages)
    data = bytearray(path.read_bytes())
    data[data.find(np.float64(500).tobytes()) + 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ImportFailure, match="checksum"):
        load(path).numpy()


def test_compressed_entries_are_refused(tmp_path):
    writer = Writer().put(Array(np.zeros(1 << 20)))
    path = write_archive(
        tmp_path / "a.pt", writer.pickle(), writer.storages, compression=zipfile.ZIP_DEFLATED
    )
    assert path.stat().st_size < 1 << 16
    with pytest.raises(ImportFailure, match="compressed"):
        load(path)


def test_other_archives(tmp_path):
    data = Writer().put(1).pickle()
    with pytest.raises(ImportFailure, match="byte order"):
        load(write_archive(tmp_path / "a.pt", data, byteorder=b"middle"))
    with pytest.raises(ImportFailure, match="TorchScript"):
        load(write_archive(tmp_path / "b.pt", data, extra=[("archive/constants.pkl", b"")]))
    with pytest.raises(ImportFailure, match="data.pkl"):
        load(write_archive(tmp_path / "c.pt", data, extra=[("other/data.pkl", data)]))
    with zipfile.ZipFile(tmp_path / "d.pt", "w") as archive:
        archive.writestr("something", b"else")
    with pytest.raises(ImportFailure, match="torch.save"):
        load(tmp_path / "d.pt")
    legacy = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    (tmp_path / "e.pt").write_bytes(legacy)
    with pytest.raises(ImportFailure, match="1.6"):
        is_torch_file(tmp_path / "e.pt")


def example(path):
    value = {
        "w": Array(np.arange(64.0)),
        "r": Obj("mlcg.nn.A", {"k": [1, (2, "x")]}),
        "n": Name("torch.Tensor"),
    }
    return save(path, value)


def touch_everything(path):
    """True if the file loads; only ImportFailure may come out otherwise."""
    try:
        got = load(path)
        if isinstance(got, dict) and hasattr(got.get("w"), "numpy"):
            got["w"].numpy()
    except ImportFailure:
        return False
    return True


def test_truncated_at_every_length(tmp_path):
    whole = example(tmp_path / "a.pt").read_bytes()
    assert touch_everything(tmp_path / "a.pt")
    cut = tmp_path / "cut.pt"
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        assert not touch_everything(cut), length


def test_flipped_bytes(tmp_path):
    whole = example(tmp_path / "a.pt").read_bytes()
    rng = random.Random(7)
    bad = tmp_path / "bad.pt"
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        bad.write_bytes(data)
        touch_everything(bad)


def test_flipped_pickle(tmp_path):
    """As above, inside the pickle: the archive's checksums do not protect it."""
    writer = Writer().put({"w": Array(np.arange(64.0)), "r": Obj("mlcg.nn.A", {"k": [1, (2, "x")]})})
    whole, rng = writer.pickle(), random.Random(8)
    opcodes = [op.code.encode("latin1") for op in pickletools.opcodes]
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(2, len(data))
            data[at : at + 1] = rng.choice(opcodes) if rng.random() < 0.5 else bytes([rng.randrange(256)])
        touch_everything(write_archive(tmp_path / "a.pt", bytes(data), writer.storages))

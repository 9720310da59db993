"""Writes files as torch.save does, without torch: for tests only.

Plain Python values are pickled as they are; `Obj`, `Call`, `Name`, `Array` and `Sparse` stand for what torch
puts between them. The pickle is assembled instruction by instruction: tests can also write wrong ones.
"""

import struct
import zipfile

import numpy as np

STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


class Name:
    """A global, "module.name"."""

    def __init__(self, name):
        self.name = name


class Call:
    """REDUCE of a global with arguments."""

    def __init__(self, name, *args):
        self.name, self.args = name, args


class Obj:
    """NEWOBJ of a class, then BUILD with a state."""

    def __init__(self, name, state):
        self.name, self.state = name, state


class Array:
    """A tensor. `storage`, `offset`, `size`, `stride` may be given to write something else than `values`."""

    def __init__(self, values, storage=None, offset=0, size=None, stride=None, kind=None, count=None):
        self.values = np.ascontiguousarray(values)
        self.storage, self.offset, self.kind, self.count = storage, offset, kind, count
        self.size = self.values.shape if size is None else size
        strides = tuple(s // self.values.itemsize for s in self.values.strides)
        self.stride = strides if stride is None else stride


class Sparse:
    """A COO tensor from a dense array, or from explicit indices and values."""

    def __init__(self, dense=None, indices=None, values=None, size=None, layout="torch.sparse_coo"):
        if dense is not None:
            indices = np.array(np.nonzero(dense))
            values, size = dense[tuple(indices)], dense.shape
        self.indices, self.values, self.size, self.layout = indices, values, size, layout


class Writer:
    """Collects a pickle and its storages."""

    def __init__(self, big_endian=False):
        self.out, self.storages, self.big_endian = [b"\x80\x02"], {}, big_endian

    def op(self, *parts):
        self.out += parts
        return self

    def name(self, name):
        module, _, attribute = name.rpartition(".")
        return self.op(b"c" + module.encode() + b"\n" + attribute.encode() + b"\n")

    def put(self, value):
        """Appends the instructions that make `value`."""
        if value is None:
            self.op(b"N")
        elif isinstance(value, (bool, np.bool_)):
            self.op(b"\x88" if value else b"\x89")
        elif isinstance(value, (int, np.integer)):
            raw = int(value).to_bytes(int(value).bit_length() // 8 + 1, "little", signed=True)
            self.op(b"\x8a", bytes([len(raw)]), raw)
        elif isinstance(value, (float, np.floating)):
            self.op(b"G", struct.pack(">d", value))
        elif isinstance(value, str):
            raw = value.encode("utf-8", "surrogatepass")
            self.op(b"X", struct.pack("<I", len(raw)), raw)
        elif isinstance(value, tuple):
            self.op(b"(")
            for x in value:
                self.put(x)
            self.op(b"t")
        elif isinstance(value, list):
            self.op(b"](")
            for x in value:
                self.put(x)
            self.op(b"e")
        elif isinstance(value, dict):
            self.op(b"}(")
            for key, x in value.items():
                self.put(key).put(x)
            self.op(b"u")
        elif isinstance(value, Name):
            self.name(value.name)
        elif isinstance(value, Call):
            self.name(value.name).put(tuple(value.args)).op(b"R")
        elif isinstance(value, Obj):
            self.name(value.name).op(b")\x81").put(value.state).op(b"b")
        elif isinstance(value, Sparse):
            layout = Call("torch.serialization._get_layout", value.layout)
            parts = (Array(value.indices.astype(np.int64)), Array(value.values), tuple(value.size), True)
            self.put(Call("torch._utils._rebuild_sparse_tensor", layout, parts))
        elif isinstance(value, Array):
            self.array(value)
        else:
            raise TypeError(type(value))
        return self

    def array(self, a):
        key = a.storage if a.storage is not None else str(len(self.storages))
        kind = a.kind or STORAGES[str(a.values.dtype)]
        count = a.values.size if a.count is None else a.count
        self.storages.setdefault(
            key, a.values.astype(a.values.dtype.newbyteorder(">" if self.big_endian else "<"))
        )
        self.name("torch._utils._rebuild_tensor_v2").op(b"((").put("storage").name(f"torch.{kind}")
        self.put(key).put("cpu").put(count).op(b"tQ").put(a.offset).put(tuple(a.size)).put(tuple(a.stride))
        self.put(False).put(Call("collections.OrderedDict")).op(b"tR")

    def pickle(self):
        return b"".join(self.out) + b"."


def write_archive(path, pickle, storages=None, byteorder=b"little", compression=zipfile.ZIP_STORED, extra=()):
    """The ZIP around a pickle and its storages {key: bytes or array}."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickle)
        if byteorder is not None:
            archive.writestr("archive/byteorder", byteorder)
        for key, values in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", values if isinstance(values, bytes) else values.tobytes())
        archive.writestr("archive/version", b"3\n")
        for name, content in extra:
            archive.writestr(name, content)
    return path


def save(path, value, big_endian=False):
    """torch.save(value, path) for the values that Writer knows."""
    writer = Writer(big_endian).put(value)
    return write_archive(path, writer.pickle(), writer.storages, b"big" if big_endian else b"little")


# Modules of torch and mlcg


def module(kind, /, parameters=None, buffers=None, children=None, **attributes):
    state = {
        "training": False,
        "_parameters": parameters or {},
        "_buffers": buffers or {},
        "_non_persistent_buffers_set": Call("__builtin__.set", []),
        "_forward_hooks": Call("collections.OrderedDict"),
        "_forward_pre_hooks": Call("collections.OrderedDict"),
        "_modules": children or {},
        **attributes,
    }
    return Obj(kind, state)


def linear(weight, bias=None):
    parameters = {"weight": Array(weight), "bias": None if bias is None else Array(bias)}
    sizes = {"in_features": weight.shape[1], "out_features": weight.shape[0]}
    return module("torch.nn.modules.linear.Linear", parameters, **sizes)


def sequential(children):
    children = {str(i): child for i, child in enumerate(children)}
    return module("torch.nn.modules.container.Sequential", children=children)


def tanh():
    return module("torch.nn.modules.activation.Tanh")


def mlp(layers):
    """layers: list of (weight, bias or None)."""
    out = []
    for weight, bias in layers:
        out += [linear(weight, bias), tanh()]
    return module("mlcg.nn.mlp.MLP", children={"layers": sequential(out[:-1])})


def cutoff(kind, lower=0.0, upper=5.0, width=0.5):
    if kind == "ShiftedCosineCutoff":
        return module(f"mlcg.nn.cutoff.{kind}", cutoff_lower=0, cutoff_upper=upper, smooth_width=width)
    return module(f"mlcg.nn.cutoff.{kind}", cutoff_lower=lower, cutoff_upper=upper)


def gradients_out(name, model):
    out = module("mlcg.nn.gradients.GradientsOut", children={"model": model}, targets=["forces"])
    if name is not None:
        out.state["name"] = name
    return out


def sum_out(models):
    children = {name: gradients_out(name, model) for name, model in models.items()}
    models = module("torch.nn.modules.container.ModuleDict", children=children)
    return module("mlcg.nn.gradients.SumOut", children={"models": models}, targets=["energy", "forces"])


def schnet(embedding, basis, filter_cutoff, interactions, output, **attributes):
    """interactions: list of dicts filter, lin1, lin2, lin of (weight, bias) as in mlcg."""
    blocks = []
    for block in interactions:
        children = {
            "aggr_module": module("torch_geometric.nn.aggr.basic.SumAggregation"),
            "lin1": linear(*block["lin1"]),
            "lin2": linear(*block["lin2"]),
            "filter_network": mlp(block["filter"]),
            "cutoff": filter_cutoff,
        }
        conv = module(
            "mlcg.nn.schnet.CFConv", children=children, aggr="add", flow="source_to_target", node_dim=-2
        )
        children = {"conv": conv, "activation": tanh(), "lin": linear(*block["lin"])}
        blocks.append(module("mlcg.nn.schnet.InteractionBlock", children=children))
    children = {
        "embedding_layer": module(
            "torch.nn.modules.sparse.Embedding", {"weight": Array(embedding)}, num_embeddings=len(embedding)
        ),
        "rbf_layer": basis,
        "interaction_blocks": sequential(blocks),
        "output_network": mlp(output),
    }
    attributes = {"max_num_neighbors": 1000, "self_interaction": False, **attributes}
    return module("mlcg.nn.schnet.StandardSchNet", children=children, **attributes)


def atomic_data(positions, types, masses, lists, **members):
    """lists: {name: [n_term][order]}."""
    neighbours = {
        name: {
            "tag": name,
            "order": atoms.shape[1],
            "index_mapping": Array(np.asarray(atoms, np.int64).T),
            "cell_shifts": None,
            "rcut": None,
            "self_interaction": None,
            "mapping_batch": Array(np.zeros(len(atoms), np.int64)),
        }
        for name, atoms in lists.items()
    }
    mapping = {
        "pos": Array(positions),
        "atom_types": Array(np.asarray(types, np.int64)),
        "masses": Array(masses),
        "neighbor_list": neighbours,
        **members,
    }
    store = Obj("torch_geometric.data.storage.GlobalStorage", {"_mapping": mapping})
    return Obj("mlcg.data.atomic_data.AtomicData", {"_store": store})

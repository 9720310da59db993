"""Files written by torch.save: a ZIP archive with `data.pkl` and one raw entry per storage.

Nothing of torch is needed and nothing of the file is executed (see unpickle.py). Every tensor's offset, sizes
and strides are checked against its storage before any view exists. Storages are memory-mapped and read when a
tensor is used, so the prior tables of a 390 MB model cost only the elements that are looked up.
"""

import math
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from .errors import ImportFailure, describe
from .pickle_values import Global
from .unpickle import Unpickler

MAX_ENTRIES = 1 << 20
MAX_DIMENSIONS = 16
MAX_COUNT = 1 << 40  # any size, stride or offset
MAX_EXPANDED = 1 << 24  # elements of a tensor that is larger than its storage (stride 0)

STORAGE_DTYPES = {
    "torch.DoubleStorage": "f8",
    "torch.FloatStorage": "f4",
    "torch.HalfStorage": "f2",
    "torch.BFloat16Storage": "bf16",
    "torch.LongStorage": "i8",
    "torch.IntStorage": "i4",
    "torch.ShortStorage": "i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "b1",
}
_LEGACY_MAGIC = bytes.fromhex(
    "8a0a6cfc9c46f920"
)  # LONG1 of 10 bytes: the first pickle of files before torch 1.6


class Storage:
    """One raw entry of the archive; opened at the first use."""

    def __init__(self, path, entry, start, dtype, big_endian, count):
        self.path, self.entry, self.start = path, entry, start
        self.dtype, self.big_endian, self.count = dtype, big_endian, count
        self._array = None

    def array(self):
        """The elements as a read-only memory map, in file order and width. Checks the checksum once."""
        if self._array is None:
            code = "u2" if self.dtype == "bf16" else self.dtype
            form = np.dtype((">" if self.big_endian else "<") + code)
            if self.count == 0:
                self._array = np.empty(0, form)
                return self._array
            raw = np.memmap(self.path, np.uint8, "r", self.start, (self.entry.file_size,))
            crc = 0
            for at in range(0, raw.size, 1 << 24):
                crc = zlib.crc32(raw[at : at + (1 << 24)], crc)
            if crc != self.entry.CRC:
                raise ImportFailure(
                    f"{self.path}: the checksum of {self.entry.filename} is wrong: the file is damaged"
                )
            self._array = raw.view(form)
        return self._array


class Tensor:
    """A strided view of a storage whose bounds have been checked."""

    def __init__(self, storage, offset, size, stride):
        whole = all(type(x) is int and 0 <= x < MAX_COUNT for x in (offset, *size, *stride))
        if not whole or len(size) != len(stride) or len(size) > MAX_DIMENSIONS:
            raise ImportFailure(
                f"a tensor has an impossible shape: offset {describe(offset)}, sizes {describe(size)}, "
                f"strides {describe(stride)}"
            )
        count = math.prod(size)
        last = offset + sum((n - 1) * step for n, step in zip(size, stride)) if count else offset - 1
        if last >= storage.count:
            raise ImportFailure(
                f"a tensor reaches outside of its storage (offset {offset}, sizes {size}, strides {stride}, "
                f"storage of {storage.count} elements)"
            )
        if count > max(storage.count, MAX_EXPANDED):
            raise ImportFailure(
                f"a tensor of sizes {size} is larger than its storage of {storage.count} elements"
            )
        self.storage, self.offset, self.shape, self.stride = storage, offset, tuple(size), tuple(stride)

    def _convert(self, raw):
        if self.storage.dtype == "bf16":
            return (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.astype(raw.dtype.newbyteorder("="))

    def numpy(self):
        """The whole tensor as a new array in native byte order (bfloat16 as float32)."""
        base = self.storage.array()
        steps = tuple(step * base.itemsize for step in self.stride)
        view = np.lib.stride_tricks.as_strided(base[self.offset :], self.shape, steps, writeable=False)
        return self._convert(np.ascontiguousarray(view).reshape(self.shape))

    def gather(self, index):
        """Elements at `index` [n_dim][n]; reads only these. Indices must be inside (see check_index)."""
        check_index(index, self.shape)
        flat = np.full(np.shape(index)[1], self.offset, np.int64)
        for i, step in zip(index, self.stride):
            flat += i * step
        return self._convert(np.asarray(self.storage.array()[flat]))


class SparseTensor:
    """COO tensor: `gather` finds elements without making the table dense; duplicates add up, as in torch."""

    def __init__(self, indices, values, shape):
        ok = isinstance(indices, Tensor) and isinstance(values, Tensor) and isinstance(shape, (tuple, list))
        ok = ok and all(type(n) is int and 0 <= n < MAX_COUNT for n in shape) and len(shape) <= MAX_DIMENSIONS
        if (
            not ok
            or len(indices.shape) != 2
            or indices.shape != (len(shape), values.shape[0] if values.shape else -1)
        ):
            raise ImportFailure("a sparse tensor has indices, values and sizes that do not fit together")
        if len(values.shape) != 1:
            raise ImportFailure("a sparse tensor with dense dimensions is not understood")
        self.indices, self.values, self.shape = indices, values, tuple(shape)
        if math.prod(self.shape) >= 1 << 62:
            raise ImportFailure(f"a sparse tensor has impossible sizes {self.shape}")

    def _linear(self, index):
        check_index(index, self.shape)
        flat = np.zeros(np.shape(index)[1], np.int64)
        for i, n in zip(index, self.shape):
            flat = flat * n + i
        return flat

    def numpy(self):
        if math.prod(self.shape) > MAX_EXPANDED:
            raise ImportFailure(f"a sparse tensor of sizes {self.shape} is too large to be used as a whole")
        out = np.zeros(math.prod(self.shape))
        np.add.at(out, self._linear(self.indices.numpy()), self.values.numpy())
        return out.reshape(self.shape)

    def gather(self, index):
        """Elements at `index` [n_dim][n]; absent ones are zero."""
        keys = self._linear(self.indices.numpy())
        unique, inverse = np.unique(keys, return_inverse=True)
        values = np.zeros(unique.size)
        np.add.at(values, inverse, self.values.numpy().astype(np.float64))
        wanted = self._linear(index)
        if unique.size == 0:
            return np.zeros(wanted.size)
        at = np.minimum(np.searchsorted(unique, wanted), unique.size - 1)
        return np.where(unique[at] == wanted, values[at], 0.0)


def check_index(index, shape):
    """Refuses an index [n_dim][n] that is not inside `shape`."""
    index = np.asarray(index)
    if index.ndim != 2 or index.shape[0] != len(shape) or not np.issubdtype(index.dtype, np.integer):
        raise ImportFailure(f"an index of shape {index.shape} does not fit a table of sizes {tuple(shape)}")
    for i, n in zip(index, shape):
        if i.size and (i.min() < 0 or i.max() >= n):
            raise ImportFailure(f"an index runs from {i.min()} to {i.max()} in a table of size {n}")


class TorchFile:
    """An archive of torch.save. `load()` returns its object as plain data, Records and Tensors."""

    def __init__(self, path):
        self.path = Path(path)
        self._storages = {}
        try:
            with zipfile.ZipFile(self.path) as archive:
                self._read_directory(archive)
        except (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, struct.error, zlib.error) as error:
            raise ImportFailure(f"{self.path}: not a complete PyTorch file ({error})") from None
        except OSError as error:
            raise ImportFailure(f"{self.path}: {error.strerror or error}") from None

    def _read_directory(self, archive):
        entries = archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise ImportFailure(f"{self.path}: {len(entries)} entries, more than the {MAX_ENTRIES} accepted")
        self.entries = {entry.filename: entry for entry in entries}
        if len(self.entries) != len(entries):
            raise ImportFailure(f"{self.path}: the archive holds two entries of one name")
        pickles = [name for name in self.entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ImportFailure(f"{self.path}: a ZIP archive, but not one of torch.save (no data.pkl)")
        self.prefix = pickles[0][: -len("data.pkl")]
        if self.prefix + "constants.pkl" in self.entries:
            raise ImportFailure(
                f"{self.path}: a TorchScript archive; the model as saved by torch.save is needed"
            )
        for entry in entries:
            if entry.flag_bits & 1:
                raise ImportFailure(f"{self.path}: {entry.filename} is encrypted")
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                raise ImportFailure(
                    f"{self.path}: {entry.filename} is compressed, which torch.save never does"
                )
        order = self.prefix + "byteorder"
        order = archive.read(order).strip() if order in self.entries else b"little"
        if order not in (b"little", b"big"):
            raise ImportFailure(f"{self.path}: unknown byte order {order[:20]!r}")
        self.big_endian = order == b"big"
        self.pickle = archive.read(pickles[0])

    def _entry_start(self, entry):
        """Where the bytes of a stored entry begin; everything is checked against the file's length."""
        with open(self.path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(entry.header_offset)
            header = file.read(30)
            if len(header) != 30 or header[:4] != b"PK\x03\x04":
                raise ImportFailure(f"{self.path}: {entry.filename} has no valid header: the file is damaged")
            start = entry.header_offset + 30 + int.from_bytes(header[26:28], "little")
            start += int.from_bytes(header[28:30], "little")
        if start + entry.file_size > size:
            raise ImportFailure(f"{self.path}: {entry.filename} ends outside of the file")
        return start

    def _persistent(self, pid):
        ok = isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage" and isinstance(pid[1], Global)
        if not ok or not isinstance(pid[2], str) or type(pid[4]) is not int or pid[4] < 0:
            raise ImportFailure(f"{self.path}: a storage is described in an unexpected way")
        _, kind, key, _, count = pid
        dtype = STORAGE_DTYPES.get(kind.name)
        if dtype is None:
            raise ImportFailure(f"{self.path}: storages of type {kind.name} are not understood")
        if (key, dtype) in self._storages:
            return self._storages[key, dtype]
        entry = self.entries.get(f"{self.prefix}data/{key}")
        if entry is None:
            raise ImportFailure(f"{self.path}: the storage {key!r} is missing")
        width = 2 if dtype == "bf16" else int(dtype[1:])
        if entry.file_size != count * width:
            raise ImportFailure(
                f"{self.path}: the storage {key!r} has {entry.file_size} bytes where {count} elements of "
                f"{width} bytes are announced"
            )
        storage = Storage(self.path, entry, self._entry_start(entry), dtype, self.big_endian, count)
        self._storages[key, dtype] = storage
        return storage

    def load(self):
        builders = {
            "torch._utils._rebuild_tensor_v2": _tensor,
            "torch._utils._rebuild_parameter": _parameter,
            "torch._utils._rebuild_sparse_tensor": _sparse,
        }
        try:
            return Unpickler(self.pickle, builders, self._persistent, STORAGE_DTYPES).load()
        except ImportFailure as failure:
            message = str(failure)
            raise ImportFailure(
                message if message.startswith(str(self.path)) else f"{self.path}: {message}"
            ) from None


def _tensor(args):
    if not 4 <= len(args) <= 7 or not isinstance(args[0], Storage):
        raise ImportFailure("a tensor is described in an unexpected way")
    storage, offset, size, stride = args[:4]
    if not isinstance(size, (tuple, list)) or not isinstance(stride, (tuple, list)):
        raise ImportFailure("a tensor is described in an unexpected way")
    if len(args) == 7 and args[6]:
        raise ImportFailure(f"a tensor carries metadata that is not understood: {describe(args[6])}")
    return Tensor(storage, offset, tuple(size), tuple(stride))


def _parameter(args):
    if not args or not isinstance(args[0], Tensor):
        raise ImportFailure("a parameter is described in an unexpected way")
    return args[0]


def _sparse(args):
    if len(args) != 2 or args[0] != "torch.sparse_coo" or not isinstance(args[1], tuple) or len(args[1]) < 3:
        raise ImportFailure(f"a sparse tensor of an unknown layout ({describe(args[0]) if args else None})")
    return SparseTensor(*args[1][:3])


def is_torch_file(path):
    """True for a ZIP archive; raises for the format of before torch 1.6, which is not read."""
    with open(path, "rb") as file:
        start = file.read(16)
    if start.startswith(b"PK\x03\x04"):
        return True
    if start[2:].startswith(_LEGACY_MAGIC) and start[:1] == b"\x80":
        raise ImportFailure(
            f"{path}: in the format of PyTorch before 1.6; load it with a newer PyTorch and save it again"
        )
    return False

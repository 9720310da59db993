"""What may appear in a pickle: the accepted names, and what becomes of them.

Nothing here resolves a name. A name is a `Global`; an object of an accepted class is a `Record` that
remembers its class's name, constructor arguments and state; a few names stand for plain data (ordered
dictionaries, sets, sizes, numbers) and are rebuilt as such.
"""

import struct
from collections import OrderedDict

from .errors import ImportFailure, describe

# Packages whose classes may appear: they become inert records, and what is not understood is refused by name
# where it is interpreted, with its place in the model.
ALLOWED_PACKAGES = (
    "mlcg",
    "torch_geometric",
    "torch.nn.modules",
    "torch.optim",
    "pytorch_lightning",
    "lightning",
)

# Single names accepted beside them, inert as well.
ALLOWED_NAMES = {
    "collections.OrderedDict",
    "collections.defaultdict",
    "builtins.set",
    "builtins.type",
    "builtins.int",
    "builtins.float",
    "builtins.str",
    "builtins.bool",
    "builtins.list",
    "builtins.dict",
    "builtins.tuple",
    "_operator.getitem",
    "operator.getitem",
    "inspect._empty",
    "typing.Any",
    "typing.Dict",
    "typing.List",
    "typing.Optional",
    "typing.OrderedDict",
    "typing.Tuple",
    "typing.Union",
    "argparse.Namespace",
    "torch.Tensor",
    "torch.Size",
    "torch.device",
    "torch.strided",
    "torch.serialization._get_layout",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "_codecs.encode",
}

PYTHON2_MODULES = {"__builtin__": "builtins", "exceptions": "builtins"}
PYTHON2_NAMES = {"builtins.long": "builtins.int", "builtins.unicode": "builtins.str"}


class Global:
    """A name found in a pickle, never resolved."""

    __slots__ = ("name",)

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"<name {self.name}>"

    def __eq__(self, other):
        return isinstance(other, Global) and other.name == self.name

    def __hash__(self):
        return hash(self.name)


class Record:
    """An object of the pickle as plain data: its class's name, constructor arguments and state."""

    __slots__ = ("name", "args", "state")

    def __init__(self, name, args=()):
        self.name = name
        self.args = args
        self.state = None

    def __repr__(self):
        return f"<{self.name}>"

    @property
    def kind(self):
        """Class name without its module (modules move between versions of the libraries)."""
        return self.name.rpartition(".")[2]


def _numpy_scalar(args):
    dtype, raw = args if len(args) == 2 else (None, None)
    code = dtype.args[0] if isinstance(dtype, Record) and dtype.name == "numpy.dtype" and dtype.args else None
    formats = {"f4": "<f", "f8": "<d", "i4": "<i", "i8": "<q", "b1": "<?"}
    order = dtype.state[1] if code and isinstance(dtype.state, tuple) and len(dtype.state) > 1 else "<"
    form = formats.get(code)
    if form is None or not isinstance(raw, bytes) or len(raw) != struct.calcsize(form):
        raise ImportFailure(f"the pickle holds a numpy scalar of an unknown kind ({describe(code)})")
    return struct.unpack((">" if order == ">" else "<") + form[1], raw)[0]


def _encode(args):
    if len(args) != 2 or not isinstance(args[0], str) or args[1] != "latin1":
        raise ImportFailure("the pickle calls _codecs.encode in an unexpected way")
    try:
        return args[0].encode("latin1")
    except UnicodeEncodeError:
        raise ImportFailure("the pickle holds bytes that are not latin1") from None


def _ordered_dict(args):
    out = OrderedDict()
    pairs = args[0] if args else []
    if len(args) > 1 or not isinstance(pairs, (list, tuple)):
        raise ImportFailure("the pickle builds an OrderedDict in an unexpected way")
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise ImportFailure("the pickle builds an OrderedDict in an unexpected way")
        out[plain_key(pair[0])] = pair[1]
    return out


def _set(args):
    if len(args) > 1 or (args and not isinstance(args[0], (list, tuple))):
        raise ImportFailure("the pickle builds a set in an unexpected way")
    return {plain_key(x) for x in (args[0] if args else ())}


def _size(args):
    if len(args) != 1 or not isinstance(args[0], (list, tuple)):
        raise ImportFailure("the pickle builds a torch.Size in an unexpected way")
    return tuple(args[0])


def _layout(args):
    if len(args) != 1 or not isinstance(args[0], str):
        raise ImportFailure("the pickle names a tensor layout in an unexpected way")
    return args[0]


PLAIN_BUILDERS = {
    "collections.OrderedDict": _ordered_dict,
    "builtins.set": _set,
    "torch.Size": _size,
    "torch.serialization._get_layout": _layout,
    "_codecs.encode": _encode,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
}


def plain_key(key):
    """Dictionary keys and set members: only flat things, so that hashing cannot recurse."""
    flat = (str, int, float, bool, bytes, type(None), Global)
    if isinstance(key, flat) or (isinstance(key, tuple) and all(isinstance(x, flat) for x in key)):
        return key
    raise ImportFailure(f"the pickle uses a {type(key).__name__} as a dictionary key")

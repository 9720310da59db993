"""A pickle reader that never runs anything.

Python's own unpickler calls whatever a file names. This one is a small stack machine over plain data: a name
in the file never becomes a Python object, and "calling" it makes a record that just remembers the call
(pickle_values.py has the accepted names; torch_file.py adds the tensors). Depth, sizes and counts are capped,
so that a hostile file costs no more than an honest one.
"""

import struct
from collections import OrderedDict

from .errors import ImportFailure
from .pickle_values import (
    ALLOWED_NAMES,
    ALLOWED_PACKAGES,
    PLAIN_BUILDERS,
    PYTHON2_MODULES,
    PYTHON2_NAMES,
    Global,
    Record,
    plain_key,
)

MAX_PICKLE_BYTES = 256 << 20
MAX_MARKS = 1000  # open containers at any moment
MAX_DEPTH = 500  # nesting of the finished object
MAX_INT_BYTES = 16


class Unpickler:
    """Reads one pickle. `builders` maps names to functions of an argument tuple that return plain data (they
    extend the accepted names); `load_persistent` gets the persistent ids."""

    def __init__(self, data, builders=None, load_persistent=None, extra_names=()):
        if len(data) > MAX_PICKLE_BYTES:
            raise ImportFailure(
                f"the pickle has {len(data)} bytes, more than the {MAX_PICKLE_BYTES} accepted"
            )
        self.data = data
        self.at = 0
        self.stack = []
        self.marks = []
        self.memo = {}
        self.builders = {**PLAIN_BUILDERS, **(builders or {})}
        self.extra_names = frozenset(extra_names)
        self.load_persistent = load_persistent

    def load(self):
        """Returns the object; raises ImportFailure for anything that is not plain, accepted data."""
        while True:
            at = self.at
            op = self._take(1)[0]
            if at == 0 and op != 0x80:
                raise ImportFailure("this is not a pickle of protocol 2 or newer")
            if op == 0x2E:  # STOP
                break
            handler = _OPCODES.get(op)
            if handler is None:
                name = _REFUSED_OPCODES.get(op, f"0x{op:02x}")
                raise ImportFailure(
                    f"the pickle uses the instruction {name} at byte {at}, which is not accepted"
                )
            handler(self)
        if len(self.stack) != 1 or self.marks:
            raise ImportFailure("the pickle ends with an unfinished object")
        _check_depth(self.stack[0])
        return self.stack[0]

    # bytes

    def _take(self, count):
        end = self.at + count
        if count < 0 or end > len(self.data):
            raise ImportFailure("the pickle is cut short")
        out = self.data[self.at : end]
        self.at = end
        return out

    def _number(self, size):
        return int.from_bytes(self._take(size), "little")

    def _line(self):
        end = self.data.find(b"\n", self.at, self.at + 1000)
        if end < 0:
            raise ImportFailure("the pickle holds an unfinished line")
        out = self._take(end + 1 - self.at)[:-1]
        return self._decode(out)

    @staticmethod
    def _decode(raw):
        try:
            return bytes(raw).decode("utf-8")
        except UnicodeDecodeError:
            raise ImportFailure("the pickle holds a text that is not UTF-8") from None

    # stack

    def _pop(self):
        if not self.stack or (self.marks and len(self.stack) <= self.marks[-1]):
            raise ImportFailure("the pickle takes from an empty stack")
        return self.stack.pop()

    def _top(self, kind):
        if not self.stack or (self.marks and len(self.stack) <= self.marks[-1]):
            raise ImportFailure("the pickle takes from an empty stack")
        if not isinstance(self.stack[-1], kind):
            raise ImportFailure(
                f"the pickle fills a {type(self.stack[-1]).__name__} as if it were a container"
            )
        return self.stack[-1]

    def _pop_mark(self):
        if not self.marks:
            raise ImportFailure("the pickle closes a group that it never opened")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _mark(self):
        if len(self.marks) >= MAX_MARKS:
            raise ImportFailure(f"the pickle is nested deeper than {MAX_MARKS} levels")
        self.marks.append(len(self.stack))

    # instructions that are more than one line

    def _proto(self):
        protocol = self._number(1)
        if not 2 <= protocol <= 5:
            raise ImportFailure(f"the pickle has protocol {protocol}, only 2 to 5 are read")

    def _long(self, width):
        size = self._number(width)
        if size > MAX_INT_BYTES:
            raise ImportFailure(f"the pickle holds an integer of {size} bytes")
        self.stack.append(int.from_bytes(self._take(size), "little", signed=True))

    def _binint(self):
        self.stack.append(struct.unpack("<i", self._take(4))[0])

    def _text(self, width):
        self.stack.append(self._decode(self._take(self._number(width))))

    def _bytes(self, width):
        self.stack.append(bytes(self._take(self._number(width))))

    def _get(self, width):
        index = self._number(width)
        if index not in self.memo:
            raise ImportFailure(f"the pickle refers to object {index}, which it has not defined")
        self.stack.append(self.memo[index])

    def _put(self, width):
        self.memo[self._number(width)] = self._top(object)

    def _memoize(self):
        self.memo[len(self.memo)] = self._top(object)

    def _global(self, module, name):
        if not isinstance(module, str) or not isinstance(name, str):
            raise ImportFailure("the pickle names something by a value that is not a text")
        full = f"{PYTHON2_MODULES.get(module, module)}.{name}"
        full = PYTHON2_NAMES.get(full, full)
        in_package = (
            any(module == p or module.startswith(p + ".") for p in ALLOWED_PACKAGES) and "." not in name
        )
        if not (in_package or full in ALLOWED_NAMES or full in self.builders or full in self.extra_names):
            raise ImportFailure(
                f"the file refers to {full}, which is not part of any model that is understood"
            )
        self.stack.append(Global(full))

    def _stack_global(self):
        name, module = self._pop(), self._pop()
        self._global(module, name)

    def _call(self, target, args):
        if not isinstance(target, Global) or not isinstance(args, tuple):
            raise ImportFailure(f"the pickle calls a {type(target).__name__}, which is not accepted")
        build = self.builders.get(target.name)
        self.stack.append(build(args) if build else Record(target.name, args))

    def _reduce(self):
        args, target = self._pop(), self._pop()
        self._call(target, args)

    def _newobj_ex(self):
        kwargs, args, target = self._pop(), self._pop(), self._pop()
        if kwargs != {}:
            raise ImportFailure("the pickle builds an object with keyword arguments, which is not accepted")
        self._call(target, args)

    def _build(self):
        state, target = self._pop(), self._top(object)
        if isinstance(target, Record):
            if target.state is not None:
                raise ImportFailure(f"the pickle sets the state of a {target.name} twice")
            target.state = state
        elif isinstance(target, OrderedDict):
            # remarks of state_dict() and of the typing module; no data of the dictionary
            if not isinstance(state, dict) or set(state) - {"_metadata", "__orig_class__"}:
                raise ImportFailure("the pickle attaches unknown attributes to an OrderedDict")
        else:
            raise ImportFailure(
                f"the pickle sets the state of a {type(target).__name__}, which is not accepted"
            )

    def _persistent(self):
        pid = self._pop()
        if self.load_persistent is None:
            raise ImportFailure("the pickle refers to data outside of itself")
        self.stack.append(self.load_persistent(pid))

    def _append(self):
        value = self._pop()
        self._top(list).append(value)

    def _appends(self):
        items = self._pop_mark()
        self._top(list).extend(items)

    def _setitem(self):
        value, key = self._pop(), self._pop()
        self._top(dict)[plain_key(key)] = value

    def _setitems(self):
        self._fill(self._pop_mark())

    def _fill(self, items):
        if len(items) % 2:
            raise ImportFailure("the pickle holds a dictionary with a key without a value")
        target = self._top(dict)
        for key, value in zip(items[::2], items[1::2]):
            target[plain_key(key)] = value

    def _dict(self):
        items = self._pop_mark()
        self.stack.append({})
        self._fill(items)

    def _additems(self):
        items = self._pop_mark()
        self._top(set).update(plain_key(x) for x in items)

    def _tuple(self, count):
        items = [self._pop() for _ in range(count)]
        self.stack.append(tuple(reversed(items)))


def _push(value):
    return lambda u: u.stack.append(value)


_OPCODES = {
    0x80: Unpickler._proto,
    0x95: lambda u: u._number(8),  # FRAME: its length is a hint only
    ord("("): Unpickler._mark,
    ord("0"): Unpickler._pop,
    ord("1"): Unpickler._pop_mark,
    ord("2"): lambda u: u.stack.append(u._top(object)),
    ord("N"): _push(None),
    0x88: _push(True),
    0x89: _push(False),
    ord("K"): lambda u: u.stack.append(u._number(1)),
    ord("M"): lambda u: u.stack.append(u._number(2)),
    ord("J"): Unpickler._binint,
    0x8A: lambda u: u._long(1),
    0x8B: lambda u: u._long(4),
    ord("G"): lambda u: u.stack.append(struct.unpack(">d", u._take(8))[0]),
    0x8C: lambda u: u._text(1),
    ord("X"): lambda u: u._text(4),
    0x8D: lambda u: u._text(8),
    ord("C"): lambda u: u._bytes(1),
    ord("B"): lambda u: u._bytes(4),
    0x8E: lambda u: u._bytes(8),
    ord("h"): lambda u: u._get(1),
    ord("j"): lambda u: u._get(4),
    ord("q"): lambda u: u._put(1),
    ord("r"): lambda u: u._put(4),
    0x94: Unpickler._memoize,
    ord("c"): lambda u: u._global(u._line(), u._line()),
    0x93: Unpickler._stack_global,
    ord("R"): Unpickler._reduce,
    0x81: Unpickler._reduce,  # NEWOBJ: class and argument tuple, as REDUCE
    0x92: Unpickler._newobj_ex,
    ord("b"): Unpickler._build,
    ord("Q"): Unpickler._persistent,
    ord("]"): lambda u: u.stack.append([]),
    ord("l"): lambda u: u.stack.append(u._pop_mark()),
    ord("a"): Unpickler._append,
    ord("e"): Unpickler._appends,
    ord("}"): lambda u: u.stack.append({}),
    ord("d"): Unpickler._dict,
    ord("s"): Unpickler._setitem,
    ord("u"): Unpickler._setitems,
    0x8F: lambda u: u.stack.append(set()),
    0x90: Unpickler._additems,
    0x91: lambda u: u.stack.append(frozenset(plain_key(x) for x in u._pop_mark())),
    ord(")"): _push(()),
    ord("t"): lambda u: u.stack.append(tuple(u._pop_mark())),
    0x85: lambda u: u._tuple(1),
    0x86: lambda u: u._tuple(2),
    0x87: lambda u: u._tuple(3),
}

_REFUSED_OPCODES = {
    ord("i"): "INST",
    ord("o"): "OBJ",
    0x82: "EXT1",
    0x83: "EXT2",
    0x84: "EXT4",
    ord("P"): "PERSID",
}


def _children(value):
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, Record):
        return (value.args, value.state)
    return ()


def _check_depth(root):
    """Breadth first, every object once: cycles are fine, chains longer than MAX_DEPTH are not."""
    seen, level, depth = set(), [root], 0
    while level:
        if depth > MAX_DEPTH:
            raise ImportFailure(f"the pickle is nested deeper than {MAX_DEPTH} levels")
        below = []
        for value in level:
            for child in _children(value):
                if isinstance(child, (dict, list, tuple, Record)) and id(child) not in seen:
                    seen.add(id(child))
                    below.append(child)
        level, depth = below, depth + 1

"""PyTorch modules as they lie in a pickle: Records with parameters, buffers, submodules and attributes.

`Module` hands these out by name and refuses everything that nobody asked for, so that an option of a model
which is not understood becomes an error that names it instead of a wrong energy.
"""

import numpy as np

from .errors import ImportFailure, describe
from .pickle_values import Record
from .torch_file import SparseTensor, Tensor

_HOOKS_THAT_MATTER = ("_forward_hooks", "_forward_pre_hooks")
_BOOKKEEPING = {
    "training",
    "_parameters",
    "_buffers",
    "_modules",
    "_non_persistent_buffers_set",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_is_full_backward_hook",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
    "_version",
}


class Module:
    """One torch.nn.Module of a pickle; `path` is its place in the model, for messages."""

    def __init__(self, record, path):
        if not isinstance(record, Record) or not isinstance(record.state, dict):
            raise ImportFailure(f"{path}: a module was expected, this is {describe(record)}")
        if not all(isinstance(key, str) for key in record.state):
            raise ImportFailure(f"{path}: {record.name} has an attribute whose name is no text")
        self.path, self.kind, self.name = path, record.kind, record.name
        self.state = record.state
        self.children = self._dict("_modules")
        self.tensors = {**self._dict("_parameters"), **self._dict("_buffers")}
        for hook in _HOOKS_THAT_MATTER:
            if self.state.get(hook):
                raise ImportFailure(f"{path} ({self.kind}) carries {hook}, whose effect is unknown")

    def _dict(self, key):
        value = self.state.get(key)
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            raise ImportFailure(f"{self.path}: {self.name} is not a PyTorch module (no {key})")
        return value

    def expect(self, *kinds):
        """Refuses a module of another class."""
        if self.kind not in kinds:
            raise ImportFailure(f"{self.path} is {self.name}; only {' or '.join(kinds)} is understood here")
        return self

    def accept(self, children=(), tensors=(), attributes=()):
        """Refuses members outside these lists. An attribute that is None or False is off, and passes."""
        for what, found, known in (
            ("submodule", self.children, children),
            ("tensor", self.tensors, tensors),
            ("attribute", self.state, (*attributes, *_BOOKKEEPING)),
        ):
            for key, value in found.items():
                if key not in known and value is not None and value is not False:
                    raise ImportFailure(
                        f"{self.path} ({self.kind}) has a {what} that is not understood: {key}"
                    )
        return self

    def child(self, key):
        if not isinstance(self.children.get(key), Record):
            raise ImportFailure(f"{self.path} ({self.kind}) has no submodule {key}")
        return Module(self.children[key], f"{self.path}.{key}")

    def attribute(self, key, *default):
        """Attribute `key`, or `default` if one is given and it is absent."""
        if key not in self.state and not default:
            raise ImportFailure(f"{self.path} ({self.kind}) has no attribute {key}")
        return self.state.get(key, *default)

    def tensor(self, key):
        """Parameter or buffer `key`, not yet read."""
        value = self.tensors.get(key)
        if not isinstance(value, (Tensor, SparseTensor)):
            raise ImportFailure(f"{self.path} ({self.kind}) has no tensor {key}")
        return value

    def array(self, key):
        """Parameter or buffer `key` as a float64 array."""
        return self.tensor(key).numpy().astype(np.float64)

    def number(self, key):
        """A number kept as attribute or as tensor of one element."""
        value = self.tensors.get(key)
        value = self.attribute(key) if value is None else value
        if isinstance(value, Tensor) and int(np.prod(value.shape)) == 1:
            value = value.numpy().reshape(-1)[0]
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
            raise ImportFailure(
                f"{self.path} ({self.kind}): {key} is {describe(value)}, a number was expected"
            )
        return float(value)

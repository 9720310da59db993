"""torchmd-net "graph-network" checkpoints (Majewski et al. 2023) to our Network.

The tensors come from `state_dict`, the rest from the hyperparameters that PyTorch Lightning stores beside it.
Differences to mlcg: the basis has its own envelope with lower cutoff 0, the last layers have a bias, and
E = std sum_i OUT(x_i) + mean.
"""

import re

import numpy as np

from .errors import ImportFailure, describe
from .pickle_values import Record
from .system import Basis, Envelope, Interaction, Linear, Network
from .torch_file import Tensor

# Hyperparameters that change the energy: the values that are understood.
_UNDERSTOOD = {
    "model": ("graph-network",),
    "output_model": ("Scalar",),
    "activation": ("tanh",),
    "rbf_type": ("expnorm", "gauss"),
    "aggr": ("add",),
    "reduce_op": ("add", "sum"),
    "neighbor_embedding": (False,),
    "prior_model": (None, []),
    "atom_filter": (-1,),
    "charge": (False, None),
    "spin": (False, None),
    "box_vecs": (None,),
}
_EMBEDDING = "representation_model.embedding.weight"


def state_dict_of(value):
    """The tensors {name: Tensor} of a torchmd-net checkpoint or bare state_dict, None for anything else."""
    if isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
        value = value["state_dict"]
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        return None
    return value if any(key.endswith(_EMBEDDING) for key in value) else None


class _Tensors:
    """Tensors by name; remembers which were used."""

    def __init__(self, tensors):
        self.tensors, self.used = tensors, set()

    def get(self, name):
        if not isinstance(self.tensors.get(name), Tensor):
            raise ImportFailure(f"the checkpoint has no tensor {name}")
        self.used.add(name)
        return self.tensors[name].numpy().astype(np.float64)

    def optional(self, name):
        return self.get(name) if name in self.tensors else None

    def linear(self, name):
        return Linear(self.get(name + ".weight"), self.optional(name + ".bias"))

    def layers(self, name):
        """The linear layers `name`.<k>, every second entry: an activation stands between."""
        name = name if f"{name}.0.weight" in self.tensors else f"{name}.layers"
        count = {
            int(m.group(1))
            for m in map(re.compile(re.escape(name) + r"\.(\d+)\.weight$").match, self.tensors)
            if m
        }
        if sorted(count) != list(range(0, 2 * len(count), 2)) or not count:
            raise ImportFailure(
                f"the checkpoint's layers {name} are numbered {sorted(count)}, not 0, 2, 4, .."
            )
        return [self.linear(f"{name}.{k}") for k in sorted(count)]


def read_checkpoint(checkpoint, cutoff=None, activation=None):
    """Returns (Network, max_num_neighbors or None).

    cutoff (lower, upper) and activation stand in for hyperparameters that the file does not hold; they may
    repeat what it holds but not contradict it.
    """
    hyper = _hyperparameters(checkpoint)
    for key, values in _UNDERSTOOD.items():
        if key in hyper and hyper[key] not in values:
            raise ImportFailure(f"the checkpoint has {key} = {describe(hyper[key])}; understood: {values}")
    lower, upper = _given(hyper, ("cutoff_lower", "cutoff_upper"), cutoff, "--cutoff LOWER UPPER")
    (activation,) = _given(hyper, ("activation",), activation and (activation,), "--activation tanh")
    if activation != "tanh":
        raise ImportFailure(f"the activation {describe(activation)} is not understood, only 'tanh' is")
    if not (isinstance(lower, (int, float)) and isinstance(upper, (int, float)) and 0 <= lower < upper):
        raise ImportFailure(f"cutoffs {describe(lower)} and {describe(upper)} are not possible")

    tensors = _Tensors(state_dict_of(checkpoint))
    top = next(key for key in tensors.tensors if key.endswith(_EMBEDDING))[: -len(_EMBEDDING)]
    body = top + "representation_model."
    scale, shift = tensors.optional(top + "std"), tensors.optional(top + "mean")
    for name, value in (("std", scale), ("mean", shift)):
        if value is not None and value.size != 1:
            raise ImportFailure(f"the checkpoint's {name} has {value.size} values, one was expected")
    network = Network(
        r_cut=float(upper),
        embedding=tensors.get(top + _EMBEDDING),
        basis=_basis(
            tensors, body + "distance_expansion.", hyper.get("rbf_type"), float(lower), float(upper)
        ),
        envelope=Envelope("cosine", float(lower), float(upper)),
        interactions=_interactions(tensors, body + "interactions."),
        output=tensors.layers(top + "output_model.output_network"),
        scale=1.0 if scale is None else float(scale.reshape(-1)[0]),
        shift=0.0 if shift is None else float(shift.reshape(-1)[0]),
    )
    unused = sorted(set(tensors.tensors) - tensors.used)
    if unused:
        raise ImportFailure(
            f"the checkpoint has a tensor that is not understood: {unused[0]} ({len(unused)} in all)"
        )
    if hyper.get("num_layers", len(network.interactions)) != len(network.interactions):
        raise ImportFailure(
            f"{len(network.interactions)} interactions where num_layers is {describe(hyper['num_layers'])}"
        )
    limit = hyper.get("max_num_neighbors")
    if limit is not None and type(limit) is not int:
        raise ImportFailure(f"max_num_neighbors is {describe(limit)}")
    return network, limit


def _hyperparameters(checkpoint):
    hyper = checkpoint.get("hyper_parameters", checkpoint.get("hparams", {}))
    if isinstance(hyper, Record):  # argparse.Namespace
        hyper = hyper.state
    if not isinstance(hyper, dict):
        raise ImportFailure("the checkpoint's hyper_parameters are of an unknown kind")
    return hyper


def _given(hyper, keys, option, usage):
    """Hyperparameters `keys` from the file, or from an option when the file has none."""
    present = [hyper[key] for key in keys if hyper.get(key) is not None]
    if len(present) == len(keys):
        if option is not None and list(option) != present:
            raise ImportFailure(
                f"the checkpoint has {', '.join(keys)} = {describe(present)}, not {describe(list(option))}: "
                f"leave out {usage}"
            )
        return present
    if option is None:
        raise ImportFailure(f"the checkpoint does not hold its {' and '.join(keys)}; give {usage}")
    return list(option)


def _basis(tensors, prefix, kind, lower, upper):
    found = "expnorm" if prefix + "means" in tensors.tensors else "gauss"
    if kind is not None and kind != found:
        raise ImportFailure(f"rbf_type is {describe(kind)}, but the basis has the tensors of {found!r}")
    if found == "gauss":
        center = tensors.get(prefix + "offset")
        width = np.broadcast_to(-tensors.get(prefix + "coeff"), center.shape).copy()
        return Basis("gauss", "linear", 0.0, 0.0, center, width, Envelope("identity", 0.0, upper))
    center, width = tensors.get(prefix + "means"), tensors.get(prefix + "betas")
    return Basis(
        "expnorm", "exponential", 5.0 / (upper - lower), lower, center, width, Envelope("cosine", 0.0, upper)
    )


def _interactions(tensors, prefix):
    out = []
    while f"{prefix}{len(out)}.lin.weight" in tensors.tensors:
        here = f"{prefix}{len(out)}."
        layers = tensors.layers(here + "conv.net")
        if any(
            key.startswith(here + "mlp.") for key in tensors.tensors
        ):  # the same network under a second name
            for a, b in zip(layers, tensors.layers(here + "mlp")):
                if not _same(a, b):
                    raise ImportFailure(f"{here}mlp and {here}conv.net should be one network but differ")
        single = (tensors.linear(here + name) for name in ("conv.lin1", "conv.lin2", "lin"))
        out.append(Interaction(layers, *single))
    if not out:
        raise ImportFailure("the checkpoint has no interactions")
    return out


def _same(a, b):
    if (a.bias is None) != (b.bias is None):
        return False
    return np.array_equal(a.weight, b.weight) and (a.bias is None or np.array_equal(a.bias, b.bias))

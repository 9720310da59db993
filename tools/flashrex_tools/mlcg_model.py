"""mlcg: from the modules of a saved model to our Network; unwraps SumOut, GradientsOut and the like.

Equations as in mlcg's schnet.py, radial_basis/ and cutoff.py; the formulas are in docs/formats.md.
"""

import numpy as np

from .errors import ImportFailure, describe
from .modules import Module
from .pickle_values import Record
from .system import Basis, Envelope, Interaction, Linear, Network

WRAPPERS = ("GradientsOut", "EnergyOut")
SUMS = ("SumOut", "ModuleDict")
NETWORKS = ("StandardSchNet", "SchNet")
MAX_LAYERS = 100


def is_mlcg_model(value):
    """True for a pickled module of mlcg (or a ModuleDict of them)."""
    return isinstance(value, Record) and (value.name.startswith("mlcg.nn.") or value.kind in SUMS)


def split_model(record):
    """Flattens a saved model into {name: Module} of networks and priors, in the file's order."""
    return _flatten(Module(record, "model"), None, set())


def _flatten(module, key, seen):
    if id(module.state) in seen:
        raise ImportFailure(f"{module.path} is a module that contains itself or stands in the model twice")
    seen.add(id(module.state))
    if module.kind in WRAPPERS:
        module.accept(children=["model"], attributes=["name", "targets"])
        return _flatten(module.child("model"), key, seen)
    if module.kind == "SumOut":
        module.accept(children=["models"], attributes=["name", "targets"])
        return _flatten(module.child("models"), None, seen)
    if module.kind == "ModuleDict":
        module.accept(children=module.children)
        out = {}
        for child in module.children:
            for name, model in _flatten(module.child(child), child, seen).items():
                if name in out:
                    raise ImportFailure(f"{model.path}: a second energy term called {name}")
                out[name] = model
        return out
    name = module.attribute("name", key or "SchNet")
    if key is not None and name != key:
        raise ImportFailure(f"{module.path} is called {describe(name)}, but its sum knows it as {key!r}")
    return {name: module}


def read_network(module):
    """Returns (Network, max_num_neighbors) of a SchNet module; refuses what the engine does not compute."""
    module.expect(*NETWORKS).accept(
        children=["embedding_layer", "rbf_layer", "interaction_blocks", "output_network"],
        attributes=["name", "max_num_neighbors", "self_interaction", "nls_distance_method"],
    )
    if module.attribute("self_interaction", False):
        raise ImportFailure(f"{module.path} has self_interaction, which is not understood")
    basis, r_cut = _basis(module.child("rbf_layer"))
    blocks = module.child("interaction_blocks").expect("Sequential", "ModuleList")
    if not 1 <= len(blocks.children) <= MAX_LAYERS:
        raise ImportFailure(f"{blocks.path} has {len(blocks.children)} interactions")
    read = [_interaction(blocks.child(key)) for key in blocks.children]
    envelopes = [env for _, env in read]
    if any(env != envelopes[0] for env in envelopes):
        raise ImportFailure(f"{blocks.path}: the interactions have different cutoff functions")
    network = Network(
        r_cut=r_cut,
        embedding=_embedding(module.child("embedding_layer")),
        basis=basis,
        envelope=_within(envelopes[0], r_cut),
        interactions=[interaction for interaction, _ in read],
        output=_mlp(module.child("output_network")),
    )
    return network, int(module.number("max_num_neighbors"))


def _embedding(module):
    module.expect("Embedding").accept(
        tensors=["weight"],
        attributes=["num_embeddings", "embedding_dim", "norm_type", "scale_grad_by_freq", "sparse"],
    )
    return module.array("weight")


def _cutoff(module):
    """Envelope of a cutoff module; an identity ends nowhere (r_hi infinite) until _within."""
    module.expect("CosineCutoff", "IdentityCutoff", "ShiftedCosineCutoff")
    module.accept(
        tensors=["cutoff_lower", "cutoff_upper", "smooth_width"],
        attributes=["cutoff_lower", "cutoff_upper", "smooth_width"],
    )
    upper = module.number("cutoff_upper")
    if module.kind == "CosineCutoff":
        return Envelope("cosine", max(module.number("cutoff_lower"), 0.0), upper)
    if module.kind == "ShiftedCosineCutoff":
        return Envelope("shifted_cosine", upper - module.number("smooth_width"), upper)
    return Envelope("identity", 0.0, np.inf)


def _within(envelope, r_cut):
    """No pair is farther than r_cut, so an identity may as well end there."""
    return Envelope("identity", 0.0, r_cut) if envelope.kind == "identity" else envelope


def _basis(module):
    """Returns (Basis, r_cut): mlcg takes the graph's cutoff from the basis."""
    module.expect("GaussianBasis", "ExpNormalBasis", "ExtendedExpNormalBasis", "SpacedExpBasis")
    known = ["num_rbf", "trainable"]
    cutoff = module.child("cutoff")
    envelope, r_cut = _cutoff(cutoff), cutoff.number("cutoff_upper")
    transform, alpha, r_shift = "linear", 0.0, 0.0
    if module.kind == "GaussianBasis":
        module.accept(["cutoff"], ["coeff", "offset"], known)
        center = module.array("offset")
        width = np.broadcast_to(-module.array("coeff"), center.shape).copy()
    elif module.kind == "SpacedExpBasis":
        module.accept(["cutoff"], ["means", "betas"], [*known, "sigma_min", "sigma_factor", "mean_spacing"])
        center, width = module.array("means"), 1.0 / module.array("betas")
    else:
        internal = ["internal_cutoff_lower", "internal_cutoff_upper"]
        module.accept(["cutoff"], ["means", "betas"], [*known, "alpha", *internal])
        center, width = module.array("means"), module.array("betas")
        transform, alpha = "exponential", module.number("alpha")
        extended = module.kind == "ExtendedExpNormalBasis"
        r_shift = module.number(internal[0]) if extended else cutoff.number("cutoff_lower")
    basis = Basis(module.kind, transform, alpha, r_shift, center, width, _within(envelope, r_cut))
    return basis, r_cut


def _linear(module):
    module.expect("Linear").accept(tensors=["weight", "bias"], attributes=["in_features", "out_features"])
    bias = module.array("bias") if module.tensors.get("bias") is not None else None
    return Linear(module.array("weight"), bias)


def _tanh(module):
    if module.kind != "Tanh":
        raise ImportFailure(f"{module.path}: the activation {module.kind} is not understood, only Tanh is")
    module.accept()


def _mlp(module):
    """Layers of an MLP: Linear, Tanh, Linear, ..., Linear."""
    if module.kind == "TypesMLP":
        if module.attribute("weights_per_species"):
            raise ImportFailure(f"{module.path} has separate weights per bead type, which is not understood")
        module.accept(children=["mlp"], attributes=["name"])
        module = module.child("mlp")
    module.expect("MLP").accept(children=["layers"])
    sequence = module.child("layers").expect("Sequential")
    if len(sequence.children) > MAX_LAYERS:
        raise ImportFailure(f"{sequence.path} has {len(sequence.children)} layers")
    out = []
    for k, key in enumerate(sequence.children):
        layer = sequence.child(key)
        if k % 2:
            _tanh(layer)
        else:
            out.append(_linear(layer))
    if len(sequence.children) % 2 == 0:
        raise ImportFailure(f"{sequence.path} does not end in a linear layer")
    return out


def _interaction(module):
    module.expect("InteractionBlock").accept(children=["conv", "activation", "lin"])
    _tanh(module.child("activation"))
    conv = module.child("conv").expect("CFConv")
    _message_passing(conv, ["lin1", "lin2", "filter_network", "cutoff"])
    layers = _mlp(conv.child("filter_network"))
    single = (_linear(conv.child("lin1")), _linear(conv.child("lin2")), _linear(module.child("lin")))
    return Interaction(layers, *single), _cutoff(conv.child("cutoff"))


def _message_passing(conv, children):
    """torch_geometric's MessagePassing: only a plain sum over neighbours is understood."""
    aggr = conv.attribute("aggr", "add")
    if aggr not in ("add", "sum"):
        raise ImportFailure(f"{conv.path}: aggr is {describe(aggr)}, only 'add' is understood")
    if "aggr_module" in conv.children:
        conv.child("aggr_module").expect("SumAggregation").accept(attributes=["_deterministic"])
    own = [key for key in conv.state if key.startswith("_") and not key.endswith("_hooks")]
    hooks = [key for key, value in conv.state.items() if key.endswith("_hooks") and not value]
    plain = ["aggr", "flow", "node_dim", "inspector", "fuse"]
    conv.accept(children=[*children, "aggr_module"], attributes=[*own, *hooks, *plain])
    for key in ("_explain", "__explain__", "_edge_mask", "__edge_mask__"):
        if conv.attribute(key, None):
            raise ImportFailure(f"{conv.path}: {key} is set, which is not understood")
    if conv.attribute("_decomposed_layers", conv.attribute("decomposed_layers", 1)) != 1:
        raise ImportFailure(f"{conv.path}: decomposed layers are not understood")

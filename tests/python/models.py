"""Small random models of both families, for tests: as files, and as plain formulas written down a second time
from mlcg's and torchmd-net's definitions (loops over beads, nothing shared with the package)."""

import numpy as np
from torch_writer import Array, Call, atomic_data, cutoff, module, schnet

RNG = np.random.default_rng(20261122)


def random_network(
    n_type=6, n_hidden=7, n_filter=5, n_basis=8, depth=2, filter_depth=2, output=(4, 3), bias=False
):
    """Weights of a SchNet as (weight, bias) pairs; float32, as models are stored."""

    def layer(n_in, n_out, with_bias=True):
        weight = RNG.normal(0, 1 / np.sqrt(n_in), (n_out, n_in)).astype(np.float32)
        return weight, RNG.normal(0, 0.3, n_out).astype(np.float32) if with_bias else None

    def chain(widths):
        pairs = list(zip(widths[:-1], widths[1:]))
        return [layer(a, b, bias or k + 1 < len(pairs)) for k, (a, b) in enumerate(pairs)]

    blocks = [
        {
            "filter": chain([n_basis] + [n_filter] * filter_depth),
            "lin1": layer(n_hidden, n_filter, False),
            "lin2": layer(n_filter, n_hidden),
            "lin": layer(n_hidden, n_hidden),
        }
        for _ in range(depth)
    ]
    embedding = RNG.normal(size=(n_type, n_hidden)).astype(np.float32)
    return {"embedding": embedding, "interactions": blocks, "output": chain([n_hidden, *output, 1])}


def basis(kind, cut, n=8):
    """(module, function of r) of an mlcg basis; cut = (module, function, lower, upper) of its envelope."""
    envelope, value, lower, upper = cut
    if kind == "GaussianBasis":
        offset = np.linspace(lower, upper, n).astype(np.float32)
        coeff = np.float32(-0.5 / (offset[1] - offset[0]) ** 2)
        made = module(
            "mlcg.nn.radial_basis.gaussian.GaussianBasis",
            buffers={"coeff": Array(coeff), "offset": Array(offset)},
            children={"cutoff": envelope},
            num_rbf=n,
            trainable=False,
        )
        return made, lambda r: value(r) * np.exp(float(coeff) * (r - offset.astype(float)) ** 2)
    if kind == "SpacedExpBasis":
        means = np.array([0, 2, 2.5, 3.5, 5.5, 9.5, 12, 14][:n], np.float32)
        betas = (2 * np.array([1, 0.25, 0.5, 1, 2, 4, 8, 16][:n]) ** 2).astype(np.float32)
        made = module(
            "mlcg.nn.radial_basis.exp_spaced.SpacedExpBasis",
            {"means": Array(means), "betas": Array(betas)},
            children={"cutoff": envelope},
            sigma_min=0.25,
            sigma_factor=2.0,
            mean_spacing=2.0,
            trainable=True,
            num_rbf=n,
        )
        return made, lambda r: value(r) * np.exp(-((r - means.astype(float)) ** 2) / betas.astype(float))
    low = lower + 1.25 if kind == "ExtendedExpNormalBasis" else lower
    alpha = 5.0 / (upper - low)
    means = np.linspace(np.exp(low - upper), 1, n).astype(np.float32)
    betas = np.full(n, (2 / n * (1 - np.exp(low - upper))) ** -2, np.float32)
    more = {"internal_cutoff_lower": low, "internal_cutoff_upper": upper} if low != lower else {}
    made = module(
        f"mlcg.nn.radial_basis.exp_normal.{kind}",
        buffers={"means": Array(means), "betas": Array(betas)},
        children={"cutoff": envelope},
        num_rbf=n,
        trainable=False,
        alpha=alpha,
        **more,
    )
    return made, lambda r: value(r) * np.exp(-betas.astype(float) * (np.exp(alpha * (low - r)) - means) ** 2)


def envelope(kind, lower=0.0, upper=5.0, width=1.5):
    """(module, function of r, lower, upper) of an mlcg cutoff."""

    def cosine(r):
        if lower > 0:
            c = 0.5 * (np.cos(np.pi * (2 * (r - lower) / (upper - lower) + 1)) + 1)
            return c * (r < upper) * (r > lower)
        return 0.5 * (np.cos(np.pi * r / upper) + 1) * (r < upper)

    def shifted(r):
        if r > upper:
            return 0.0
        return 1.0 if r <= upper - width else 0.5 + 0.5 * np.cos(np.pi * (r - upper + width) / width)

    value = {"CosineCutoff": cosine, "ShiftedCosineCutoff": shifted, "IdentityCutoff": lambda r: 1.0}[kind]
    low = 0.0 if kind == "ShiftedCosineCutoff" else lower
    return cutoff(kind, lower, upper, width), value, low, upper


def dense(layer, x):
    weight, bias = layer
    out = weight.astype(float) @ x
    return out if bias is None else out + bias.astype(float)


def network(layers, x):
    for k, layer in enumerate(layers):
        x = dense(layer, np.tanh(x) if k else x)
    return x


def schnet_energy(net, types, positions, phi, filter_value, r_cut):
    """The definition, bead by bead."""
    n = len(types)
    x = [net["embedding"][t].astype(float) for t in types]
    for block in net["interactions"]:
        h = [dense(block["lin1"], xi) for xi in x]
        new = []
        for i in range(n):
            m = np.zeros(len(h[0]))
            for j in range(n):
                r = np.linalg.norm(positions[i] - positions[j])
                if j != i and r < r_cut:
                    m += h[j] * network(block["filter"], phi(r)) * filter_value(r)
            new.append(x[i] + dense(block["lin"], np.tanh(dense(block["lin2"], m))))
        x = new
    return sum(network(net["output"], xi)[0] for xi in x)


def chain_positions(n=9, step=2.1):
    """A compact chain without beads on each other."""
    rng = np.random.default_rng(5)
    out = [np.zeros(3)]
    while len(out) < n:
        move = rng.normal(size=3)
        new = out[-1] + step * move / np.linalg.norm(move)
        if all(np.linalg.norm(new - old) > 0.8 * step for old in out):
            out.append(new)
    return np.array(out)


def schnet_module(net, rbf, filter_cutoff, **attributes):
    return schnet(net["embedding"], rbf, filter_cutoff, net["interactions"], net["output"], **attributes)


def configuration(positions, types, lists, **members):
    masses = np.full(len(types), 12 / 418.4, np.float32)
    return atomic_data(positions, types, masses, lists, **members)


def torchmd_checkpoint(net, lower, upper, kind="expnorm", std=1.0, mean=0.0, hyper=None, layers_name=False):
    """A Lightning checkpoint of torchmd-net's graph-network."""
    n = net["interactions"][0]["filter"][0][0].shape[1]
    state = {"model.mean": Array(np.float32(mean)), "model.std": Array(np.float32(std))}
    body = "model.representation_model."

    def put(name, layer):
        state[name + ".weight"] = Array(layer[0])
        if layer[1] is not None:
            state[name + ".bias"] = Array(layer[1])

    state[body + "embedding.weight"] = Array(net["embedding"])
    if kind == "expnorm":
        means = np.linspace(np.exp(lower - upper), 1, n).astype(np.float32)
        betas = np.full(n, (2 / n * (1 - np.exp(lower - upper))) ** -2, np.float32)
        state[body + "distance_expansion.means"] = Array(means)
        state[body + "distance_expansion.betas"] = Array(betas)
        alpha = 5.0 / (upper - lower)

        def phi(r):
            cut = 0.5 * (np.cos(np.pi * r / upper) + 1) * (r < upper)
            return cut * np.exp(-betas.astype(float) * (np.exp(alpha * (lower - r)) - means) ** 2)

    else:
        offset = np.linspace(lower, upper, n).astype(np.float32)
        coeff = np.float32(-0.5 / (offset[1] - offset[0]) ** 2)
        state[body + "distance_expansion.offset"] = Array(offset)
        state[body + "distance_expansion.coeff"] = Array(coeff)

        def phi(r):
            return np.exp(float(coeff) * (r - offset.astype(float)) ** 2)

    for i, block in enumerate(net["interactions"]):
        for k, layer in enumerate(block["filter"]):
            put(f"{body}interactions.{i}.mlp.{2 * k}", layer)
            put(f"{body}interactions.{i}.conv.net.{2 * k}", layer)
        put(f"{body}interactions.{i}.conv.lin1", block["lin1"])
        put(f"{body}interactions.{i}.conv.lin2", block["lin2"])
        put(f"{body}interactions.{i}.lin", block["lin"])
    for k, layer in enumerate(net["output"]):
        put(f"model.output_model.output_network.{'layers.' if layers_name else ''}{2 * k}", layer)
    parameters = {
        "model": "graph-network",
        "output_model": "Scalar",
        "activation": "tanh",
        "rbf_type": kind,
        "num_layers": len(net["interactions"]),
        "cutoff_lower": lower,
        "cutoff_upper": upper,
        "max_num_neighbors": 128,
        "neighbor_embedding": False,
        "prior_model": None,
        "reduce_op": "add",
        **(hyper or {}),
    }
    parameters = {k: v for k, v in parameters.items() if v != "absent"}
    checkpoint = {"epoch": 3, "state_dict": Call("collections.OrderedDict"), "hyper_parameters": parameters}
    checkpoint["state_dict"] = state
    return checkpoint, phi

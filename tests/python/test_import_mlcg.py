"""Models of mlcg that the tests synthesise: every basis, envelope, width and depth against the definition,
and the refusal of everything that is not understood."""

import numpy as np
import pytest
from flashrex_tools.errors import ImportFailure
from flashrex_tools.importer import Request, import_system
from flashrex_tools.reference_energy import evaluate
from flashrex_tools.system_file import read_system, write_system
from models import (
    basis,
    chain_positions,
    configuration,
    envelope,
    random_network,
    schnet_energy,
    schnet_module,
)
from torch_writer import Array, Call, Sparse, gradients_out, module, save, sum_out

POSITIONS = chain_positions()
TYPES = np.array([0, 3, 1, 5, 2, 2, 4, 1, 0])
BONDS = np.array([[i, i + 1] for i in range(8)])


def bonds_prior(n_type=6, name="bonds", kind="mlcg.nn.prior.harmonic.HarmonicBonds"):
    rng = np.random.default_rng(3)
    x0, k = rng.uniform(1.5, 2.5, (n_type, n_type)), rng.uniform(5, 9, (n_type, n_type))
    buffers = {"x_0": Array(x0.astype(np.float32)), "k": Array(k.astype(np.float32))}
    return module(kind, buffers=buffers, name=name, order=2, allowed_interaction_keys=[(0, 1)])


def run(tmp_path, models, lists=None, types=TYPES, **data):
    """The System of a SumOut of `models` with one configuration."""
    lists = {"bonds": BONDS} if lists is None else lists
    save(tmp_path / "m.pt", sum_out(models))
    save(tmp_path / "c.pt", [configuration(POSITIONS, types, lists, **data)])
    return import_system(Request(str(tmp_path / "m.pt"), str(tmp_path / "c.pt")))


def simple(**kw):
    """A SchNet module with its plain definition."""
    net = random_network()
    cut = envelope("CosineCutoff")
    rbf, phi = basis("ExpNormalBasis", cut)
    return schnet_module(net, rbf, cut[0], **kw), lambda x: schnet_energy(net, TYPES, x, phi, cut[1], 5.0)


ENVELOPES = {
    "cosine": ("CosineCutoff", 0.0, 5.0),
    "cosine_lower": ("CosineCutoff", 1.0, 5.0),
    "shifted": ("ShiftedCosineCutoff", 0.0, 5.0),
    "identity": ("IdentityCutoff", 0.0, 5.0),
    "identity_open": ("IdentityCutoff", 0.0, np.inf),
}


@pytest.mark.parametrize(
    "kind", ["GaussianBasis", "ExpNormalBasis", "ExtendedExpNormalBasis", "SpacedExpBasis"]
)
@pytest.mark.parametrize("filter_envelope", sorted(ENVELOPES))
@pytest.mark.parametrize("basis_envelope", ["cosine", "cosine_lower", "shifted", "identity"])
def test_bases_and_envelopes(tmp_path, kind, filter_envelope, basis_envelope):
    net = random_network(depth=1)
    of_basis, of_filter = envelope(*ENVELOPES[basis_envelope]), envelope(*ENVELOPES[filter_envelope])
    rbf, phi = basis(kind, of_basis)
    system = run(tmp_path, {"SchNet": schnet_module(net, rbf, of_filter[0])}, {})
    expected = schnet_energy(net, TYPES, POSITIONS, phi, of_filter[1], 5.0)
    assert evaluate(system, POSITIONS)["energy"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "shape",
    [
        dict(n_hidden=3, n_filter=9, depth=2),
        dict(n_hidden=12, n_filter=4, depth=6),
        dict(filter_depth=1, depth=3),
        dict(filter_depth=4, output=()),
        dict(output=(6, 5, 4, 3), bias=True),
    ],
)
def test_widths_and_depths(tmp_path, shape):
    net, cut = random_network(**shape), envelope("CosineCutoff")
    rbf, phi = basis("GaussianBasis", cut)
    system = run(tmp_path, {"SchNet": schnet_module(net, rbf, cut[0])}, {})
    expected = schnet_energy(net, TYPES, POSITIONS, phi, cut[1], 5.0)
    assert evaluate(system, POSITIONS)["energy"] == pytest.approx(expected, rel=1e-12)


def test_the_graphs_cutoff_is_the_basis_one(tmp_path):
    """mlcg builds its neighbour list with the cutoff of the basis, whatever the filter's envelope says."""
    net, short, long = random_network(), envelope("CosineCutoff", 0, 3.0), envelope("CosineCutoff", 0, 6.0)
    rbf, phi = basis("GaussianBasis", envelope("IdentityCutoff", 0, 4.0))
    for cut in (short, long):
        system = run(tmp_path, {"SchNet": schnet_module(net, rbf, cut[0])}, {})
        expected = schnet_energy(net, TYPES, POSITIONS, phi, cut[1], 4.0)
        assert system.network.r_cut == 4.0
        assert evaluate(system, POSITIONS)["energy"] == pytest.approx(expected, rel=1e-12)


def gradient_error(system, positions, spoil=None):
    """Largest |F + dE/dx| by fourth-order differences, over the largest force."""
    answer, step = evaluate(system, positions), 1e-3
    forces = answer["forces"] if spoil is None else spoil
    worst = 0.0
    for bead, axis in [(0, 0), (3, 1), (5, 2), (len(positions) - 1, 0), (2, 2)]:

        def energy(shift, bead=bead, axis=axis):
            moved = positions.copy()
            moved[bead, axis] += shift
            return evaluate(system, moved)["energy"]

        slope = 8 * (energy(step) - energy(-step)) - energy(2 * step) + energy(-2 * step)
        worst = max(worst, abs(forces[bead, axis] + slope / (12 * step)))
    return worst / np.abs(answer["forces"]).max()


@pytest.mark.parametrize("filter_envelope", ["CosineCutoff", "ShiftedCosineCutoff"])
def test_network_forces(tmp_path, filter_envelope):
    net, cut = random_network(depth=3), envelope(filter_envelope, 0.0, 5.0)
    rbf, _ = basis("ExpNormalBasis", cut)
    system = run(tmp_path, {"SchNet": schnet_module(net, rbf, cut[0]), "bonds": bonds_prior()})
    assert gradient_error(system, POSITIONS) < 1e-8
    # control: the force of the network without its envelope's derivative (as published elsewhere) is caught
    import flashrex_tools.reference_energy as reference

    whole = reference.envelope
    try:
        reference.envelope = lambda env, r: (whole(env, r)[0], np.zeros_like(r))
        spoiled = evaluate(system, POSITIONS)["forces"]
    finally:
        reference.envelope = whole
    assert gradient_error(system, POSITIONS, spoiled) > 1e-3


def test_written_and_read_again(tmp_path):
    model, _ = simple()
    system = run(tmp_path, {"SchNet": model, "bonds": bonds_prior()})
    answer = evaluate(system, POSITIONS)
    write_system(tmp_path / "s.h5", system, answer)
    again = evaluate(read_system(tmp_path / "s.h5"), POSITIONS)
    assert again["energy"] == answer["energy"] and np.array_equal(again["forces"], answer["forces"])
    assert set(again["parts"]) == {"SchNet", "bonds"}


def test_forms_of_the_model_file(tmp_path):
    """SumOut, ModuleDict, GradientsOut alone, bare SchNet, the tuple, and the prior in a second file."""
    model, energy = simple()
    expected = energy(POSITIONS)
    data = [configuration(POSITIONS, TYPES, {"bonds": BONDS})]
    save(tmp_path / "c.pt", data)
    save(
        tmp_path / "prior.pt",
        module("torch.nn.modules.container.ModuleDict", children={"bonds": bonds_prior()}),
    )
    forms = {
        "sum": sum_out({"SchNet": model}),
        "dict": module(
            "torch.nn.modules.container.ModuleDict", children={"SchNet": gradients_out(None, model)}
        ),
        "gradients": gradients_out("SchNet", model),
        "nested": gradients_out("SumOut", sum_out({"SchNet": model})),
        "bare": model,
        "tuple": (sum_out({"SchNet": model}), data),
    }
    for name, form in forms.items():
        save(tmp_path / "m.pt", form)
        structures = None if name == "tuple" else str(tmp_path / "c.pt")
        plain = import_system(Request(str(tmp_path / "m.pt"), structures))
        assert evaluate(plain, POSITIONS)["energy"] == pytest.approx(expected, rel=1e-12), name
        both = import_system(Request(str(tmp_path / "m.pt"), structures, str(tmp_path / "prior.pt")))
        assert set(evaluate(both, POSITIONS)["parts"]) == {"SchNet", "bonds"}, name


def test_older_torch_geometric(tmp_path):
    """AtomicData without a store, MessagePassing with names of two underscores."""
    model, energy = simple()
    conv = model.state["_modules"]["interaction_blocks"].state["_modules"]["0"].state["_modules"]["conv"]
    del conv.state["_modules"]["aggr_module"]
    conv.state.update({"__user_args__": ["W", "x_j"], "__explain__": False, "__edge_mask__": None})
    data = configuration(POSITIONS, TYPES, {})
    data.state = data.state["_store"].state["_mapping"]
    save(tmp_path / "m.pt", (sum_out({"SchNet": model}), [data]))
    system = import_system(Request(str(tmp_path / "m.pt")))
    assert evaluate(system, POSITIONS)["energy"] == pytest.approx(energy(POSITIONS), rel=1e-12)


def block(model, i=0):
    return model.state["_modules"]["interaction_blocks"].state["_modules"][str(i)].state["_modules"]


def relu(model):
    block(model)["activation"] = module("torch.nn.modules.activation.ReLU")


def relu_in_filter(model):
    layers = block(model)["conv"].state["_modules"]["filter_network"].state["_modules"]["layers"]
    layers.state["_modules"]["1"] = module("torch.nn.modules.activation.SiLU")


def mean_aggregation(model):
    block(model)["conv"].state["aggr"] = "mean"


def mean_module(model):
    mean = module("torch_geometric.nn.aggr.basic.MeanAggregation")
    block(model)["conv"].state["_modules"]["aggr_module"] = mean


def attention(model):
    blocks = model.state["_modules"]["interaction_blocks"].state["_modules"]
    blocks["1"] = module("mlcg.nn.attention.AttentiveInteractionBlock")


def padding(model):
    model.state["_modules"]["embedding_layer"].state["padding_idx"] = 0


def noise_embedding(model):
    model.state["_modules"]["embedding_layer"].name = "mlcg.nn.embedding.NoiseAwareEmbedding"


def other_basis(model):
    model.state["_modules"]["rbf_layer"].name = "mlcg.nn.radial_basis.regularized_basis.RegularizedBasis"


def other_cutoff(model):
    block(model)["conv"].state["_modules"]["cutoff"].name = "mlcg.nn.cutoff.StrangeCutoff"


def different_cutoffs(model):
    block(model, 1)["conv"].state["_modules"]["cutoff"] = envelope("CosineCutoff", 0, 4.5)[0]


def self_interaction(model):
    model.state["self_interaction"] = True


def unknown_attribute(model):
    model.state["charge_scaling"] = 2.0


def unknown_submodule(model):
    model.state["_modules"]["output_activation"] = module("torch.nn.modules.activation.Softplus")


def unknown_buffer(model):
    model.state["_buffers"]["energy_shift"] = Array(np.ones(1))


def hook(model):
    model.state["_forward_hooks"] = {1: "something"}


def types_wise(model):
    output = model.state["_modules"]["output_network"]
    output.name, output.state["weights_per_species"] = "mlcg.nn.mlp.TypesMLP", True


def not_a_number(model):
    block(model)["lin"].state["_parameters"]["weight"].values[0, 0] = np.nan


def wrong_shape(model):
    block(model)["lin"].state["_parameters"]["weight"] = Array(np.zeros((7, 6)))


def truncating(model):
    model.state["max_num_neighbors"] = 2


REFUSED = {
    relu: "ReLU",
    relu_in_filter: "SiLU",
    mean_aggregation: "aggr",
    mean_module: "MeanAggregation",
    attention: "AttentiveInteractionBlock",
    padding: "padding_idx",
    noise_embedding: "NoiseAwareEmbedding",
    other_basis: "RegularizedBasis",
    other_cutoff: "StrangeCutoff",
    different_cutoffs: "different cutoff",
    self_interaction: "self_interaction",
    unknown_attribute: "charge_scaling",
    unknown_submodule: "output_activation",
    unknown_buffer: "energy_shift",
    hook: "_forward_hooks",
    types_wise: "per bead type",
    not_a_number: "not a number",
    wrong_shape: "interaction 0 lin",
    truncating: "max_num_neighbors",
}


@pytest.mark.parametrize("change", REFUSED, ids=lambda f: f.__name__)
def test_refused_by_name(tmp_path, change):
    model, _ = simple()
    change(model)
    with pytest.raises(ImportFailure, match=REFUSED[change]):
        run(tmp_path, {"SchNet": model}, {})


def test_refused_models(tmp_path):
    model, _ = simple()
    with pytest.raises(ImportFailure, match="mace.MACE"):
        run(tmp_path, {"MACE": module("mlcg.nn.mace.MACE")}, {})
    with pytest.raises(ImportFailure, match="AttentiveSchNet"):
        run(tmp_path, {"SchNet": module("mlcg.nn.schnet.AttentiveSchNet")}, {})
    with pytest.raises(ImportFailure, match="called 'other'"):
        run(tmp_path, {"bonds": bonds_prior(name="other")})
    with pytest.raises(ImportFailure, match="list of the beads"):
        run(tmp_path, {"SchNet": model, "bonds": bonds_prior()}, {})
    with pytest.raises(ImportFailure, match="type 6"):
        run(tmp_path, {"SchNet": model}, {}, types=TYPES + 1)
    with pytest.raises(ImportFailure, match="index runs"):
        run(tmp_path, {"bonds": bonds_prior(n_type=5)})
    loop = module("torch.nn.modules.container.ModuleDict")
    loop.state["_modules"] = {
        "a": module("torch.nn.modules.container.ModuleDict", children={"b": model, "c": model})
    }
    save(tmp_path / "m.pt", loop)
    save(tmp_path / "c.pt", [configuration(POSITIONS, TYPES, {})])
    with pytest.raises(ImportFailure):
        import_system(Request(str(tmp_path / "m.pt"), str(tmp_path / "c.pt")))


@pytest.mark.parametrize(
    "members, message",
    [
        (dict(exc_pair_index=Array(np.zeros((2, 1), int))), "exc_pair_index"),
        (dict(pbc=Array(np.array([True] * 3)), cell=Array(np.eye(3))), "periodic"),
    ],
)
def test_refused_configurations(tmp_path, members, message):
    with pytest.raises(ImportFailure, match=message):
        run(tmp_path, {"SchNet": simple()[0]}, {}, **members)


def test_configurations_of_different_molecules(tmp_path):
    model, _ = simple()
    other = TYPES.copy()
    other[3] = 0
    data = [configuration(POSITIONS, TYPES, {}), configuration(POSITIONS, other, {})]
    save(tmp_path / "m.pt", (sum_out({"SchNet": model}), data))
    with pytest.raises(ImportFailure, match="another molecule"):
        import_system(Request(str(tmp_path / "m.pt")))


def test_sparse_and_dense_tables_agree(tmp_path):
    rng = np.random.default_rng(9)
    table = {key: rng.uniform(1, 2, (6, 6)).astype(np.float32) for key in ("x_0", "k")}
    used = np.zeros((6, 6), bool)
    used[TYPES[BONDS[:, 0]], TYPES[BONDS[:, 1]]] = True
    energies = []
    for make in (Array, Sparse):
        buffers = {key: make(values * used) for key, values in table.items()}
        prior = module("mlcg.nn.prior.GeneralBonds", buffers=buffers, name="bonds", order=2)
        energies.append(evaluate(run(tmp_path, {"bonds": prior}), POSITIONS)["energy"])
    assert energies[0] == energies[1] > 0


def static(kind, **params):
    """A specialised prior: parameters of all configurations one after another."""
    buffers = {key: Array(np.asarray(values, np.float32)) for key, values in params.items()}
    return module(f"mlcg.simulation.specialize_prior.Static{kind}", buffers=buffers, param_names=list(params))


def test_specialised(tmp_path):
    k, x0 = np.arange(1.0, 9.0), np.linspace(1.5, 2.5, 8)
    expected = sum(k * (np.linalg.norm(POSITIONS[1:] - POSITIONS[:-1], axis=1) - x0) ** 2)
    for copies in (1, 3):
        prior = static("GeneralBonds", x0=np.tile(x0, copies), k=np.tile(k, copies), V0=np.zeros(8 * copies))
        energy = evaluate(run(tmp_path, {"bonds": prior}), POSITIONS)["energy"]
        assert energy == pytest.approx(expected, rel=1e-6)
    lifted = static("GeneralBonds", x0=x0, k=k, V0=np.full(8, 0.5))
    assert evaluate(run(tmp_path, {"bonds": lifted}), POSITIONS)["energy"] == pytest.approx(
        expected + 4, rel=1e-6
    )
    differing = static("GeneralBonds", x0=np.concatenate([x0, x0 + 1]), k=np.tile(k, 2), V0=np.zeros(16))
    with pytest.raises(ImportFailure, match="differ"):
        run(tmp_path, {"bonds": differing})
    with pytest.raises(ImportFailure, match="specialised for 12 terms"):
        run(tmp_path, {"bonds": static("GeneralBonds", x0=np.ones(12), k=np.ones(12), V0=np.zeros(12))})
    with pytest.raises(ImportFailure, match="StaticQuarticAngles"):
        run(tmp_path, {"angles": static("QuarticAngles", ks=np.ones(3))}, {"angles": BONDS})


def test_unused_lists_are_told(tmp_path):
    model, _ = simple()
    save(tmp_path / "m.pt", sum_out({"SchNet": model}))
    save(
        tmp_path / "c.pt", [configuration(POSITIONS, TYPES, {"bonds": BONDS}, spin=Call("builtins.set", []))]
    )
    request = Request(str(tmp_path / "m.pt"), str(tmp_path / "c.pt"))
    import_system(request)
    assert any("8 terms bonds" in note for note in request.notes)
    assert any("spin" in note for note in request.notes)

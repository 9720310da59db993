"""torchmd-net checkpoints and torchmd force fields that the tests synthesise."""

from dataclasses import fields

import numpy as np
import pytest
import yaml
from flashrex_tools.errors import ImportFailure
from flashrex_tools.importer import Request, import_system
from flashrex_tools.reference_energy import evaluate
from flashrex_tools.torchmd_prior import EMBEDDINGS, read_psf
from models import chain_positions, envelope, random_network, schnet_energy, torchmd_checkpoint
from torch_writer import Array, save

SEQUENCE = ["TYR", "ARG", "ASP", "LEU", "GLU", "ILE", "LYS"]
LETTER = dict(zip(SEQUENCE, "YRDLEIK"))
POSITIONS = chain_positions(7, 3.6)
ATOMS = ["CA" + LETTER[r] for r in SEQUENCE]


def write_psf(path, dihedrals=True, angles=0, charge=0.0):
    n = len(SEQUENCE)
    lines = ["PSF", "", "       0 !NTITLE", "", f"{n:8d} !NATOM"]
    for i, (residue, kind) in enumerate(zip(SEQUENCE, ATOMS), start=1):
        lines.append(f"{i:8d} P0 {i:4d} {residue} CA {kind} {charge:.6f} 0.0000 0")
    pairs = [x for i in range(1, n) for x in (i, i + 1)]
    quads = [x for i in range(1, n - 2) for x in range(i, i + 4)] if dihedrals else []
    for title, values, order in (("NBOND: bonds", pairs, 2), ("NPHI: dihedrals", quads, 4)):
        lines += ["", f"{len(values) // order:8d} !{title}"]
        lines += [" ".join(f"{x:9d}" for x in values[at : at + 8]) for at in range(0, len(values), 8)]
    lines += ["", f"{angles:8d} !NTHETA: angles", "", "       0 !NIMPHI: impropers", ""]
    path.write_text("\n".join(lines))
    return str(path)


def write_pdb(path, positions=POSITIONS):
    lines = [
        f"ATOM  {i:5d}  CA  {residue} A{i:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C"
        for i, (residue, (x, y, z)) in enumerate(zip(SEQUENCE, positions), start=1)
    ]
    path.write_text("\n".join([*lines, "END", ""]))
    return str(path)


def force_field():
    rng = np.random.default_rng(2)
    kinds = sorted(set(ATOMS))
    bonds = {
        f"({a}, {b})": {"k0": float(rng.uniform(50, 90)), "req": float(rng.uniform(3.7, 3.9))}
        for i, a in enumerate(kinds)
        for b in kinds[i:]
    }
    general = [{"phi_k": 0.2, "phase": -130.5, "per": 1}, {"phi_k": 0.33, "phase": -98.0, "per": 2}]
    special = [{"phi_k": 0.7, "phase": 40.0, "per": 3}]
    return {
        "atomtypes": kinds,
        "bonds": bonds,
        "dihedrals": {"(X, X, X, X)": {"terms": general}, "(CAI, X, CAL, CAD)": {"terms": special}},
        "lj": {
            k: {"epsilon": float(rng.uniform(900, 3000)), "sigma": float(rng.uniform(0.9, 1.1))}
            for k in kinds
        },
        "electrostatics": {k: {"charge": 0.0} for k in kinds},
        "masses": dict.fromkeys(kinds, 12.0),
    }


def request(tmp_path, checkpoint, field=None, **kw):
    save(tmp_path / "m.ckpt", checkpoint)
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(field or force_field()))
    given = dict(
        prior=str(tmp_path / "p.yaml"),
        topology=write_psf(tmp_path / "t.psf"),
        structures=write_pdb(tmp_path / "s.pdb"),
        embedding="majewski2023",
    )
    return Request(str(tmp_path / "m.ckpt"), **{**given, **kw})


def small(**kw):
    return torchmd_checkpoint(random_network(n_type=25, bias=True), 1.0, 9.0, **kw)[0]


@pytest.mark.parametrize("kind", ["expnorm", "gauss"])
@pytest.mark.parametrize("lower", [0.0, 3.0])
@pytest.mark.parametrize(
    "shape", [dict(), dict(n_hidden=10, n_filter=4, depth=5), dict(filter_depth=3, output=())]
)
def test_network(tmp_path, kind, lower, shape):
    net = random_network(n_type=25, bias=True, **shape)
    checkpoint, phi = torchmd_checkpoint(net, lower, 9.0, kind, std=1.7, mean=-2.5, layers_name=lower > 0)
    system = import_system(request(tmp_path, checkpoint))
    types = [EMBEDDINGS["majewski2023"][r] for r in SEQUENCE]
    filter_value = envelope("CosineCutoff", lower, 9.0)[1]
    x = system.structures[0]
    expected = 1.7 * schnet_energy(net, types, x, phi, filter_value, 9.0) - 2.5
    assert evaluate(system, x)["parts"]["SchNet"] == pytest.approx(expected, rel=1e-6)  # float32 std
    assert list(system.beads.type) == types


def torchmd_torsion(r12, r23, r34):
    """As torchmd's evaluate_torsion: vectors point backwards, and a minus in front of the arc tangent."""
    a, b = np.cross(r12, r23), np.cross(r23, r34)
    c = np.cross(r23, a)
    return -np.arctan2(c @ b / np.linalg.norm(c), a @ b / np.linalg.norm(a))


@pytest.mark.parametrize("topology", ["psf", "pdb"])
def test_force_field(tmp_path, topology):
    field = force_field()
    kw = dict(topology=None) if topology == "pdb" else {}
    system = import_system(request(tmp_path, small(), field, **kw))
    x = system.structures[0]
    parts, n = evaluate(system, x)["parts"], len(SEQUENCE)
    bonds = repulsion = dihedrals = 0.0
    for i in range(n - 1):
        a, b = ATOMS[i], ATOMS[i + 1]
        entry = field["bonds"].get(f"({a}, {b})") or field["bonds"][f"({b}, {a})"]
        bonds += entry["k0"] * (np.linalg.norm(x[i + 1] - x[i]) - entry["req"]) ** 2
    for i in range(n):
        for j in range(i + 2, n):
            p, q = field["lj"][ATOMS[i]], field["lj"][ATOMS[j]]
            b = 4 * np.sqrt(p["epsilon"] * q["epsilon"]) * ((p["sigma"] + q["sigma"]) / 2) ** 6
            repulsion += b / np.linalg.norm(x[j] - x[i]) ** 6
    for i in range(n - 3):
        phi = torchmd_torsion(x[i] - x[i + 1], x[i + 1] - x[i + 2], x[i + 2] - x[i + 3])
        special = ATOMS[i : i + 4] == ["CAD", "CAL", "CAE", "CAI"]  # reversed, with a wildcard
        key = "(CAI, X, CAL, CAD)" if special else "(X, X, X, X)"
        for term in field["dihedrals"][key]["terms"]:
            dihedrals += term["phi_k"] * (1 + np.cos(term["per"] * phi - np.radians(term["phase"])))
    assert parts["bonds"] == pytest.approx(bonds, rel=1e-12)
    assert parts["repulsion"] == pytest.approx(repulsion, rel=1e-12)
    assert parts["dihedrals"] == pytest.approx(dihedrals, rel=1e-12)


def test_specific_dihedral_is_used():
    from flashrex_tools.torchmd_prior import _look_up

    table = {"(X, X, X, X)": "any", "(CAI, X, CAL, CAD)": "special", "(CAI, CAE, CAL, X)": "other"}
    assert _look_up(table, "dihedrals", ["CAD", "CAL", "CAE", "CAI"]) in ("special", "other")
    assert _look_up(table, "dihedrals", ["CAD", "CAL", "CAR", "CAI"]) == "special"
    assert _look_up(table, "dihedrals", ["CAY"] * 4) == "any"
    with pytest.raises(ImportFailure, match="CAY"):
        _look_up({}, "bonds", ["CAY", "CAR"])


def test_embedding_must_be_given(tmp_path):
    with pytest.raises(ImportFailure, match="--embedding"):
        import_system(request(tmp_path, small(), embedding=None))
    types = {}
    for name in ("majewski2023", "torchmd-exp"):
        types[name] = list(import_system(request(tmp_path, small(), embedding=name)).beads.type)
    assert types["majewski2023"] == [4, 19, 5, 21, 6, 22, 20]
    assert types["torchmd-exp"] == [4, 18, 5, 20, 6, 21, 19]
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump({r: i for i, r in enumerate(SEQUENCE)}))
    assert list(import_system(request(tmp_path, small(), embedding=str(own))).beads.type) == list(range(7))
    own.write_text("TYR: 4\n")
    with pytest.raises(ImportFailure, match="ARG"):
        import_system(request(tmp_path, small(), embedding=str(own)))
    own.write_text("TYR: four\n")
    with pytest.raises(ImportFailure, match="number"):
        import_system(request(tmp_path, small(), embedding=str(own)))
    with pytest.raises(ImportFailure, match="no such file"):
        import_system(request(tmp_path, small(), embedding="majewski"))


ABSENT = dict.fromkeys(["cutoff_lower", "cutoff_upper", "activation"], "absent")


def test_hyperparameters_from_options(tmp_path):
    full = import_system(request(tmp_path, small()))
    bare = small(hyper=ABSENT)
    with pytest.raises(ImportFailure, match="--cutoff LOWER UPPER"):
        import_system(request(tmp_path, bare, activation="tanh"))
    with pytest.raises(ImportFailure, match="--activation"):
        import_system(request(tmp_path, bare, cutoff=(1.0, 9.0)))
    given = import_system(request(tmp_path, bare["state_dict"], cutoff=(1.0, 9.0), activation="tanh"))
    assert given.network.r_cut == full.network.r_cut and given.network.envelope == full.network.envelope
    with pytest.raises(ImportFailure, match="leave out --cutoff"):
        import_system(request(tmp_path, small(), cutoff=(0.0, 9.0)))


@pytest.mark.parametrize(
    "hyper",
    [
        dict(model="equivariant-transformer"),
        dict(output_model="EquivariantScalar"),
        dict(activation="silu"),
        dict(rbf_type="gauss"),
        dict(neighbor_embedding=True),
        dict(prior_model="Atomref"),
        dict(aggr="mean"),
        dict(reduce_op="mean"),
        dict(num_layers=7),
        dict(cutoff_upper=0.5),
        dict(cutoff_lower=-1.0),
        dict(max_num_neighbors=2),
        dict(max_num_neighbors="many"),
    ],
    ids=lambda d: "-".join(map(str, next(iter(d.items())))),
)
def test_refused_hyperparameters(tmp_path, hyper):
    with pytest.raises(ImportFailure):
        import_system(request(tmp_path, small(hyper=hyper)))


def test_refused_tensors(tmp_path):
    extra = small()
    extra["state_dict"]["model.prior_model.initial_atomref"] = Array(np.zeros(3))
    with pytest.raises(ImportFailure, match="initial_atomref"):
        import_system(request(tmp_path, extra))
    missing = small()
    del missing["state_dict"]["model.representation_model.interactions.1.lin.bias"]
    del missing["state_dict"]["model.representation_model.interactions.1.conv.lin2.weight"]
    with pytest.raises(ImportFailure, match="interactions.1.conv.lin2.weight"):
        import_system(request(tmp_path, missing))
    differing = small()
    name = "model.representation_model.interactions.0.mlp.0.weight"
    differing["state_dict"][name] = Array(differing["state_dict"][name].values + 1)
    with pytest.raises(ImportFailure, match="should be one network"):
        import_system(request(tmp_path, differing))


def change(**sections):
    return {**force_field(), **sections}


@pytest.mark.parametrize(
    "field, message",
    [
        (change(angles={"(X, X, X)": {"k0": 1}}), "angles"),
        (change(electrostatics=dict.fromkeys(set(ATOMS), {"charge": 0.5})), "charge"),
        (change(masses={}), "masses"),
        (change(lj={"CAY": {"epsilon": 1.0, "sigma": 1.0}}), "lj"),
        (change(lj=dict.fromkeys(set(ATOMS), {"epsilon": "x", "sigma": 1.0})), "epsilon"),
        (change(lj=dict.fromkeys(set(ATOMS), {"epsilon": float("nan"), "sigma": 1.0})), "epsilon"),
        (change(bonds={"(CAY, CAY)": {"k0": 1.0, "req": 1.0}}), "bonds for"),
        (change(dihedrals={"(X, X, X, X)": {"terms": [{"phi_k": 1, "phase": 0, "per": 0}]}}), "periodicity"),
        (change(dihedrals={"(X, X, X, X)": {"terms": []}}), "without terms"),
    ],
)
def test_refused_force_fields(tmp_path, field, message):
    with pytest.raises(ImportFailure, match=message):
        import_system(request(tmp_path, small(), field))


def test_refused_topologies(tmp_path):
    for kw, message in ((dict(angles=3), "NTHETA"), (dict(charge=0.5), "charge")):
        with pytest.raises(ImportFailure, match=message):
            import_system(request(tmp_path, small(), topology=write_psf(tmp_path / "bad.psf", **kw)))
    whole = (tmp_path / "t.psf").read_text()
    for end in range(0, len(whole) - 200, 37):
        (tmp_path / "cut.psf").write_text("PSF\n" + whole[4:end])
        with pytest.raises(ImportFailure):
            import_system(request(tmp_path, small(), topology=str(tmp_path / "cut.psf")))


def test_dihedrals_that_the_topology_lacks_are_told(tmp_path):
    asked = request(tmp_path, small(), topology=write_psf(tmp_path / "no.psf", dihedrals=False))
    system = import_system(asked)
    assert [t.name for t in system.priors] == ["bonds", "repulsion"]
    assert any("no dihedrals" in note for note in asked.notes)


def test_trajectories(tmp_path):
    mda = pytest.importorskip("MDAnalysis")
    frames = np.array([POSITIONS, POSITIONS + 1.0])
    universe = mda.Universe.empty(7, trajectory=True)
    for kind in ("xtc", "dcd", "trr"):
        path = tmp_path / f"frames.{kind}"
        with mda.Writer(str(path), n_atoms=7) as writer:
            for frame in frames:
                universe.atoms.positions = frame
                writer.write(universe.atoms)
        before = sorted(p.name for p in tmp_path.iterdir())
        system = import_system(request(tmp_path, small(), structures=str(path)))
        assert np.allclose(system.structures, frames, atol=0.01 if kind == "xtc" else 1e-5), kind
        after = {p.name for p in tmp_path.iterdir()} - {"m.ckpt", "p.yaml", "t.psf", "s.pdb"}
        assert after == set(before) - {
            "m.ckpt",
            "p.yaml",
            "t.psf",
            "s.pdb",
        }  # nothing is left beside the file
        (tmp_path / f"renamed_{kind}").write_bytes(path.read_bytes())
        again = import_system(request(tmp_path, small(), structures=str(tmp_path / f"renamed_{kind}")))
        assert np.array_equal(again.structures, system.structures)
        path.write_bytes(path.read_bytes()[:50])
        with pytest.raises(ImportFailure):
            import_system(request(tmp_path, small(), structures=str(path)))


def test_stretched_start(tmp_path):
    """--extended: bonds of 3.8 A, angles of 120 degrees, all in a plane; no coordinates are needed."""
    n = len(SEQUENCE)
    for structures in (None, write_pdb(tmp_path / "s.pdb")):
        x = import_system(request(tmp_path, small(), structures=structures, extended=True)).structures
        assert x.shape == (1, n, 3) and np.allclose(x.mean(axis=1), 0)
        assert np.allclose(np.linalg.norm(np.diff(x[0], axis=0), axis=1), 3.8)
        assert np.allclose(np.linalg.norm(x[0, 2:] - x[0, :-2], axis=1), 3.8 * np.sqrt(3))
        assert np.linalg.matrix_rank(x[0], tol=1e-9) == 2


def test_psf_cut_at_every_length(tmp_path):
    """Refused, unless only the end of what is not read is missing."""
    path = tmp_path / "chain.psf"
    write_psf(path)
    text, n_refused = path.read_text(), 0
    whole = read_psf(path)
    for n in range(len(text)):
        path.write_text(text[:n])
        try:
            chain = read_psf(path)
        except ImportFailure:
            n_refused += 1
            continue
        assert all(
            np.array_equal(getattr(chain, field.name), getattr(whole, field.name)) for field in fields(whole)
        )
    assert text.index("!NIMPHI") < n_refused < len(text)

"""Each prior: its parameter tables against its definition, and its forces against finite differences."""

import numpy as np
import pytest
from flashrex_tools.errors import ImportFailure
from flashrex_tools.importer import Request, import_system
from flashrex_tools.reference_energy import FEATURES, evaluate, form
from flashrex_tools.system import FEATURE_ORDER
from models import chain_positions, configuration
from torch_writer import Array, module, save, sum_out

N_TYPE = 4
TYPES = np.array([0, 3, 1, 2, 2, 1, 3, 0])
POSITIONS = chain_positions(8)
ATOMS = {n: np.array([[i + k for k in range(n)] for i in range(8 - n + 1)]) for n in (2, 3, 4)}
PI = float(np.float32(np.pi))  # as in mlcg


def table(order, *lead, seed=1):
    return np.random.default_rng(seed).uniform(0.5, 2.0, (*lead, *[N_TYPE] * order)).astype(np.float32)


def distance(x, a):
    return np.linalg.norm(x[a[1]] - x[a[0]])


def cosine(x, a):
    u, v = x[a[0]] - x[a[1]], x[a[2]] - x[a[1]]
    return u @ v / np.linalg.norm(u) / np.linalg.norm(v)


def angle(x, a):
    return np.arccos(cosine(x, a))


def torsion(x, a):
    """mlcg's compute_torsions, term by term."""
    d1, d2, d3 = (x[a[k + 1]] - x[a[k]] for k in range(3))
    d1, d2, d3 = (d / np.linalg.norm(d) for d in (d1, d2, d3))
    n1, n2 = np.cross(d1, d2), np.cross(d2, d3)
    return np.arctan2(-np.dot(np.cross(n1, d2), n2), np.dot(n1, n2))


def shifted(x, a):
    phi = torsion(x, a)
    return (phi + 2 * PI if phi < 0 else phi) - PI


def harmonic(x, t):
    return t["k"] * (x - t["x_0"]) ** 2


def quartic(x, t):
    return t["v_0"] + sum(k * x**n for n, k in enumerate(t["ks"], start=1))


def restricted(theta, t):
    c, s = np.cos(theta), np.sin(theta)
    return t["a"] * c**4 + t["b"] * c**3 + t["c"] * c**2 + t["d"] * c + t["k"] / s**2 + t["v_0"]


def fourier(x, t):
    pairs = enumerate(zip(t["k1s"], t["k2s"]), start=1)
    return t["v_0"] + sum(k1 * np.sin(n * x) + k2 * np.cos(n * x) for n, (k1, k2) in pairs)


HARMONIC = {"x_0": (), "k": ()}
CASES = {  # class: (order, tables with leading dimensions, feature, energy)
    "harmonic.HarmonicBonds": (2, HARMONIC, distance, harmonic),
    "harmonic.GeneralBonds": (2, HARMONIC, distance, harmonic),
    "harmonic.HarmonicAngles": (3, HARMONIC, cosine, harmonic),
    "harmonic.GeneralAngles": (3, HARMONIC, cosine, harmonic),
    "harmonic.HarmonicAnglesRaw": (3, HARMONIC, angle, harmonic),
    "harmonic.HarmonicImpropers": (4, HARMONIC, torsion, harmonic),
    "harmonic.ShiftedPeriodicHarmonicImpropers": (4, HARMONIC, shifted, harmonic),
    "polynomial.QuarticAngles": (3, {"ks": (4,), "v_0": ()}, cosine, quartic),
    "restricted_bending.RestrictedQuartic": (
        3,
        dict.fromkeys(["a", "b", "c", "d", "k", "v_0"], ()),
        angle,
        restricted,
    ),
    "fourier_series.Dihedral": (4, {"k1s": (3,), "k2s": (3,), "v_0": ()}, torsion, fourier),
    "repulsion.Repulsion": (2, {"sigma": ()}, distance, lambda x, t: (t["sigma"] / x) ** 6),
}


@pytest.fixture(params=sorted(CASES))
def case(request, tmp_path):
    """(System of one prior, its energy by the definition)."""
    order, leads, feature, energy = CASES[request.param]
    tables = {key: table(order, *lead, seed=i) for i, (key, lead) in enumerate(leads.items())}
    buffers = {key: Array(values) for key, values in tables.items()}
    attributes = {"n_degs": 3} if "k1s" in tables else {}
    prior = module(f"mlcg.nn.prior.{request.param}", buffers=buffers, name="term", order=order, **attributes)
    data = [configuration(POSITIONS, TYPES, {"term": ATOMS[order]})]
    save(tmp_path / "m.pt", (sum_out({"term": prior}), data))
    expected = 0.0
    for atoms in ATOMS[order]:
        at = tuple(TYPES[atoms])
        parameters = {key: tables[key][(..., *at)].astype(float) for key in tables}
        expected += energy(feature(POSITIONS, atoms), parameters)
    return import_system(Request(str(tmp_path / "m.pt"))), expected


def test_energy(case):
    system, expected = case
    assert evaluate(system, POSITIONS)["parts"]["term"] == pytest.approx(expected, rel=1e-12)


def test_forces(case):
    system, _ = case
    forces, step = evaluate(system, POSITIONS)["forces"], 1e-4
    slope = np.zeros_like(forces)
    for index in np.ndindex(*POSITIONS.shape):
        values = []
        for shift in (2, 1, -1, -2):
            moved = POSITIONS.copy()
            moved[index] += shift * step
            values.append(evaluate(system, moved)["energy"])
        slope[index] = (8 * (values[1] - values[2]) - values[0] + values[3]) / (12 * step)
    scale = np.abs(forces).max()
    assert np.abs(forces + slope).max() < 1e-7 * scale
    assert np.abs(1.001 * forces + slope).max() > 1e-4 * scale  # control: a force that is 0.1 % off shows
    assert np.abs(forces.sum(axis=0)).max() < 1e-10 * scale
    assert np.abs(np.cross(POSITIONS, forces).sum(axis=0)).max() < 1e-9 * scale


def test_torsion_sign():
    """IUPAC: looking from atom 1 to atom 2, positive when atom 3 is clockwise of atom 0."""
    a, b, c = np.array([1.0, 0, 0]), np.zeros(3), np.array([0.0, 0, -1])
    # the line of sight is -z; from there, +x turns clockwise to -y on its way to -x
    d = np.array([0.0, -1, -1])
    phi, _ = FEATURES["torsion"](*(p[None] for p in (a, b, c, d)))
    assert phi[0] == pytest.approx(np.pi / 2)


@pytest.mark.parametrize("feature", sorted(FEATURE_ORDER))
def test_features_by_differences(feature):
    rng = np.random.default_rng(4)
    points = [rng.normal(size=(5, 3)) for _ in range(FEATURE_ORDER[feature])]
    _, slopes = FEATURES[feature](*points)
    for which, axis in np.ndindex(len(points), 3):
        up, down = ([p.copy() for p in points] for _ in range(2))
        up[which][:, axis] += 1e-5
        down[which][:, axis] -= 1e-5
        change = (FEATURES[feature](*up)[0] - FEATURES[feature](*down)[0]) / 2e-5
        assert np.allclose(slopes[which][:, axis], change, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "kind, params, x, expected",
    [
        ("harmonic", [2.0, 1.5], 2.0, 0.5),
        ("polynomial", [1.0, 2.0, 3.0], 0.5, 1 + 1 + 0.75),
        ("restricted", [2.0, 1.0, 3.0], 0.5, 2 / 0.75 + 1 + 1.5),
        ("fourier", [1.0, 2.0, 3.0, 4.0, 5.0], np.pi / 2, 1 + 2 - 5),
        ("repulsion", [2.0], 1.0, 64.0),
    ],
)
def test_forms(kind, params, x, expected):
    value, slope = form(kind, np.array([params]), np.array([x]))
    up, down = (form(kind, np.array([params]), np.array([x + h]))[0] for h in (1e-6, -1e-6))
    assert value[0] == pytest.approx(expected)
    assert slope[0] == pytest.approx((up - down)[0] / 2e-6, rel=1e-7, abs=1e-7)


def test_wrong_order_of_terms(tmp_path):
    prior = module("mlcg.nn.prior.harmonic.HarmonicBonds", name="term", order=2)
    data = [configuration(POSITIONS, TYPES, {"term": ATOMS[3]})]
    save(tmp_path / "m.pt", (sum_out({"term": prior}), data))
    with pytest.raises(ImportFailure, match="another order"):
        import_system(Request(str(tmp_path / "m.pt")))

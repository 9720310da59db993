"""Small system files for tests, written with h5py as docs/formats.md says: nothing of flashrex is used."""

import h5py
import numpy as np

MASS_CARBON = 12 / 418.4


def write_system(path, structures, priors=None, network=None, known_answer=None, mass=MASS_CARBON, types=None):
    """priors: {name: (feature, form, atoms, params)}; network: as made by random_network; structures [n][n_bead][3]."""
    structures = np.asarray(structures, float)
    n_bead = structures.shape[1]
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        attributes = {"flashrex_format": "system", "generator": "tests", "family": "flashrex", "source": "tests"}
        for name, value in attributes.items():
            file.attrs[name] = value
        file.attrs["version"] = 1
        file.attrs["source_sha256"] = "0" * 64
        beads = file.create_group("beads")
        beads["type"] = np.zeros(n_bead, int) if types is None else np.asarray(types)
        beads["mass"] = np.full(n_bead, mass)
        beads["residue_index"] = np.arange(1, n_bead + 1)
        for name, value in {"name": "CA", "residue_name": "GLY", "chain": "A"}.items():
            beads.create_dataset(name, data=[value] * n_bead, dtype=text)
        file["topology/bonds"] = np.array([[i, i + 1] for i in range(n_bead - 1)], int).reshape(-1, 2)
        for name, (feature, form, atoms, params) in (priors or {}).items():
            group = file.create_group(f"priors/{name}")
            group.attrs["feature"] = feature
            group.attrs["form"] = form
            group["atoms"] = np.asarray(atoms, int)
            group["params"] = np.asarray(params, float)
        if network:
            _write_network(file.create_group("network"), network)
        file["structures/positions"] = structures
        if known_answer:
            for name, value in known_answer.items():
                file[f"known_answer/{name}"] = np.asarray(value)
    return path


def _write_network(group, network):
    for name, value in network["attributes"].items():
        group.attrs[name] = value
    for name, attributes in network["groups"].items():
        for key, value in attributes.items():
            group.require_group(name).attrs[key] = value
    for name, value in network["arrays"].items():
        group[name] = value


def random_network(seed=1, n_type=3, n_hidden=12, n_filter=8, n_basis=8, n_interaction=2, r_cut=12.0):
    """A SchNet with random weights, gaussian basis and cosine cutoff."""
    rng = np.random.default_rng(seed)

    def weight(n_out, n_in):
        return rng.normal(0, 1 / np.sqrt(n_in), (n_out, n_in))

    arrays = {
        "embedding": rng.normal(0, 1, (n_type, n_hidden)),
        "basis/center": np.linspace(0, r_cut, n_basis),
        "basis/coefficient": np.full(n_basis, 0.5 * (n_basis / r_cut) ** 2),
        "output_0/weight": weight(n_hidden, n_hidden),
        "output_0/bias": rng.normal(0, 0.1, n_hidden),
        "output_1/weight": weight(1, n_hidden),
    }
    for i in range(n_interaction):
        arrays |= {
            f"interaction_{i}/filter_0/weight": weight(n_filter, n_basis),
            f"interaction_{i}/filter_0/bias": rng.normal(0, 0.1, n_filter),
            f"interaction_{i}/filter_1/weight": weight(n_filter, n_filter),
            f"interaction_{i}/lin1/weight": weight(n_filter, n_hidden),
            f"interaction_{i}/lin2/weight": weight(n_hidden, n_filter),
            f"interaction_{i}/lin2/bias": rng.normal(0, 0.1, n_hidden),
            f"interaction_{i}/lin/weight": weight(n_hidden, n_hidden),
            f"interaction_{i}/lin/bias": rng.normal(0, 0.1, n_hidden),
        }
    return {
        "attributes": {"r_cut": r_cut, "activation": "tanh", "scale": 1.0, "shift": 0.0},
        "groups": {
            "basis": {"name": "gaussian", "transform": "linear", "alpha": 0.0, "r_shift": 0.0},
            "basis/envelope": {"kind": "identity", "r_lo": 0.0, "r_hi": r_cut},
            "envelope": {"kind": "cosine", "r_lo": 0.0, "r_hi": r_cut},
        },
        "arrays": arrays,
    }


def zigzag(n_bead, length=3.8):
    """A chain of beads `length` apart that folds back nowhere."""
    step = np.array([length * 0.8, length * 0.6, 0.0])
    positions = np.zeros((n_bead, 3))
    for i in range(1, n_bead):
        positions[i] = positions[i - 1] + step * [1, 1 if i % 2 else -1, 1]
    return positions


def harmonic_wells(path, n_bead=4, k=2.0):
    """Every bead in a well k r^2 of its own around the origin: <U> = 3/2 n_bead kB T exactly. With its known answer."""
    positions = np.array([[0.3 * (i + 1), 0.1 * i, -0.2] for i in range(n_bead)])
    energy = k * (positions**2).sum()
    known = {
        "positions": positions[None],
        "energy": [energy],
        "forces": -2 * k * positions[None],
        "parts/wells": [energy],
    }
    atoms = np.arange(n_bead)[:, None]
    wells = ("radius_squared", "polynomial", atoms, np.tile([0.0, k], (n_bead, 1)))
    return write_system(path, [positions], {"wells": wells}, known_answer=known)


def chain_with_network(path, n_bead=8, seed=1, **changes):
    """A chain of beads with bonds, repulsion and a random SchNet; two starting structures."""
    bonds = [[i, i + 1] for i in range(n_bead - 1)]
    pairs = [[i, j] for i in range(n_bead) for j in range(i + 2, n_bead)]
    priors = {
        "bonds": ("distance", "harmonic", bonds, np.tile([50.0, 3.8], (len(bonds), 1))),
        "repulsion": ("distance", "repulsion", pairs, np.full((len(pairs), 1), 3.5)),
    }
    start = zigzag(n_bead)
    bent = start + np.random.default_rng(seed).normal(0, 0.1, start.shape)
    types = np.arange(n_bead) % 3
    arguments = {"priors": priors, "network": random_network(seed), "types": types} | changes
    return write_system(path, [start, bent], **arguments)

"""mlcg's priors: parameter tables over bead types, or specialised ("Static") lists, to explicit terms.

Every class is one line of PRIORS; the tables of each form follow.
"""

import numpy as np

from .errors import ImportFailure
from .system import FEATURE_ORDER, Term

# class: (feature, form)
PRIORS = {
    "HarmonicBonds": ("distance", "harmonic"),
    "GeneralBonds": ("distance", "harmonic"),
    "HarmonicAngles": ("angle_cos", "harmonic"),
    "GeneralAngles": ("angle_cos", "harmonic"),
    "HarmonicAnglesRaw": ("angle", "harmonic"),
    "HarmonicImpropers": ("torsion", "harmonic"),
    "ShiftedPeriodicHarmonicImpropers": ("torsion_shifted", "harmonic"),
    "QuarticAngles": ("angle_cos", "polynomial"),
    "RestrictedQuartic": ("angle_cos", "restricted"),
    "Dihedral": ("torsion", "fourier"),
    "Repulsion": ("distance", "repulsion"),
}

# The tables of each form in a type-table prior; the ones in _SERIES have one more, leading dimension.
_TABLES = {
    "harmonic": ["x_0", "k"],
    "polynomial": ["ks", "v_0"],
    "restricted": ["a", "b", "c", "d", "k", "v_0"],
    "fourier": ["k1s", "k2s", "v_0"],
    "repulsion": ["sigma"],
}
_SERIES = {"ks", "k1s", "k2s"}

# The same in a specialised prior, where every tensor has one row per term.
_STATIC = {"harmonic": ["x0", "k", "V0"], "fourier": ["k1s", "k2s", "v_0"]}

_ATTRIBUTES = [
    "name",
    "order",
    "allowed_interaction_keys",
    "n_degs",
    "k_names",
    "k1_names",
    "k2_names",
    "param_names",
    "_neighbor_list_name",
]


def check_prior(module):
    """(class without "Static", whether it is specialised) of a prior that is understood."""
    static = module.kind.startswith("Static")
    kind = module.kind[len("Static") :] if static else module.kind
    if kind not in PRIORS or (static and PRIORS[kind][1] not in _STATIC):
        raise ImportFailure(
            f"{module.path} is {module.name}, neither a SchNet nor a prior that is understood"
        )
    return kind, static


def read_prior(name, module, atoms, types):
    """The Term of one prior.

    name: its name in all output; module: its Module; atoms: int [n_term][order], the beads of its terms;
    types: bead types [n_bead]. Parameters are looked up for these terms only.
    """
    kind, static = check_prior(module)
    feature, form = PRIORS[kind]
    if atoms.ndim != 2 or atoms.shape[1] != FEATURE_ORDER[feature]:
        raise ImportFailure(
            f"prior {name} ({kind}) has terms of {atoms.shape[1:]} beads, {feature} is of another order"
        )
    if atoms.size and (atoms.min() < 0 or atoms.max() >= len(types)):
        raise ImportFailure(f"prior {name} names bead {int(atoms.max())} of {len(types)}")
    tables = (_STATIC if static else _TABLES)[form]
    module.accept(tensors=tables, attributes=_ATTRIBUTES)
    if static:
        values = {table: _static_rows(name, module.array(table), len(atoms)) for table in tables}
    else:
        values = {table: _look_up(name, module, table, types[atoms].T) for table in tables}
    form, params = _parameters(name, form, values)
    return Term(name, feature, form, atoms.astype(np.int64), params)


def _look_up(name, module, table, index):
    """Rows [n_term] (or [n_term][n_degree]) of a table at the type tuples `index` [order][n_term]."""
    tensor = module.tensor(table)
    try:
        if table not in _SERIES:
            return tensor.gather(index).astype(np.float64)
        degrees = tensor.shape[0] if tensor.shape else 0
        rows = [tensor.gather(np.vstack([np.full(index.shape[1], n), index])) for n in range(degrees)]
        return np.array(rows, np.float64).reshape(degrees, index.shape[1]).T
    except ImportFailure as failure:
        raise ImportFailure(f"prior {name}, table {table}: {failure}") from None


def _static_rows(name, values, n_term):
    """The rows of the first configuration: specialised priors list those of all configurations in turn."""
    if n_term == 0 or len(values) == 0 or len(values) % n_term:
        raise ImportFailure(
            f"prior {name} is specialised for {len(values)} terms, the configurations have {n_term}; "
            "give the configurations that were saved with it"
        )
    first = values[:n_term]
    if not all(np.array_equal(first, values[at : at + n_term]) for at in range(n_term, len(values), n_term)):
        raise ImportFailure(f"prior {name} is specialised for configurations that differ in their parameters")
    return first


def _parameters(name, form, values):
    """(form, params [n_term][n_param]) from the named columns."""
    if form == "repulsion":
        return form, values["sigma"][:, None]
    if form == "harmonic":
        k, x0 = values["k"], values.get("x_0", values.get("x0"))
        v0 = values.get("V0", np.zeros_like(k))
        if np.any(v0 != 0):  # a constant makes it a polynomial
            return "polynomial", np.column_stack([v0 + k * x0**2, -2 * k * x0, k])
        return form, np.column_stack([k, x0])
    if form == "polynomial":
        return form, np.column_stack([values["v_0"], values["ks"]])
    if form == "restricted":
        return form, np.column_stack([values[c] for c in ("k", "v_0", "d", "c", "b", "a")])
    v0, k1, k2 = values["v_0"], values["k1s"], values["k2s"]
    if v0.ndim == 2:  # specialised: padded with zeros to the number of harmonics
        if np.any(v0[:, 1:] != 0):
            raise ImportFailure(f"prior {name}: v_0 has more than one value per term")
        v0 = v0[:, 0]
    if k1.shape != k2.shape or k1.ndim != 2:
        raise ImportFailure(f"prior {name}: k1s {k1.shape} and k2s {k2.shape} do not fit together")
    return form, np.column_stack([v0, np.stack([k1, k2], axis=2).reshape(len(v0), 2 * k1.shape[1])])


def count_without_parameters(term):
    """Terms whose parameters are all zero: the prior knows nothing about their bead types."""
    strength = {"harmonic": slice(0, 1), "repulsion": slice(0, 1)}.get(term.form, slice(None))
    return int(np.sum(np.all(term.params[:, strength] == 0, axis=1)))

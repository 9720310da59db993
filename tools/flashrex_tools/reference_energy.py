"""Energy and analytic forces of a System in plain numpy, double precision.

Written from the equations of docs/formats.md alone and sharing nothing with the C engines: it gives the known
answer that every system file carries. Slow (about a second for 270 beads) and meant to be.
"""

import numpy as np

PI_SINGLE = float(np.float32(np.pi))  # mlcg shifts torsions by pi in single precision
STRAIGHT_SINE = 0.05  # torsions are faded out where an angle is straighter than this


def evaluate(system, positions):
    """Energies and forces of one structure `positions` [n_bead][3], Angstrom.

    Returns a dictionary: positions, energy (kcal/mol), forces [n_bead][3] (kcal/mol/A), parts {term: energy}.
    """
    x = np.asarray(positions, np.float64)
    parts, gradient = {}, np.zeros_like(x)
    if system.network is not None:
        parts["SchNet"] = _network(system.network, system.beads.type, x, gradient)
    for term in system.priors:
        parts[term.name] = _prior(term, x, gradient)
    return {"positions": x, "energy": sum(parts.values()), "forces": -gradient, "parts": parts}


def neighbour_counts(positions, r_cut):
    """Neighbours of each bead nearer than r_cut [n_bead]."""
    i, j, _, _ = _pairs(np.asarray(positions, np.float64), r_cut)
    return np.bincount(np.concatenate([i, j]), minlength=len(positions))


# The network


def _pairs(x, r_cut):
    """All pairs i < j with r < r_cut, their vectors x_j - x_i and distances."""
    found = []
    for i in range(len(x) - 1):
        vector = x[i + 1 :] - x[i]
        r = np.sqrt(np.einsum("jk,jk->j", vector, vector))
        near = np.nonzero(r < r_cut)[0]
        found.append((np.full(near.size, i), near + i + 1, vector[near], r[near]))
    if not found:
        return np.zeros(0, int), np.zeros(0, int), np.zeros((0, 3)), np.zeros(0)
    return tuple(np.concatenate(column) for column in zip(*found))


def envelope(env, r):
    """Cutoff function and its derivative at distances r."""
    inside = r < env.r_hi
    if env.kind == "identity":
        return inside.astype(float), np.zeros_like(r)
    if env.kind == "shifted_cosine":
        width = env.r_hi - env.r_lo
        angle = np.pi * (r - env.r_lo) / width
        ramp = inside & (r >= env.r_lo)
        value = np.where(ramp, 0.5 * (1 + np.cos(angle)), inside.astype(float))
        return value, np.where(ramp, -0.5 * np.pi / width * np.sin(angle), 0.0)
    if env.kind != "cosine":
        raise ValueError(env.kind)
    if env.r_lo > 0:
        inside = inside & (r > env.r_lo)
        rate = 2 * np.pi / (env.r_hi - env.r_lo)
        angle = np.pi + rate * (r - env.r_lo)
    else:
        rate = np.pi / env.r_hi
        angle = rate * r
    return inside * 0.5 * (1 + np.cos(angle)), inside * -0.5 * rate * np.sin(angle)


def _basis(basis, r):
    """Basis functions and derivatives [n_pair][n_basis]."""
    if basis.transform == "exponential":
        t = np.exp(basis.alpha * (basis.r_shift - r))
        dt = -basis.alpha * t
    else:
        t, dt = r, np.ones_like(r)
    c, dc = envelope(basis.envelope, r)
    u = t[:, None] - basis.center
    g = np.exp(-basis.coefficient * u**2)
    dg = -2 * basis.coefficient * u * g * dt[:, None]
    return c[:, None] * g, dc[:, None] * g + c[:, None] * dg


def _affine(linear, y):
    out = y @ linear.weight.T
    return out if linear.bias is None else out + linear.bias


def _filter(block, cutoff, r, phi, dphi):
    """W(r) and dW/dr [n_pair][n_filter]: the filter network carried together with its derivative."""
    y, dy = phi, dphi
    for k, linear in enumerate(block.filter):
        if k:
            y = np.tanh(y)
            dy = (1 - y**2) * dy
        y, dy = _affine(linear, y), dy @ linear.weight.T
    c, dc = envelope(cutoff, r)
    return c[:, None] * y, dc[:, None] * y + c[:, None] * dy


def _gather(i, j, w, h, n):
    """m_i = sum_j w_ij h_j over both directions of every pair."""
    target, source = np.concatenate([i, j]), np.concatenate([j, i])
    order = np.argsort(target, kind="stable")
    pair = np.concatenate([np.arange(i.size)] * 2)[order]
    m = np.zeros((n, w.shape[1]))
    if target.size:
        target = target[order]
        start = np.concatenate([[0], np.nonzero(np.diff(target))[0] + 1])
        m[target[start]] = np.add.reduceat(w[pair] * h[source[order]], start, axis=0)
    return m


def _network(net, types, x, gradient):
    n = len(x)
    i, j, vector, r = _pairs(x, net.r_cut)
    phi, dphi = _basis(net.basis, r)
    features = net.embedding[types].astype(np.float64)
    saved = []
    for block in net.interactions:
        w, dw = _filter(block, net.envelope, r, phi, dphi)
        h = features @ block.lin1.weight.T
        s = np.tanh(_affine(block.lin2, _gather(i, j, w, h, n)))
        saved.append((block, w, dw, h, s))
        features = features + _affine(block.lin, s)

    hidden, y = [], features
    for k, linear in enumerate(net.output):
        if k:
            y = np.tanh(y)
            hidden.append(y)
        y = _affine(linear, y)
    energy = net.scale * y.sum() + net.shift

    g = np.full((n, 1), net.scale)  # dE/dy, then backwards through every layer
    for k in reversed(range(len(net.output))):
        g = g @ net.output[k].weight
        if k:
            g = g * (1 - hidden[k - 1] ** 2)
    de_dr = np.zeros_like(r)
    for block, w, dw, h, s in reversed(saved):
        gm = ((g @ block.lin.weight) * (1 - s**2)) @ block.lin2.weight
        de_dr += np.einsum("pc,pc->p", dw, gm[i] * h[j] + gm[j] * h[i])
        g = g + _gather(i, j, w, gm, n) @ block.lin1.weight
    pull = (de_dr / r)[:, None] * vector
    np.add.at(gradient, j, pull)
    np.add.at(gradient, i, -pull)
    return energy


# Priors


def _prior(term, x, gradient):
    atoms = [x[a] for a in term.atoms.T]
    value, slopes = FEATURES[term.feature](*atoms)
    energy, slope = form(term.form, term.params, value)
    slopes = [slope[:, None] * s for s in slopes]
    if len(atoms) == 4:
        energy, slopes = _fade(term, atoms, energy, slopes)
    for a, s in zip(term.atoms.T, slopes):
        np.add.at(gradient, a, s)
    return float(energy.sum())


def _dot(a, b):
    return np.einsum("nk,nk->n", a, b)


def _distance(a, b):
    d = b - a
    r = np.sqrt(_dot(d, d))
    unit = d / r[:, None]
    return r, (-unit, unit)


def _angle_cos(a, b, c):
    ra, ua = _distance(b, a)
    rc, uc = _distance(b, c)
    ua, uc = ua[1], uc[1]
    cos = _dot(ua, uc)
    da = (uc - cos[:, None] * ua) / ra[:, None]
    dc = (ua - cos[:, None] * uc) / rc[:, None]
    return cos, (da, -da - dc, dc)


def _angle(a, b, c):
    cos, slopes = _angle_cos(a, b, c)
    cross = np.cross(a - b, c - b)
    sine_length = np.sqrt(_dot(cross, cross))
    theta = np.arctan2(sine_length, _dot(a - b, c - b))
    factor = -1.0 / np.sin(theta)[:, None]
    return theta, tuple(factor * s for s in slopes)


def _torsion(a, b, c, d):
    b1, b2, b3 = b - a, c - b, d - c
    n1, n2 = np.cross(b1, b2), np.cross(b2, b3)
    length = np.sqrt(_dot(b2, b2))
    phi = np.arctan2(length * _dot(b1, n2), _dot(n1, n2))
    da = -(length / _dot(n1, n1))[:, None] * n1
    dd = (length / _dot(n2, n2))[:, None] * n2
    p = (_dot(b1, b2) / length**2)[:, None]
    q = (_dot(b3, b2) / length**2)[:, None]
    db = -(1 + p) * da + q * dd
    return phi, (da, db, -da - db - dd, dd)


def _torsion_shifted(a, b, c, d):
    phi, slopes = _torsion(a, b, c, d)
    return np.where(phi < 0, phi + 2 * PI_SINGLE, phi) - PI_SINGLE, slopes


def _fade(term, atoms, energy, slopes):
    """Torsions are faded out where three of their beads are nearly on a line (docs/formats.md)."""
    level = term.params[:, 0] if term.form == "fourier" else np.zeros(len(energy))
    factor, extra = np.ones(len(energy)), [np.zeros((len(energy), 3)) for _ in range(4)]
    for first in (0, 1):
        cos, dcos = _angle_cos(*atoms[first : first + 3])
        u = (1 - cos**2) / STRAIGHT_SINE**2
        near = u < 1
        s = np.where(near, u**2 * (3 - 2 * u), 1.0)
        ds = np.where(near, 6 * u * (1 - u) * -2 * cos / STRAIGHT_SINE**2, 0.0)
        extra = [s[:, None] * e for e in extra]
        for k in range(3):
            extra[first + k] = extra[first + k] + (factor * ds)[:, None] * dcos[k]
        factor = factor * s
    faded = np.where(factor == 1, energy, level + factor * (energy - level))
    return faded, [factor[:, None] * a + (energy - level)[:, None] * e for a, e in zip(slopes, extra)]


def _radius_squared(a):
    return _dot(a, a), (2 * a,)


FEATURES = {
    "distance": _distance,
    "angle_cos": _angle_cos,
    "angle": _angle,
    "torsion": _torsion,
    "torsion_shifted": _torsion_shifted,
    "radius_squared": _radius_squared,
}


def form(kind, params, x):
    """V(x) and dV/dx [n_term] of one form with its parameters [n_term][n_param]."""
    p = np.asarray(params, np.float64).T
    if kind == "harmonic":
        return p[0] * (x - p[1]) ** 2, 2 * p[0] * (x - p[1])
    if kind == "repulsion":
        v = (p[0] / x) ** 6
        return v, -6 * v / x
    if kind == "gaussian":
        v = -p[0] * np.exp(-((x - p[1]) ** 2) / (2 * p[2] ** 2))
        return v, -v * (x - p[1]) / p[2] ** 2
    v, slope = np.zeros_like(x), np.zeros_like(x)
    if kind == "fourier":
        v = v + p[0]
        for m in range(1, (len(p) - 1) // 2 + 1):
            k1, k2 = p[2 * m - 1], p[2 * m]
            v = v + k1 * np.sin(m * x) + k2 * np.cos(m * x)
            slope = slope + m * (k1 * np.cos(m * x) - k2 * np.sin(m * x))
        return v, slope
    if kind == "restricted":
        v = p[0] / (1 - x**2)
        slope = 2 * p[0] * x / (1 - x**2) ** 2
        p = p[1:]
    elif kind != "polynomial":
        raise ValueError(kind)
    v = v + p[0]
    for m, k in enumerate(p[1:], start=1):
        v = v + k * x**m
        slope = slope + m * k * x ** (m - 1)
    return v, slope

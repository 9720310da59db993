"""Run directories made of arrays, in the layout of docs/formats.md, and a toy whose replica exchange is exact."""

import h5py
import numpy as np

BOLTZMANN = 0.0019872  # kcal/mol/K
SEQUENCE = ["TYR", "TYR", "ASP", "PRO", "GLU", "THR", "GLY", "THR", "TRP", "TYR"]


def write_run(folder, temperatures, energy, replica=None, positions=None, n_ladder=1, exchanges=None,
              adapting=None, committed=None, beads=10, segment="segment_0001.h5"):  # fmt: skip
    """One segment. energy, replica [n_frame][n_place]; positions [n_frame][n_place][n_bead][3]; exchanges: the
    datasets of that group by name; committed: frames that count."""
    energy = np.asarray(energy, np.float64)
    n_frame, n_place = energy.shape
    n_rung = len(temperatures)
    assert n_place == n_ladder * n_rung
    if replica is None:
        replica = np.tile(np.arange(n_place), (n_frame, 1))
    if positions is None:
        chain = 3.8 * np.arange(beads)[:, None] * [1.0, 0, 0]
        positions = np.broadcast_to(chain, (n_frame, n_place, beads, 3))
    folder.mkdir(exist_ok=True)
    n_bead = positions.shape[2]
    with h5py.File(folder / segment, "w") as file:
        file.attrs.update(flashrex_format="segment", version=1, generator="flashrex test")
        run, frames = file.create_group("run"), file.create_group("frames")
        run.attrs.update(seed=np.uint64(1), timestep=0.004, n_ladder=n_ladder, n_rung=n_rung, build="none",
                         config="dt: 0.004\nexchange_interval: 100\nsave_interval: 500\n", system="toy.h5",
                         system_sha256="0" * 64)  # fmt: skip
        run["temperature"] = np.asarray(temperatures, np.float64)
        run["beta"] = 1 / (BOLTZMANN * np.asarray(temperatures, np.float64))
        names = file.create_group("beads")
        names["residue_index"] = np.arange(1, n_bead + 1)
        names["mass"], names["type"] = np.full(n_bead, 0.03), np.zeros(n_bead, np.int32)
        for name, values in (("name", ["CA"] * n_bead), ("chain", ["A"] * n_bead),
                             ("residue_name", (SEQUENCE * (n_bead // 10 + 1))[:n_bead])):  # fmt: skip
            names.create_dataset(name, data=values, dtype=h5py.string_dtype())
        file["topology/bonds"] = np.stack([np.arange(n_bead - 1), np.arange(1, n_bead)], axis=1)
        frames["step"] = 500 * (1 + np.arange(n_frame))
        frames["time"] = 2.0 * (1 + np.arange(n_frame))
        frames["energy"], frames["identity"] = energy, np.asarray(replica, np.uint32)
        frames["position"] = np.asarray(positions, np.float32)
        frames["adapting"] = np.zeros(n_frame, np.uint8) if adapting is None else np.asarray(adapting, np.uint8)
        group = file.create_group("exchanges")
        for name, values in (exchanges or {"adapting": np.zeros(0, np.uint8)}).items():
            group[name] = values
        n_event = len(group["adapting"])
        file["committed"] = [n_frame if committed is None else committed, n_event]
    write_pdb(folder / "system.pdb", positions[0, 0] if n_frame else np.zeros((n_bead, 3)))
    return folder


def write_pdb(path, positions, first=1, names=SEQUENCE):
    """C-alpha of residues numbered from `first`."""
    lines = [
        f"ATOM  {i + 1:5d}  CA  {names[i % len(names)]} A{first + i:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00\n"
        for i, (x, y, z) in enumerate(positions)
    ]
    path.write_text("".join(lines) + "END\n")
    return path


def random_exchanges(rng, n_event, n_rung, n_ladder=1):
    """Datasets of /exchanges of replicas that wander about, as flashrex would write them."""
    n_place = n_rung * n_ladder
    identity, origin = np.empty((n_event, n_place), np.uint32), np.empty((n_event, n_place), np.int32)
    attempted = np.zeros((n_event, n_ladder, n_rung - 1), np.int32)
    accepted, now = np.zeros_like(attempted), np.arange(n_place)
    probability = rng.uniform(0.2, 0.9, attempted.shape)
    for event in range(n_event):
        identity[event] = now
        source = np.tile(np.arange(n_rung), n_ladder)
        for ladder in range(n_ladder):
            for pair in range(event % 2, n_rung - 1, 2):
                attempted[event, ladder, pair] = 1
                if rng.uniform() < probability[event, ladder, pair]:
                    accepted[event, ladder, pair] = 1
                    place = ladder * n_rung + pair
                    source[[place, place + 1]] = source[[place + 1, place]]
        origin[event] = source
        now = now[source + np.repeat(np.arange(n_ladder) * n_rung, n_rung)]
    return {
        "event": np.arange(n_event), "step": 100 * np.arange(1, n_event + 1), "identity": identity,
        "energy": np.zeros((n_event, n_place)), "from": origin, "probability": probability,
        "attempted": attempted, "accepted": accepted, "adapting": np.zeros(n_event, np.uint8),
    }  # fmt: skip


class TwoStates:
    """A chain that is folded or not: U = x + gap if unfolded, x ~ Gamma(dof/2, kT) as of harmonic degrees of freedom,
    and `ways` more ways to be unfolded."""

    def __init__(self, gap=6.0, ways=2000.0, dof=8):
        self.gap, self.ways, self.dof = gap, ways, dof

    def folded(self, beta):
        """Exact folded fraction."""
        return 1 / (1 + self.ways * np.exp(-np.asarray(beta) * self.gap))

    def draw(self, rng, beta, n):
        """Independent samples at each of beta: energy and folded, [n][n_rung]."""
        folded = rng.uniform(size=(n, len(beta))) < self.folded(beta)
        return self._vibration(rng, beta, (n, len(beta))) + self.gap * ~folded, folded

    def _vibration(self, rng, beta, shape):
        return rng.gamma(self.dof / 2, 1 / np.asarray(beta), shape)

    def exchange(self, rng, beta, n_step, copies, rate):
        """Replica exchange of `copies` independent ladders: folding tried at `rate` per step, vibrations forgotten at
        once, neighbours swapped by Metropolis. Energy, folded, replica, each [copies][n_step][n_rung]."""
        n_rung, beta = len(beta), np.asarray(beta)
        folded = rng.uniform(size=(copies, n_rung)) < self.folded(beta)
        who = np.tile(np.arange(n_rung), (copies, 1))
        out = [np.empty((copies, n_step, n_rung), kind) for kind in (np.float64, bool, np.int64)]
        for step in range(n_step):
            ratio = self.ways * np.exp(-beta * self.gap)  # of unfolded to folded
            accept = np.minimum(1, np.where(folded, ratio, 1 / ratio))
            folded ^= rng.uniform(size=folded.shape) < rate * accept
            energy = self._vibration(rng, beta, folded.shape) + self.gap * ~folded
            for array, value in zip(out, (energy, folded, who)):
                array[:, step] = value
            for k in range(step % 2, n_rung - 1, 2):
                exponent = (beta[k] - beta[k + 1]) * (energy[:, k] - energy[:, k + 1])
                swap = np.log(rng.uniform(size=copies)) < exponent
                for array in (folded, who):
                    array[:, [k, k + 1]] = np.where(swap[:, None], array[:, [k + 1, k]], array[:, [k, k + 1]])
        return out

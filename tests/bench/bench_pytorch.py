#!/usr/bin/env python3
"""Force evaluations per second of the same SchNet in plain PyTorch, on the CPU: what `flashrex bench` is compared with.

    bench_pytorch.py SYSTEM.h5 [--threads N] [--replicas N] [--compile] [--seconds S]

The network is read from a system file and evaluated as mlcg and other PyTorch codes do: filters per directed edge,
messages gathered and scattered, forces by autograd, single precision. It gets what flashrex does not: the neighbour
list for free, and no priors. Needs torch and h5py; installs nothing. Run it by hand on an idle machine.
"""

import argparse
import math
import time

import h5py
import torch


def envelope(group, r):
    kind, lo, hi = group["kind"], float(group["r_lo"]), float(group["r_hi"])
    if kind == "identity":
        return torch.ones_like(r)
    if kind == "cosine" and lo > 0:
        c = 0.5 * (1 + torch.cos(math.pi * (2 * (r - lo) / (hi - lo) + 1)))
        return c * ((r > lo) & (r < hi))
    if kind == "cosine":
        return 0.5 * (1 + torch.cos(math.pi * r / hi)) * (r < hi)
    c = 0.5 * (1 + torch.cos(math.pi * (r - lo) / (hi - lo)))
    return torch.where(r < lo, torch.ones_like(r), c) * (r < hi)


def dense(group):
    n_out, n_in = group["weight"].shape
    layer = torch.nn.Linear(n_in, n_out, bias="bias" in group)
    layer.weight.data = torch.tensor(group["weight"][:], dtype=torch.float32)
    if "bias" in group:
        layer.bias.data = torch.tensor(group["bias"][:], dtype=torch.float32)
    return layer


def mlp(group, name):
    layers = []
    while f"{name}_{len(layers) // 2}" in group:
        layers += [dense(group[f"{name}_{len(layers) // 2}"]), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])


class SchNet(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        basis = network["basis"]
        self.embedding = torch.nn.Embedding.from_pretrained(
            torch.tensor(network["embedding"][:], dtype=torch.float32)
        )
        self.register_buffer("center", torch.tensor(basis["center"][:], dtype=torch.float32))
        self.register_buffer("coefficient", torch.tensor(basis["coefficient"][:], dtype=torch.float32))
        self.exponential = basis.attrs["transform"] == "exponential"
        self.alpha, self.r_shift = float(basis.attrs["alpha"]), float(basis.attrs["r_shift"])
        self.basis_envelope = dict(basis["envelope"].attrs)
        self.envelope = dict(network["envelope"].attrs)
        self.scale, self.shift = float(network.attrs["scale"]), float(network.attrs["shift"])
        n = sum(name.startswith("interaction_") for name in network)
        groups = [network[f"interaction_{k}"] for k in range(n)]
        self.filters = torch.nn.ModuleList(mlp(g, "filter") for g in groups)
        for name in ("lin1", "lin2", "lin"):
            setattr(self, name, torch.nn.ModuleList(dense(g[name]) for g in groups))
        self.output = mlp(network, "output")
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    def forward(self, positions, types, source, target):
        r = (positions[target] - positions[source]).norm(dim=1)
        t = torch.exp(self.alpha * (self.r_shift - r)) if self.exponential else r
        phi = envelope(self.basis_envelope, r)[:, None] * torch.exp(
            -self.coefficient * (t[:, None] - self.center) ** 2
        )
        c = envelope(self.envelope, r)[:, None]
        x = self.embedding(types)
        for lin1, lin2, lin, net in zip(self.lin1, self.lin2, self.lin, self.filters):
            messages = lin1(x)[source] * (net(phi) * c)
            m = torch.zeros(len(x), messages.shape[1]).index_add(0, target, messages)
            x = x + lin(torch.tanh(lin2(m)))
        return self.scale * self.output(x).sum() + self.shift


def load(path, n_replica):
    """The network, and a batch of replicas: positions, types and directed edges."""
    with h5py.File(path) as file:
        net = SchNet(file["network"])
        one = torch.tensor(file["known_answer/positions"][0], dtype=torch.float32)
        types = torch.tensor(file["beads/type"][:], dtype=torch.long)
        cutoff = float(file["network"].attrs["r_cut"])
        answer = float(file["known_answer/parts/SchNet"][0])
    near = (torch.cdist(one, one) < cutoff) & ~torch.eye(len(one), dtype=torch.bool)
    target, source = near.nonzero(as_tuple=True)
    offset = len(one) * torch.arange(n_replica).repeat_interleave(len(target))
    batch = (
        one.repeat(n_replica, 1).requires_grad_(),
        types.repeat(n_replica),
        source.repeat(n_replica) + offset,
        target.repeat(n_replica) + offset,
    )
    # n replicas share one shift
    return net, batch, n_replica * answer - (n_replica - 1) * net.shift


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="through torch.compile")
    parser.add_argument("--seconds", type=float, default=10)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    net, batch, expected = load(args.system, args.replicas)
    model = torch.compile(net) if args.compile else net

    def evaluate():
        energy = model(*batch)
        return energy, -torch.autograd.grad(energy, batch[0])[0]

    energy, forces = evaluate()
    error = abs(energy.item() - expected)
    if error > 1e-3 * (1 + abs(expected)):
        raise SystemExit(f"energy is {energy.item()}, expected {expected}")
    for _ in range(2):
        evaluate()
    best, n = math.inf, 0
    start = time.perf_counter()
    while time.perf_counter() - start < args.seconds:
        before = time.perf_counter()
        evaluate()
        best = min(best, time.perf_counter() - before)
        n += 1
    mean = (time.perf_counter() - start) / n
    n_bead, n_edge = len(forces) // args.replicas, len(batch[2]) // args.replicas
    print(
        f"PyTorch {torch.__version__}, {args.threads} thread(s), {args.replicas} replica(s) of {n_bead} beads, "
        f"{n_edge} edges{', compiled' if args.compile else ''}: "
        f"{args.replicas / mean:.3g} force evaluations/s (best {args.replicas / best:.3g})"
    )


if __name__ == "__main__":
    main()

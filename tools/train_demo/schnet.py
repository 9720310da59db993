"""SchNet in PyTorch, in the conventions of docs/formats.md (`/network`), for a molecule of a few beads.

Every pair of beads is computed and the envelope removes those beyond the cutoff, so a batch is a dense array
[frame][pair]. Equations: Schuett et al., J. Chem. Phys. 2018, 148, 241722.
"""

import math

import torch
from torch import nn


def mlp(*widths, last_bias=True):
    """Dense layers with tanh between them, not after the last."""
    layers = []
    for k, (n_in, n_out) in enumerate(zip(widths, widths[1:])):
        last = k == len(widths) - 2
        layers.append(nn.Linear(n_in, n_out, bias=last_bias or not last))
        if not last:
            layers.append(nn.Tanh())
    return nn.Sequential(*layers)


class Interaction(nn.Module):
    """x_i + lin(tanh(lin2(sum_j W(r_ij) * lin1(x_j))))"""

    def __init__(self, n_basis, n_filter, n_hidden):
        super().__init__()
        self.filter = mlp(n_basis, n_filter, n_filter, last_bias=False)
        self.lin1 = nn.Linear(n_hidden, n_filter, bias=False)
        self.lin2 = nn.Linear(n_filter, n_hidden)
        self.lin = nn.Linear(n_hidden, n_hidden)

    def forward(self, x, i, j, basis, envelope):
        filters = self.filter(basis) * envelope[..., None]
        h = self.lin1(x)
        message = torch.zeros_like(h).index_add(1, i, filters * h[:, j]).index_add(1, j, filters * h[:, i])
        return x + self.lin(torch.tanh(self.lin2(message)))


class SchNet(nn.Module):
    """Potential energy of frames [n][bead][3] (Angstrom) of one molecule whose beads have types [bead]."""

    def __init__(self, types, n_type, n_hidden, n_filter, n_interaction, r_basis, n_basis, r_cut):
        super().__init__()
        self.register_buffer("types", torch.as_tensor(types))
        self.r_cut = r_cut
        self.register_buffer("shift", torch.zeros(()))
        center = torch.linspace(r_basis, r_cut, n_basis)
        self.register_buffer("center", center)
        self.register_buffer("coefficient", torch.full((n_basis,), 0.5 / float(center[1] - center[0]) ** 2))
        self.embedding = nn.Parameter(torch.randn(n_type, n_hidden))
        self.interactions = nn.ModuleList(
            Interaction(n_basis, n_filter, n_hidden) for _ in range(n_interaction)
        )
        self.output = mlp(n_hidden, n_hidden, 1, last_bias=False)

    def forward(self, positions):
        i, j = torch.triu_indices(len(self.types), len(self.types), 1)
        r = torch.linalg.vector_norm(positions[:, j] - positions[:, i], dim=-1)  # [frame][pair]
        envelope = torch.where(r < self.r_cut, 0.5 * (1 + torch.cos(math.pi * r / self.r_cut)), 0.0)
        basis = torch.exp(-self.coefficient * (r[..., None] - self.center) ** 2)
        x = self.embedding[self.types].expand(len(positions), -1, -1)
        for interaction in self.interactions:
            x = interaction(x, i, j, basis, envelope)
        return self.output(x).sum((1, 2)) + self.shift

    def energy_and_forces(self, positions, create_graph=False):
        positions = positions.detach().requires_grad_(True)
        energy = self(positions)
        (gradient,) = torch.autograd.grad(energy.sum(), positions, create_graph=create_graph)
        return energy, -gradient

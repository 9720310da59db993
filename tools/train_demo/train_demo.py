#!/usr/bin/env python3
"""Makes configs/demo.h5, the model that `make demo` samples (docs/demo.md).

    python tools/train_demo/train_demo.py --flashrex build/default/flashrex

1. flashrex samples the structure-based model of hairpin.py by replica exchange.
2. flashrex evaluates the native contacts' energies and forces on those frames.
3. A SchNet learns these forces (force matching), so that priors and network stand in for the
   structure-based model.
4. The last tenth of the simulated time, which the training never saw, gives the errors that are printed.
Everything is seeded. Needs PyTorch beside flashrex_tools.
"""

import argparse
import subprocess
import time
from pathlib import Path

import h5py
import hairpin
import torch
from flashrex_tools.reference_energy import evaluate
from flashrex_tools.run_directory import read_run
from flashrex_tools.system import Basis, Envelope, Interaction, Linear, Network
from flashrex_tools.system_file import write_system
from schnet import SchNet

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
WORK = PROJECT / "build/train_demo"
N_HIDDEN, N_FILTER, N_INTERACTION = 32, 32, 2
R_BASIS, R_CUT, N_BASIS = 3.4, 10.0, 24  # Angstrom
N_STEP, N_BATCH, LEARNING_RATE = 4000, 128, 3e-3
SEED = 20250714


def write(path, system, frame):
    system.validate()
    write_system(path, system, evaluate(system, frame), "flashrex train_demo")


def sample(flashrex):
    """Frames [frame][temperature][bead][3] of the structure-based model, without the first tenth."""
    system = hairpin.system([*hairpin.priors(), hairpin.contacts()])
    write(WORK / "structure_based.h5", system, hairpin.NATIVE)
    subprocess.run([flashrex, "run", HERE / "sample.yaml", "--overwrite"], check=True)
    positions = read_run(WORK / "run").positions
    return positions[len(positions) // 10 :]


def label(flashrex, frames):
    """Energies [n] and forces [n][bead][3] of the native contacts on frames [n][bead][3]."""
    write(WORK / "contacts.h5", hairpin.system([hairpin.contacts()]), hairpin.NATIVE)
    with h5py.File(WORK / "frames.h5", "w") as file:
        file["positions"] = frames
    labels = WORK / "labels.h5"
    labels.unlink(missing_ok=True)
    command = [flashrex, "energy", WORK / "contacts.h5", "--frames", WORK / "frames.h5", "-o", labels]
    subprocess.run([*command, "--precision", "double"], check=True, stdout=subprocess.DEVNULL)
    with h5py.File(labels) as file:
        return file["energy"][:], file["forces"][:]


def fit(positions, forces):
    """A SchNet whose forces match."""
    torch.manual_seed(SEED)
    types = [hairpin.RESIDUES.index(name) for name in hairpin.SEQUENCE]
    net = SchNet(types, len(hairpin.RESIDUES), N_HIDDEN, N_FILTER, N_INTERACTION, R_BASIS, N_BASIS, R_CUT)
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, N_STEP)
    start = time.monotonic()
    for step in range(1, N_STEP + 1):
        batch = torch.randint(len(positions), (N_BATCH,))
        _, predicted = net.energy_and_forces(positions[batch], create_graph=True)
        loss = torch.mean((predicted - forces[batch]) ** 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 500 == 0:
            elapsed = time.monotonic() - start
            print(f"step {step}: force error {loss.item() ** 0.5:.4f} kcal/mol/A, {elapsed:.0f} s")
    return net


def network_of(net):
    """The trained network as flashrex_tools writes it."""

    def linear(layer):
        bias = None if layer.bias is None else layer.bias.detach().double().numpy()
        return Linear(layer.weight.detach().double().numpy(), bias)

    def layers(sequence):
        return [linear(layer) for layer in sequence if isinstance(layer, torch.nn.Linear)]

    basis = Basis(
        "gaussian", "linear", 0.0, 0.0, net.center.double().numpy(), net.coefficient.double().numpy(),
        Envelope("identity", 0.0, R_CUT),
    )  # fmt: skip
    interactions = [
        Interaction(layers(block.filter), linear(block.lin1), linear(block.lin2), linear(block.lin))
        for block in net.interactions
    ]
    return Network(
        R_CUT, net.embedding.detach().double().numpy(), basis, Envelope("cosine", 0.0, R_CUT), interactions,
        layers(net.output), shift=float(net.shift),
    )  # fmt: skip


def test(net, positions, energies, forces):
    """Errors on frames that were not trained on; sets the zero of energy, which forces leave open."""
    predicted, predicted_forces = (a.detach() for a in net.energy_and_forces(positions))
    net.shift += torch.mean(energies - predicted)
    error = torch.sqrt(torch.mean((predicted + net.shift - energies) ** 2))
    force_error = torch.linalg.norm(predicted_forces - forces) / torch.linalg.norm(forces)
    correlation = torch.corrcoef(torch.stack([predicted, energies]))[0, 1]
    print(f"{len(positions)} frames that were not trained on, network against native contacts:")
    print(f"  forces: relative error {100 * force_error:.1f} % (root mean square)")
    print(f"  energies: error {error:.3f} kcal/mol (root mean square), correlation {correlation:.5f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--flashrex", required=True, help="the program")
    parser.add_argument("-o", "--output", type=Path, default=PROJECT / "configs/demo.h5")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # small matrices: a second thread would only wait

    frames = sample(options.flashrex)
    n_train = len(frames) * 9 // 10 * frames.shape[1]  # by time, since frames resemble those shortly before
    frames = frames.reshape(-1, hairpin.N_BEAD, 3)
    data = (frames, *label(options.flashrex, frames))
    positions, energies, forces = (torch.as_tensor(a, dtype=torch.float32) for a in data)
    print(f"training on {n_train} frames")
    net = fit(positions[:n_train], forces[:n_train])
    test(net, positions[n_train:], energies[n_train:], forces[n_train:])

    write(options.output, hairpin.system(hairpin.priors(), network_of(net)), frames[-1])
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()

"""Physical validation of whole runs (Merz and Shirts, PLoS ONE 13, e0202764 (2018), PyPI package physical_validation).

- The kinetic energy has the mean and the width of its temperature.
- The potential energies of neighbouring rungs have the ratio of Boltzmann factors.
- Averages of replica exchange are those of the same temperatures without exchange.
|z| < 3 for the demo model and for the trained C-alpha chignolin of the reference data; a program whose exchange does
not rescale velocities, or divides where it should multiply, fails. FRX_LONG=10 makes all runs ten times longer.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

timeseries = pytest.importorskip("pymbar").timeseries
pv = pytest.importorskip("physical_validation")

PROJECT = Path(__file__).parents[2]
BOLTZMANN = 0.0019872  # kcal/mol/K, src/core/units.h
LONG = int(os.environ.get("FRX_LONG", 1))
UNITS = pv.data.UnitData(
    BOLTZMANN, 4.184, 0.1, 1e-3, 1.0, 1.0, 1.0, "kcal/mol", "A", "A^3", "K", "bar", "ps"
)  # to physical_validation's kJ/mol, nm, nm^3, K, bar, ps

DEMO = "ladder: {t_min: 300, t_max: 640, n_rungs: 6}\nstart: 1\n"
CHIGNOLIN = "ladder: {t_min: 420, t_max: 500, n_rungs: 3}\n"  # unfolded: what folds is sampled in docs/chignolin.md


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """sample(system, config, n_step, ..): (T, U, K, n_bead) after a tenth; equal runs are made once."""
    program = os.environ.get("FRX_PROGRAM")
    if not program:
        pytest.skip("flashrex is not built")
    folder, done = tmp_path_factory.mktemp("runs"), {}

    def run(system, config, n_step, defect=None, exchange_interval=50, save_interval=50):
        key = (config, n_step, defect, exchange_interval, save_interval)
        if key not in done:
            name = f"run{len(done)}"
            (folder / f"{name}.yaml").write_text(
                f"system: {system}\noutput: {name}\n{config}dt: 0.002\nsave_interval: {save_interval}\n"
                f"exchange_interval: {exchange_interval}\nn_timesteps: {LONG * n_step}\n"
            )
            broken = Path(os.environ["FRX_BUILD_DIR"]) / "tests/validation/flashrex_broken"
            command = [program if defect is None else broken, "run", f"{name}.yaml", "--progress", "quiet"]
            env = os.environ | ({} if defect is None else {"FRX_TEST_DEFECT": defect})
            subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True, timeout=900 * LONG)
            done[key] = read(folder / name)
            shutil.rmtree(folder / name)
        return done[key]

    return run


def read(folder):
    with h5py.File(folder / "segment_0001.h5") as file:
        n = int(file["committed"][0])
        frames = slice(n // 10, n)
        energies = [file[f"frames/{name}"][frames] for name in ("energy", "kinetic_energy")]
        return file["run/temperature"][:], *energies, len(file["beads/mass"])


def simulations(temperatures, potential, kinetic, n_bead):
    """One SimulationData for each rung."""
    system = pv.data.SystemData(natoms=n_bead, nconstraints=0, ndof_reduction_tra=0, ndof_reduction_rot=0)
    for t, u, k in zip(temperatures, potential.T, kinetic.T):
        ensemble = pv.data.EnsembleData("NVT", natoms=n_bead, volume=1.0, temperature=t)
        observables = pv.data.ObservableData(
            kinetic_energy=k, potential_energy=u, total_energy=u + k, volume=np.ones(len(u))
        )
        yield pv.data.SimulationData(UNITS, 0.1, system, ensemble, observables)


def kinetic_z(data):
    """Deviations of mean and width of each rung's kinetic energy, in standard errors."""
    check = pv.kinetic_energy.distribution
    return np.array([check(d, verbosity=0, bootstrap_seed=1) for d in simulations(*data)])


def ensemble_z(data):
    """Deviation of the slope of log(P_k+1(U)/P_k(U)) from the exact one for each pair of rungs, in standard errors."""
    rungs = list(simulations(*data))
    return np.array([pv.ensemble.check(a, b, verbosity=0)[0] for a, b in zip(rungs, rungs[1:])])


def mean_z(one, other):
    """Difference of <U_k> of two runs in standard errors, from the statistical inefficiency of each."""
    (mean_a, error_a), (mean_b, error_b) = (mean_and_error(data[1]) for data in (one, other))
    return (mean_a - mean_b) / np.hypot(error_a, error_b)


def mean_and_error(samples):
    inefficiency = np.array([timeseries.statistical_inefficiency(rung) for rung in samples.T])
    return samples.mean(axis=0), samples.std(axis=0) * np.sqrt(inefficiency / len(samples))


def tell(name, z):
    print(f"{name}: z", np.array2string(z, precision=1, separator=", ").replace("\n", ""), file=sys.stderr)
    return np.abs(z)


def demo(sample, **kw):
    return sample(PROJECT / "configs/demo.h5", DEMO, 300_000, **kw)


def test_demo(sample):
    data = demo(sample)
    assert tell("kinetic energy", kinetic_z(data)).max() < 3
    assert tell("ensemble", ensemble_z(data)).max() < 3


@pytest.mark.parametrize("defect", ["missing", "inverted"])
def test_a_broken_rescale_is_seen(sample, defect):
    data = demo(sample, defect=defect)
    assert tell(f"{defect}, kinetic energy", kinetic_z(data)).max() > 5
    assert tell(f"{defect}, ensemble", ensemble_z(data)).max() > 3


def test_averages_are_those_without_exchange(sample):
    """From 470 K on, where the demo folds and unfolds often enough without exchange."""
    config = "ladder: {t_min: 470, t_max: 640, n_rungs: 3}\nstart: 1\n"
    alone, together = (
        sample(PROJECT / "configs/demo.h5", config, 300_000, exchange_interval=interval) for interval in (0, 50)
    )
    assert tell("with and without exchange", mean_z(together, alone)).max() < 3
    broken = demo(sample, defect="inverted")  # the same measure sees it where it is large, at the cold end
    assert tell("inverted and right", mean_z(broken, demo(sample))).max() > 4


def test_chignolin(sample, tmp_path_factory):
    reference = Path(os.environ.get("FRX_REFERENCE_DIR", "")) / "torchmd"
    if not (reference / "chignolin.ckpt").is_file():
        pytest.skip("no reference data")
    system = tmp_path_factory.mktemp("system") / "chignolin.h5"
    subprocess.run(
        [sys.executable, "-m", "flashrex_tools.cli", reference / "chignolin.ckpt",
         "--prior", reference / "ca_priors.yaml", "--topology", reference / "cln_ca_top_dih.psf",
         "--embedding", "majewski2023",
         "--structures", reference / "cln_kcenters_32clusters_coords.xtc", "-o", system],
        check=True, capture_output=True,
    )  # fmt: skip
    data = sample(system, CHIGNOLIN, 250_000, save_interval=250)
    assert tell("chignolin, kinetic energy", kinetic_z(data)).max() < 3
    assert tell("chignolin, ensemble", ensemble_z(data)).max() < 3

"""The demo model: its file is sound, the hairpin folds when cold and unfolds when hot, and it is the network
that folds it."""

import os
import shutil
import subprocess

import h5py
import numpy as np
import pytest
import yaml
from conftest import ROOT
from flashrex_tools.exchange_statistics import exchange_statistics
from flashrex_tools.native import read_native
from flashrex_tools.reference_energy import evaluate
from flashrex_tools.run_directory import read_run
from flashrex_tools.system_file import read_system

CONFIG = ROOT / "configs/demo.yaml"
SYSTEM = ROOT / "configs/demo.h5"
NATIVE, EXTENDED = 0, 1  # starting structures
NATIVE_RMSD = 2.0  # Angstrom: closer than this to the native structure counts as folded


@pytest.fixture(scope="module")
def flashrex():
    """Runs the program."""
    program = os.environ.get("FRX_PROGRAM")
    if not program:
        pytest.skip("the program is not built (FRX_PROGRAM)")

    def call(*arguments):
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr

    return call


def sample(flashrex, folder, system=SYSTEM, start=EXTENDED):
    """A tenth of the demo's run."""
    config = yaml.safe_load(CONFIG.read_text())
    length = int(float(config["n_timesteps"])) // 10
    config.update(system=str(system), output=str(folder / "run"), start=start, n_timesteps=length)
    (folder / "short.yaml").write_text(yaml.safe_dump(config))
    flashrex("run", folder / "short.yaml")
    return read_run(folder / "run")


def folded_fractions(run):
    """Per temperature, in the second half of a run."""
    native = read_native(run.directory / "system.pdb", run.beads)
    deviation = native.rmsd(run.positions[len(run.positions) // 2 :])
    return np.mean(deviation < NATIVE_RMSD, axis=0)


@pytest.fixture(scope="module")
def run(flashrex, tmp_path_factory):
    """From the stretched chain."""
    return sample(flashrex, tmp_path_factory.mktemp("extended"))


def test_files_are_small_and_checked_by_the_program(flashrex):
    assert SYSTEM.stat().st_size < 200 * 1024
    flashrex("check", CONFIG)


def test_known_answer(flashrex, tmp_path):
    with h5py.File(SYSTEM) as file:
        known = {name: file[f"known_answer/{name}"][:] for name in ("positions", "energy", "forces")}
    again = evaluate(read_system(SYSTEM), known["positions"][0])
    assert again["energy"] == pytest.approx(known["energy"][0], rel=1e-12)

    frames, energies = tmp_path / "frames.h5", tmp_path / "energies.h5"
    with h5py.File(frames, "w") as file:
        file["positions"] = known["positions"]
    flashrex("energy", SYSTEM, "--frames", frames, "-o", energies, "--precision", "double")
    with h5py.File(energies) as file:
        assert file["energy"][0] == pytest.approx(known["energy"][0], rel=1e-9)
        assert np.linalg.norm(file["forces"][0] - known["forces"][0]) < 1e-7 * np.linalg.norm(known["forces"])


# A long run has 99 % folded at 300 K and 12 % at 640 K (docs/demo.md), wherever it starts.


def test_folds_from_the_stretched_chain(run):
    folded = folded_fractions(run)
    assert folded[0] > 0.9
    assert folded[-1] < 0.3


def test_unfolds_from_the_native_structure(flashrex, tmp_path):
    folded = folded_fractions(sample(flashrex, tmp_path, start=NATIVE))
    assert folded[0] > 0.9
    assert folded[-1] < 0.3


def test_without_the_network_the_hairpin_does_not_stay_folded(flashrex, tmp_path):
    system = tmp_path / "priors_only.h5"
    shutil.copy(SYSTEM, system)
    with h5py.File(system, "r+") as file:
        file["network"].attrs["scale"] = 0.0
        del file["known_answer"]
    folded = folded_fractions(sample(flashrex, tmp_path, system, start=NATIVE))
    assert np.all(folded < 0.3)


def test_replicas_make_round_trips(run):
    """About 30 between them in 0.6 ns."""
    assert exchange_statistics(run).round_trips.sum() > 10


def test_report_agrees_with_the_summary(run, tmp_path):
    """What flashrex-report computes from the stored exchanges is what the program counted."""
    pytest.importorskip("pymbar")
    from flashrex_tools.report import analyse, page_of

    analysis = analyse(run, run.directory / "system.pdb", NATIVE_RMSD)
    rungs, exchange = run.summary["rungs"], run.summary["exchange"]
    assert [rung["acceptance_to_next"] for rung in rungs[:-1]] == pytest.approx(analysis.exchange.acceptance)
    assert [rung["up_fraction"] for rung in rungs] == pytest.approx(analysis.exchange.from_cold)
    assert [rung["visitors"] for rung in rungs] == list(analysis.exchange.visitors)
    assert exchange["round_trips"] == analysis.exchange.round_trips.sum()
    assert exchange["barrier"] == pytest.approx(analysis.exchange.barrier)
    page = page_of(analysis)
    assert len(page.pictures) == 12 and "finished" in page.html()

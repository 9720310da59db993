"""Reading a run while it goes on, with h5py, MDAnalysis and our own tools."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from run_files import rows, start, wait_for
from system_files import chain_with_network

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from flashrex_tools.run_directory import read_run  # noqa: E402

CONFIG = """
system: chain.h5
output: out
temperatures: [280, 310, 340, 380, 420]
dt: 0.002
n_timesteps: 1e9
exchange_interval: 20
save_interval: 10
checkpoint_interval: 0
precision: double
"""


def by_h5py(folder):
    with h5py.File(folder / "T_02_340.0K.h5md", "r") as file:
        position = file["particles/trajectory/position"]
        step, time, value = (position[name][...] for name in ("step", "time", "value"))
        assert 0 < len(step) <= len(time) <= len(value)  # a commit may come between two of them
        assert (step == 10 * (1 + np.arange(len(step)))).all()
        return value


def by_run_file(folder):
    with h5py.File(folder / "run.h5", "r") as file:
        assert list(file["run"].attrs) and len(file["exchanges/energy"]) == len(file["exchanges/step"])
        return file["frames/position"][:, 2]


def by_mdanalysis(folder):
    mda = pytest.importorskip("MDAnalysis")
    universe = mda.Universe(folder / "system.pdb", folder / "T_02_340.0K.h5md")
    return np.array([ts.positions.copy() for ts in universe.trajectory])


def by_tools(folder):
    return read_run(folder).positions[:, 2].astype(np.float32)


def info(folder):
    done = subprocess.run([os.environ["FRX_PROGRAM"], "info", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_info(folder):
    return int(info(folder).split("frames ")[1].split()[0].strip(",").replace(",", ""))


@pytest.mark.filterwarnings("ignore")
def test_reading_a_run_that_goes_on(tmp_path, write_config):
    chain_with_network(tmp_path / "chain.h5", n_bead=60)  # some tens of frames per second
    process = start(write_config(CONFIG), ranks=2, cwd=tmp_path)
    out, seen = tmp_path / "out", {}
    readers = [by_h5py, by_run_file, by_mdanalysis, by_tools]
    try:
        wait_for(out / "checkpoint", process)
        end = time.monotonic() + 100
        while by_info(out) == 0:
            assert time.monotonic() < end, "no frames"
        for _ in range(3):
            for reader in readers:
                before = by_info(out)
                frames = reader(out)
                assert len(frames) >= before > 0
                assert len(frames) >= len(seen.get(reader, [])), "frames have vanished"
                seen[reader] = frames
        assert process.poll() is None, "the run was over before it was read"
    finally:
        process.send_signal(signal.SIGUSR1)
        process.communicate(timeout=60)
    final = rows(out)["frames/position"][:, 2]
    for reader in readers:
        assert seen[reader].tobytes() == final[: len(seen[reader])].tobytes(), reader
    assert len({len(frames) for frames in seen.values()}) > 1, "the run did not grow while it was read"


def test_mixing_is_seen_before_the_first_checkpoint(tmp_path, write_config):
    chain_with_network(tmp_path / "chain.h5")
    config = write_config(CONFIG.replace("checkpoint_interval: 0", "checkpoint_interval: 60"))
    process = start(config, ranks=2, cwd=tmp_path)
    out, said = tmp_path / "out", r"acceptance( 0\.\d+){4} \(barrier [\d.]+\)\ntrips .* in [\d,]+ exchanges"
    try:
        wait_for(out / "checkpoint", process)
        first, end = (out / "checkpoint").read_bytes(), time.monotonic() + 60
        while not re.search(said, info(out)):
            assert time.monotonic() < end, "no mixing"
            time.sleep(0.5)
        assert process.poll() is None and (out / "checkpoint").read_bytes() == first
    finally:
        process.send_signal(signal.SIGUSR1)
        process.communicate(timeout=60)
    with h5py.File(out / "segment_0001.h5", "r") as file:
        acceptance = file["exchanges/probability"][:, 0].mean(0)
        np.testing.assert_allclose(file["mixing/acceptance"][0], acceptance, rtol=1e-12)

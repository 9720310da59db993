"""Ranks that were started with other programs, configs or systems than the rest."""

import os
import re
import shutil
import subprocess

import h5py
import pytest
from system_files import chain_with_network

CHAIN = """
system: chain.h5
output: {output}
temperatures: [280, 310, 340, 380, 420]
dt: 0.002
n_timesteps: 60
exchange_interval: 20
"""


def other_mass(folder):
    with h5py.File(folder / "chain.h5", "r+") as file:
        file["beads/mass"][0] *= 1.01


def other_seed(folder):
    with (folder / "run.yaml").open("a") as file:
        file.write("seed: 2\n")


def other_version(folder):
    program = (folder / "flashrex").read_bytes()
    version = re.search(rb"flashrex (\d+\.\d+\.\d+)\0", program)[1]
    (folder / "flashrex").write_bytes(program.replace(version + b"\0", b"9" + version[1:] + b"\0"))


@pytest.mark.parametrize(
    "change, message",
    [
        (None, None),
        (other_mass, r"the system file is not that of rank 0: 'SHA-256 \w{64}', there 'SHA-256 \w{64}'"),
        (other_seed, r"the config is not that of rank 0: 'seed: 2', there 'seed: 1'"),
        (other_version, r"flashrex is not that of rank 0: '9\.\d+\.\d+ "),
        ("seed=2", r"flashrex is not that of rank 0: 'run run.yaml seed=2', there 'run run.yaml'"),
    ],
)
def test_a_rank_with_other_input(change, message, tmp_path):
    """Ranks in folders of their own, as on nodes with their own disks: the same files are fine, others are refused."""
    words = [os.environ["FRX_MPIEXEC"]]
    for rank, name in enumerate(["a", "b", "b"]):
        folder = tmp_path / name
        if not folder.exists():
            folder.mkdir()
            chain_with_network(folder / "chain.h5")
            (folder / "run.yaml").write_text(CHAIN.format(output=tmp_path / "out"))
            shutil.copy(os.environ["FRX_PROGRAM"], folder / "flashrex")
            if name == "b" and callable(change):
                change(folder)
        more = [change] if name == "b" and isinstance(change, str) else []
        words += [":"] * (rank > 0) + ["-n", "1", "--wdir", str(folder)]
        words += [str(folder / "flashrex"), "run", "run.yaml", *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    err = result.stderr
    if message:
        assert result.returncode == 2 and err.count("flashrex: error: rank 1: ") == 1 and re.search(message, err), err
        assert not (tmp_path / "out").exists()
    else:
        assert result.returncode == 0, err

"""Bad input: a clear error, once; the right exit code; on any number of ranks; nothing lost."""

import shutil

import h5py
import numpy as np
import pytest
from system_files import chain_with_network, random_network, zigzag

CONFIG = """
system: chain.h5
output: out
temperatures: [280, 310, 340]
dt: 0.002
n_timesteps: 200
exchange_interval: 20
save_interval: 20
"""

IO, FORMAT, MODEL, DIVERGED, ARGUMENT = 4, 3, 6, 7, 2


def spoil_weights(path):
    network = random_network()
    network["arrays"]["interaction_1/lin2/weight"][3, 2] = np.nan
    chain_with_network(path, network=network)


def spoil_shape(path):
    network = random_network()
    network["arrays"]["interaction_0/lin1/weight"] = network["arrays"]["interaction_0/lin1/weight"][:, :-1]
    chain_with_network(path, network=network)


def spoil_prior_shape(path):
    chain_with_network(path)
    with h5py.File(path, "r+") as file:
        params = file["priors/bonds/params"][:-1]
        del file["priors/bonds/params"]
        file["priors/bonds/params"] = params


def spoil_types(path):
    chain_with_network(path, types=[0, 1, 2, 3, 0, 1, 2, 0])


def spoil_overlap(path):
    chain_with_network(path)
    with h5py.File(path, "r+") as file:
        file["structures/positions"][1, 4] = file["structures/positions"][1, 2] + 0.001


def spoil_coordinates(path):
    chain_with_network(path)
    with h5py.File(path, "r+") as file:
        file["structures/positions"][1, 4, 2] = np.nan


def truncate(path):
    chain_with_network(path)
    path.write_bytes(path.read_bytes()[:-3000])


def not_hdf5(path):
    path.write_text("system: chain.h5\n")


def nothing(path):
    pass


def without_network_and_priors(path):
    chain_with_network(path)
    with h5py.File(path, "r+") as file:
        del file["network"]["interaction_0"]


# name: (how the system file is made, extra arguments, exit code, words of the message)
CASES = {
    "missing file": (nothing, [], IO, ["chain.h5"]),
    "truncated file": (truncate, [], FORMAT, ["chain.h5"]),
    "not HDF5": (not_hdf5, [], FORMAT, ["chain.h5"]),
    "NaN weight": (spoil_weights, [], MODEL, ["interaction 1, lin2", "nan"]),
    "wrong shape": (spoil_shape, [], MODEL, ["interaction 0, lin1", "11", "12"]),
    "wrong number of parameters": (spoil_prior_shape, [], FORMAT, ["priors/bonds"]),
    "missing layer": (without_network_and_priors, [], FORMAT, ["interaction_0"]),
    "type outside the embedding": (spoil_types, [], MODEL, ["type"]),
    "overlapping beads": (spoil_overlap, [], MODEL, ["structure 1", "2", "4"]),
    "NaN coordinate": (spoil_coordinates, [], MODEL, ["structure 1"]),
    "unsorted temperatures": (
        chain_with_network,
        ["temperatures=[300, 290, 310]"],
        ARGUMENT,
        ["290 after 300"],
    ),
    "equal temperatures": (chain_with_network, ["temperatures=[300, 300, 310]"], ARGUMENT, ["300 after 300"]),
    "start that is not there": (chain_with_network, ["start=2"], ARGUMENT, ["structures 0 to 1"]),
    "engine that is not there": (chain_with_network, ["engine=cuda"], None, ["CUDA", "cpu"]),
    "transport that is not there": (
        chain_with_network,
        ["transport=nccl"],
        ARGUMENT,
        ["transport: nccl", "cpu"],
    ),
    "output in a folder that is not there": (chain_with_network, ["output=a/b/c"], IO, ["a/b"]),
    "output that is a file": (chain_with_network, ["output=run.yaml"], None, ["run.yaml"]),
    "diverging replica": (
        chain_with_network,
        ["dt=0.1", "temperatures=[280, 310, 90000]"],
        DIVERGED,
        ["K", "step", "bead", "try a smaller dt"],
    ),
}


def assert_one_error(result, words):
    assert result.err.count("error: ") == 1, result.err
    for word in words:
        assert word in result.err, result.err


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_bad_input(name, ranks, flashrex, tmp_path, write_config):
    make, arguments, code, words = CASES[name]
    make(tmp_path / "chain.h5")
    result = flashrex("run", write_config(CONFIG), *arguments, ranks=ranks)
    assert result.code == code if code else result.code not in (0, 1), result.err
    assert_one_error(result, words)
    if code != DIVERGED:
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("ranks", [1, 3])
def test_frames_before_a_divergence_are_kept(ranks, flashrex, tmp_path, write_config):
    """Bonds that are too stiff for the time step, hottest replica first; frames are saved at every step before."""
    chain_with_network(tmp_path / "chain.h5")
    with h5py.File(tmp_path / "chain.h5", "r+") as file:
        file["priors/bonds/params"][:, 0] = 1200.0
    result = flashrex(
        "run", write_config(CONFIG), "dt=0.004", "save_interval=1", "exchange_interval=5", ranks=ranks
    )
    assert result.code == DIVERGED
    assert_one_error(result, ["K", "step", "bead"])
    with h5py.File(tmp_path / "out" / "segment_0001.h5") as file:
        frames = file["frames/position"][:]
    assert len(frames) > 2 and np.isfinite(frames).all()
    assert '"status": "failed"' in (tmp_path / "out" / "summary.json").read_text()


@pytest.mark.parametrize("ranks", [1, 3])
def test_full_disk(ranks, flashrex, tmp_path, write_config):
    """No file may grow beyond a limit: as if the disk were full."""
    chain_with_network(tmp_path / "chain.h5")
    much = ["n_ladders=10", "save_interval=1", "n_timesteps=20000"]
    result = flashrex("run", write_config(CONFIG), *much, ranks=ranks, limit=8 << 20)
    assert result.code == IO, result.err
    assert_one_error(result, ["segment_0001.h5"])
    with h5py.File(tmp_path / "out" / "segment_0001.h5") as file:
        frames = file["frames/position"][:]
        steps = file["frames/step"][:]
    assert np.isfinite(frames).all() and (abs(frames).max((1, 2, 3)) > 1).all()
    assert list(steps) == list(range(1, len(steps) + 1))
    assert f'"frames": {len(steps)},' in (tmp_path / "out" / "summary.json").read_text()


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("output", ["a/b/c", "run.yaml", "run.yaml/c"])
def test_check_refuses_an_output_that_cannot_be_written(output, ranks, flashrex, tmp_path, write_config):
    chain_with_network(tmp_path / "chain.h5")
    result = flashrex("check", write_config(CONFIG), f"output={output}", ranks=ranks)
    assert result.code == IO
    assert_one_error(result, ["cannot write to", output.split("/c")[0]])


def move_structures(path, vector):
    chain_with_network(path)
    with h5py.File(path, "r+") as file:
        file["structures/positions"][...] += np.asarray(vector)


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_structure_far_away(ranks, flashrex, tmp_path, write_config):
    """Its PDB is written about its centre."""
    move_structures(tmp_path / "chain.h5", [-20000, 0, 3e5])
    assert flashrex("check", write_config(CONFIG), ranks=ranks).code == 0
    result = flashrex("run", write_config(CONFIG), ranks=ranks)
    assert result.code == 0, result.err
    lines = (tmp_path / "out" / "system.pdb").read_text().splitlines()
    assert lines[1].startswith("REMARK     moved by 19989.360")
    got = np.array(
        [[line[30:38], line[38:46], line[46:54]] for line in lines if line.startswith("ATOM")], float
    )
    expected = zigzag(8) - zigzag(8)[0]
    assert np.allclose(got - got[0], expected, atol=0.04)  # float32 at 3e5 A


@pytest.mark.parametrize("ranks", [1, 3])
def test_check_refuses_what_no_pdb_can_hold(ranks, flashrex, tmp_path, write_config):
    move_structures(tmp_path / "chain.h5", np.arange(8)[:, None] * [2000, 0, 0])
    for command in ("check", "run"):
        result = flashrex(command, write_config(CONFIG), ranks=ranks)
        assert result.code == MODEL
        assert_one_error(result, ["too large for a PDB"])
    assert not list((tmp_path / "out").glob("segment_*.h5"))


def test_more_ranks_than_replicas(flashrex, tmp_path, write_config):
    chain_with_network(tmp_path / "chain.h5")
    result = flashrex("run", write_config(CONFIG), ranks=4)
    assert result.code == ARGUMENT
    assert_one_error(result, ["4 ranks for 3 replicas"])
    assert not (tmp_path / "out").exists()


def test_bad_frames(flashrex, tmp_path):
    chain_with_network(tmp_path / "chain.h5")
    good = np.array([zigzag(8), zigzag(8)])
    overlapping, infinite = good.copy(), good.copy()
    overlapping[1, 3] = overlapping[1, 5]
    infinite[1, 3, 0] = np.inf
    for positions, code, words in [
        (overlapping, MODEL, "frame 1"),
        (infinite, MODEL, "frame 1"),
        (good[:, :7], ARGUMENT, "7 beads"),
        (good[0], FORMAT, "positions"),
        (good[:0], FORMAT, "positions"),
    ]:
        with h5py.File(tmp_path / "frames.h5", "w") as file:
            file["positions"] = positions
        result = flashrex("energy", "chain.h5", "--frames", "frames.h5", "-o", "e.h5")
        assert result.code == code and words in result.err, result.err
        assert not (tmp_path / "e.h5").exists()


def test_overwrite_that_fails_keeps_the_earlier_run(flashrex, tmp_path, write_config):
    chain_with_network(tmp_path / "chain.h5")
    config = write_config(CONFIG)
    flashrex("run", config).ok()
    kept = shutil.copytree(tmp_path / "out", tmp_path / "kept")
    for arguments in (["dt=5"], ["start=9"], ["system=none.h5"]):
        assert flashrex("run", config, "--overwrite", *arguments).code != 0
    for path in kept.iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def test_info_prints_no_control_characters(flashrex, tmp_path):
    """Texts of a file must not reach the terminal as commands to it."""
    chain_with_network(tmp_path / "chain.h5")
    with h5py.File(tmp_path / "chain.h5", "r+") as file:
        file.attrs["source"] = file.attrs["generator"] = "\x1b[31mred\x07"
    result = flashrex("info", "chain.h5").ok()
    assert "?[31mred?" in result.out and "\x1b" not in result.out and "\x07" not in result.out

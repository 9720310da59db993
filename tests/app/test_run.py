"""`flashrex run` from the config to the files, and what other commands say about them."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import h5py
import numpy as np
import pytest
from system_files import chain_with_network, harmonic_wells

BOLTZMANN = 0.0019872

CHAIN = """
system: chain.h5
output: out
temperatures: [280, 310, 340, 380, 420]
n_ladders: 2
dt: 0.002
n_timesteps: 600
exchange_interval: 20
save_interval: 50
"""


def segment(folder):
    """All datasets of the run's frames and exchanges, by name."""
    with h5py.File(folder / "segment_0001.h5", "r") as file:
        return {f"{g}/{name}": data[...] for g in ("frames", "exchanges") for name, data in file[g].items()}


def assert_same(a, b, names=None):
    for name in names or a:
        assert a[name].tobytes() == b[name].tobytes(), f"{name} differs"


@pytest.fixture
def chain(tmp_path, write_config):
    chain_with_network(tmp_path / "chain.h5")
    return write_config(CHAIN)


def test_frames_exchanges_and_summary(chain, flashrex, tmp_path):
    result = flashrex("run", chain).ok()
    assert result.err == ""
    data = segment(tmp_path / "out")
    assert list(data["frames/step"]) == list(range(50, 601, 50))
    assert data["frames/position"].shape == (12, 10, 8, 3)
    assert list(data["exchanges/step"]) == list(range(20, 601, 20))
    assert list(data["exchanges/event"]) == list(range(30))
    for identity in (data["frames/identity"], data["exchanges/identity"]):
        assert (np.sort(identity[:, :5]) == np.arange(5)).all() and (np.sort(identity[:, 5:]) == np.arange(5, 10)).all()
    # where a frame and an exchange fall on the same step, they see the same configurations
    both = data["frames/step"] % 20 == 0
    rows = data["frames/step"][both] // 20 - 1
    np.testing.assert_array_equal(data["frames/identity"][both], data["exchanges/identity"][rows])
    np.testing.assert_array_equal(data["frames/energy"][both], data["exchanges/energy"][rows])

    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["status"] == "finished" and summary["steps"] == 600 and summary["frames"] == 12
    assert [r["temperature"] for r in summary["rungs"]] == [280, 310, 340, 380, 420]
    assert summary["exchange"]["events"] == 30
    share = summary["time_share"]
    assert all(0 <= share[name] <= 1 for name in share) and min(share["steps"], share["exchange"], share["output"]) > 0
    assert abs(share["steps"] + share["exchange"] + share["output"] + share["other"] - 1) < 1e-9
    assert 0 <= share["exchange_waiting"] <= share["exchange"]
    assert re.search(r"^time: steps [0-9.]+ %, exchange [0-9.]+ %, output [0-9.]+ %$", result.out, re.MULTILINE)
    energy = data["exchanges/energy"].reshape(-1, 5)
    np.testing.assert_allclose([r["energy_mean"] for r in summary["rungs"]], energy.mean(0), rtol=1e-12)
    np.testing.assert_allclose([r["energy_sd"] for r in summary["rungs"]], energy.std(0, ddof=1), rtol=1e-9)
    acceptance = data["exchanges/probability"].mean((0, 1))
    np.testing.assert_allclose([r["acceptance_to_next"] for r in summary["rungs"][:-1]], acceptance, rtol=1e-12)

    assert "frames     12, steps 50 to 600" in flashrex("info", "out").ok().out
    assert "n_ladders: 2" in flashrex("info", "out").ok().out


def test_same_results_on_any_number_of_ranks_with_either_move_and_any_number_of_threads(chain, flashrex, tmp_path):
    flashrex("run", chain).ok()
    expected = segment(tmp_path / "out")
    assert len(np.unique(expected["frames/position"])) > 100
    assert (expected["exchanges/accepted"] > 0).any()
    for ranks in (1, 2, 3, 4):
        for move in ("configurations", "temperatures"):
            name = f"out-{ranks}-{move}"
            flashrex("run", chain, f"output={name}", f"move={move}", ranks=ranks).ok()
            assert_same(expected, segment(tmp_path / name))
    flashrex("run", chain, "output=out-mpi", "transport=mpi", "share_gpus=yes", ranks=2).ok()
    assert_same(expected, segment(tmp_path / "out-mpi"))
    flashrex("run", chain, "output=out-threads", "n_threads=3").ok()
    assert_same(expected, segment(tmp_path / "out-threads"))
    flashrex("run", chain, "output=out-seed", "seed=2").ok()
    assert segment(tmp_path / "out-seed")["frames/position"].tobytes() != expected["frames/position"].tobytes()


@pytest.mark.parametrize("scheme", ["stochastic-even-odd", "gibbs"])
def test_other_schemes_on_several_ranks(scheme, chain, flashrex, tmp_path):
    flashrex("run", chain, f"exchange_scheme={scheme}").ok()
    flashrex("run", chain, f"exchange_scheme={scheme}", "output=three", ranks=3).ok()
    assert_same(segment(tmp_path / "out"), segment(tmp_path / "three"))


def test_output_settings_do_not_change_the_trajectory(chain, flashrex, tmp_path):
    flashrex("run", chain).ok()
    flashrex("run", chain, "output=rare", "save_interval=300").ok()
    flashrex("run", chain, "output=odd", "save_interval=75", "log_interval=7", "--progress", "lines").ok()
    flashrex("run", chain, "output=never", "save_interval=0").ok()
    often, rare, odd, never = (segment(tmp_path / name) for name in ("out", "rare", "odd", "never"))
    exchanges = [name for name in often if name.startswith("exchanges/")]
    for other in (rare, odd, never):
        assert_same(often, other, exchanges)
    assert list(rare["frames/step"]) == [300, 600] and len(never["frames/step"]) == 0
    for other in (rare, odd):
        for name in ("position", "energy", "identity"):
            last = [data[f"frames/{name}"][data["frames/step"] == 600] for data in (often, other)]
            assert last[0].tobytes() == last[1].tobytes()


def test_saved_energy_is_that_of_the_saved_frame(chain, flashrex, tmp_path):
    flashrex("run", chain).ok()
    data = segment(tmp_path / "out")
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["positions"] = data["frames/position"].reshape(-1, 8, 3).astype(float)
    flashrex("energy", "chain.h5", "--frames", "frames.h5", "-o", "energies.h5").ok()
    with h5py.File(tmp_path / "energies.h5", "r") as file:
        energy = file["energy"][:]
        parts = sum(abs(part[:]) for part in file["parts"].values())
        assert set(file["parts"]) == {"SchNet", "bonds", "repulsion"}
        np.testing.assert_allclose(sum(part[:] for part in file["parts"].values()), energy, rtol=1e-12)
    error = abs(data["frames/energy"].ravel() - energy) / parts
    assert error.max() < 2e-5
    # the energy of the neighbouring frame would not do
    wrong = abs(np.roll(data["frames/energy"].ravel(), 1) - energy) / parts
    assert np.median(wrong) > 1e-3


def test_harmonic_wells_have_the_energy_of_their_temperature(flashrex, tmp_path, write_config):
    harmonic_wells(tmp_path / "wells.h5", n_bead=5)
    config = write_config(
        "system: wells.h5\noutput: out\nladder: {t_min: 250, t_max: 400, n_rungs: 4}\nn_ladders: 4\n"
        "friction: 5\ndt: 0.01\nn_timesteps: 20000\nexchange_interval: 20\nsave_interval: 0\n"
    )
    flashrex("run", config, ranks=2).ok()
    energy = segment(tmp_path / "out")["exchanges/energy"].reshape(-1, 4, 4)[100:]
    kelvin = 250 * (400 / 250) ** (np.arange(4) / 3)
    reduced = energy.mean(1) / (BOLTZMANN * kelvin)  # of the ladders together, in kT: 3/2 per bead
    blocks = reduced.reshape(30, -1, 4).mean(1)
    error = blocks.std(0, ddof=1) / np.sqrt(30)
    assert (error < 0.1).all()
    assert (abs(reduced.mean(0) - 7.5) < 4 * error).all()
    shifted = energy.mean(1) / (BOLTZMANN * np.roll(kelvin, 1))  # the neighbour's temperature would be noticed
    assert (abs(shifted.mean(0) - 7.5) > 4 * error).all()


def test_output_that_exists_is_kept_unless_told_otherwise(chain, flashrex, tmp_path):
    flashrex("run", chain).ok()
    before = (tmp_path / "out" / "segment_0001.h5").read_bytes()
    for ranks in (1, 3):
        result = flashrex("run", chain, "seed=2", ranks=ranks)
        assert result.code == 5 and result.err.count("error") == 1 and "--overwrite" in result.err
        assert re.search(r"out holds a run already \(\S+\); continue .* another output \(\S+:\d+\)\n", result.err)
        assert (tmp_path / "out" / "segment_0001.h5").read_bytes() == before
    flashrex("run", chain, "seed=2", "--overwrite").ok()
    assert (tmp_path / "out" / "segment_0001.h5").read_bytes() != before


def test_summary_of_a_replaced_run_is_gone_before_the_new_one_ends(chain, flashrex, tmp_path):
    flashrex("run", chain).ok()
    summary = tmp_path / "out" / "summary.json"
    assert summary.exists()
    command = [os.environ["FRX_PROGRAM"], "run", chain, "n_timesteps=1e9", "--overwrite", "--progress", "quiet"]
    process = subprocess.Popen([str(word) for word in command], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        deadline = time.time() + 100
        while summary.exists() and time.time() < deadline:
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    assert not summary.exists()


def test_one_temperature_no_exchange_and_start(chain, flashrex, tmp_path):
    result = flashrex("run", chain, "temperatures=[300]", "n_ladders=3", "output=one", ranks=2).ok()
    assert "accept" not in result.out
    assert len(segment(tmp_path / "one")["exchanges/energy"]) == 30
    result = flashrex("run", chain, "exchange_interval=0", "output=side", "save_interval=100", ranks=2).ok()
    assert "warning: exchange_interval 0" in result.out
    summary = json.loads((tmp_path / "side" / "summary.json").read_text())
    assert "exchange" not in summary and summary["frames"] == 6
    assert [r["energies"] for r in summary["rungs"]] == [2] * 5  # at the last step, of two ladders
    last = segment(tmp_path / "side")["frames/energy"][-1].reshape(2, 5)
    np.testing.assert_allclose([r["energy_mean"] for r in summary["rungs"]], last.mean(0), rtol=1e-12)
    flashrex("run", chain, "start=1", "n_timesteps=1", "save_interval=1", "output=second").ok()
    flashrex("run", chain, "start=cycle", "n_timesteps=1", "save_interval=1", "output=both").ok()
    second, both = (segment(tmp_path / name)["frames/energy"][0] for name in ("second", "both"))
    assert (second[1::2] == both[1::2]).all() and (second[0::2] != both[0::2]).all()
    result = flashrex("run", chain, "friction=0", "output=free").ok()
    assert "warning: friction 0" in result.out


def test_check_tells_the_plan_and_writes_nothing(chain, flashrex, tmp_path):
    before = sorted(tmp_path.iterdir())
    for ranks, replicas in [(1, "10 replicas"), (3, "3 or 4 replicas")]:
        out = flashrex("check", chain, "n_timesteps=1e6", "save_interval=1e3", ranks=ranks).ok().out
        assert replicas in out and "1,000 frames and 50,000 exchange events" in out
        for word in ("8 beads", "memory", "ns/day", "time      about", "no known answer"):
            assert word in out, out
    assert sorted(tmp_path.iterdir()) == before
    flashrex("run", chain, "save_interval=1", "n_timesteps=2000").ok()
    size = sum(path.stat().st_size for path in (tmp_path / "out").glob("segment*"))
    assert "out holds a run already: `flashrex run` needs --continue or" in flashrex("check", chain).ok().out
    (tmp_path / "other").mkdir()
    out = flashrex("check", chain, "save_interval=1", "n_timesteps=2000", "output=other").ok().out
    assert "warning" not in out  # an empty folder is as good as none
    planned, unit = re.search(r"results   ([\d.]+) (KB|MB)", out).groups()
    assert float(planned) * {"KB": 1e3, "MB": 1e6}[unit] == pytest.approx(size, rel=0.2)


def test_known_answer_is_verified(flashrex, tmp_path, write_config):
    harmonic_wells(tmp_path / "wells.h5")
    config = write_config("system: wells.h5\noutput: out\ntemperatures: [300]\nn_timesteps: 10\n")
    assert "known answer met" in flashrex("check", config).ok().out
    assert "the known answer is met" in flashrex("info", "wells.h5", "--verify").ok().out
    with h5py.File(tmp_path / "wells.h5", "r+") as file:
        file["priors/wells/params"][2, 1] *= 1 + 1e-6
    for arguments, ranks in [(["check", config], 1), (["check", config], 2), (["info", "wells.h5", "--verify"], 1)]:
        result = flashrex(*arguments, ranks=ranks)
        if ranks > 1 and arguments[0] == "check":
            assert result.code == 2  # more ranks than replicas
            continue
        assert result.code == 6 and "known answer is missed" in result.err


def test_energy_table_and_json(flashrex, tmp_path):
    chain_with_network(tmp_path / "chain.h5")
    table = flashrex("energy", "chain.h5").ok().out.splitlines()
    assert table[0].split() == ["frame", "energy", "SchNet", "bonds", "repulsion"] and len(table) == 3
    double = json.loads(flashrex("energy", "chain.h5", "--json").ok().out)
    single = json.loads(flashrex("energy", "chain.h5", "--json", "--precision", "single").ok().out)
    assert double["precision"] == "double" and single["precision"] == "single"
    for a, b, row in zip(double["frames"], single["frames"], table[1:]):
        assert a["energy"] == pytest.approx(sum(a["parts"].values()), rel=1e-12)
        assert a["energy"] == pytest.approx(b["energy"], rel=1e-5) and a["energy"] != b["energy"]
        assert float(row.split()[1]) == pytest.approx(a["energy"], abs=1e-6)
    result = flashrex("energy", "chain.h5", "-o", "e.h5").ok()
    assert flashrex("energy", "chain.h5", "-o", "e.h5").code == 5
    flashrex("energy", "chain.h5", "-o", "e.h5", "--overwrite").ok()
    with h5py.File(tmp_path / "e.h5") as file:
        assert file["forces"].shape == (2, 8, 3) and file["energy"][0] == double["frames"][0]["energy"]
    assert "frames     2" in flashrex("info", "e.h5").ok().out
    assert result.err == ""


def test_bench(flashrex, tmp_path):
    chain_with_network(tmp_path / "chain.h5")
    bench = json.loads(flashrex("bench", "chain.h5", "--replicas", "3", "--steps", "200", "--json").ok().out)
    assert bench["replicas"] == 3 and bench["steps"] == 200 and bench["precision"] == "single"
    assert bench["force_evaluations_per_second"] > 0 and bench["steps_per_second"] > 0
    assert bench["ns_per_day"] == pytest.approx(bench["steps_per_second"] * 0.004e-3 * 86400)
    assert 0 < bench["table_error_value"] < 1e-3 and sum(bench["seconds_per_step"].values()) > 0
    text = flashrex("bench", "chain.h5", "--replicas", "2", "--steps", "50", "--precision", "double").ok().out
    assert "double precision" in text and "filter tables" not in text and "stage" in text


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def children(pid):
    """Processes called flashrex below a process."""
    found = []
    for line in subprocess.run(["ps", "-eo", "pid,ppid,comm"], capture_output=True, text=True).stdout.splitlines()[1:]:
        child, parent, name = line.split(None, 2)
        if int(parent) == pid:
            found += children(int(child)) + ([int(child)] if name == "flashrex" else [])
    return found


@pytest.mark.parametrize(
    "ranks, number, to_mpirun",
    [(1, signal.SIGINT, False), (1, signal.SIGTERM, False), (3, signal.SIGTERM, False), (3, signal.SIGUSR1, True)],
)
def test_signal_ends_the_run_with_everything_saved(ranks, number, to_mpirun, chain, tmp_path):
    command = [os.environ["FRX_PROGRAM"], "run", str(chain), "n_timesteps=1e9", "save_interval=20"]
    if ranks > 1:
        command = [os.environ["FRX_MPIEXEC"], "-n", str(ranks), *command]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **pipes)
    try:
        wait_for((tmp_path / "out" / "segment_0001.h5").exists)
        time.sleep(1)
        # without mpirun's help, one rank hears it and all stop
        os.kill(process.pid if ranks == 1 or to_mpirun else children(process.pid)[-1], number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 75, err
    assert "stopped by a signal after" in err
    data = segment(tmp_path / "out")
    assert len(data["frames/step"]) > 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["status"] == "interrupted" and summary["steps"] == data["frames/step"][-1]
    assert "accept next" in out


def test_live_line_on_a_terminal(chain, tmp_path):
    ours, theirs = pty.openpty()
    command = [os.environ["FRX_PROGRAM"], "run", str(chain), "n_timesteps=20000", "save_interval=1000"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    text = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        text += piece
    assert process.wait() == 0
    shown = [line for line in text.decode().split("\r") if "ns/day" in line and "%" in line]
    assert shown and all(re.match(r" *\d+ %   [\d.a-z ]+ left   step [\d,]+ ", line) for line in shown)
    assert "acceptance" in shown[-1] and "round trip" in shown[-1] and "left" in shown[-1]
    assert "\n" not in shown[0]  # it stays on its line
    assert "rung" in text.decode()


def test_lines_in_a_log(chain, flashrex):
    out = flashrex("run", chain, "log_interval=200").ok().out
    assert re.findall(r"^ *\d+ % .* left   step (\d+) ", out, re.M) == ["200", "400", "600"]
    assert "\r" not in out and "\033" not in out
    assert flashrex("run", chain, "output=quiet", "--progress", "quiet").ok().out == ""

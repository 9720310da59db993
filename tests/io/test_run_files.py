"""Runs as other programs see them: h5py, MDAnalysis and mdtraj, of the distribution and of PyPI, read what
several ranks write, when it is finished, while it grows, after a kill and after it has moved."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
WRITER = Path(os.environ.get("FRX_BUILD_DIR", HERE.parents[1] / "build")) / "tests/io/write_fake_run"
PYTHONS = {"PyPI": sys.executable, "distribution": os.environ.get("FRX_SYSTEM_PYTHON", "/usr/bin/python3")}


def writer_command(run, n_rank, *numbers):
    mpiexec = os.environ.get("FRX_MPIEXEC", "mpiexec")
    return [mpiexec, "-n", str(n_rank), str(WRITER), str(run), *map(str, numbers)]


def start_writer(run, n_rank, *numbers):
    command = writer_command(run, n_rank, *numbers)
    pipe = subprocess.PIPE
    return subprocess.Popen(command, start_new_session=True, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def write(run, n_rank, *numbers):
    writer = start_writer(run, n_rank, *numbers)
    output, _ = writer.communicate(timeout=120)
    return writer.returncode, output


def read(reader, run, python="PyPI", cwd=None, watch=False):
    """Number of frames that a reader finds, and checks. A fresh process, without any HDF5 setting."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HDF5_")}
    command = [PYTHONS[python], str(HERE / "read_run.py"), reader, str(run)] + ["watch"] * watch
    if not Path(PYTHONS[python]).exists():
        pytest.skip(f"no {PYTHONS[python]}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, cwd=cwd)
    if done.returncode == 77:
        pytest.skip(f"{PYTHONS[python]}: {done.stdout.strip()}")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """50 frames of 2 ladders of 3 temperatures and 9 beads, by 3 ranks."""
    run = tmp_path_factory.mktemp("run") / "finished"
    status, output = write(run, 3, 2, 3, 9, 50, 7)
    assert status == 0, output
    return run


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("reader", ["h5py", "mdanalysis", "mdtraj"])
def test_readers(finished, reader, python):
    assert read(reader, finished, python) == 50


@pytest.mark.parametrize("reader", ["h5py", "mdtraj"])
def test_moved(finished, tmp_path, reader):
    """Views name their segment relative to themselves."""
    shutil.copytree(finished, tmp_path / "elsewhere")
    os.rename(finished, finished.parent / "away")  # nothing may be read from the old place
    try:
        assert read(reader, "elsewhere", cwd=tmp_path) == 50
        assert read(reader, tmp_path / "elsewhere", cwd="/") == 50
    finally:
        os.rename(finished.parent / "away", finished)


def test_moves_and_ranks_make_equal_content(finished, tmp_path):
    """Configurations that change places, another number of ranks or commit interval: equal files."""
    import h5py
    import numpy as np

    status, output = write(tmp_path / "other", 1, 2, 3, 9, 50, 0, 1)
    assert status == 0, output
    with h5py.File(finished / "segment_0001.h5") as a, h5py.File(tmp_path / "other/segment_0001.h5") as b:
        names = []
        a.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        assert len(names) > 20
        for name in names:
            assert np.array_equal(a[name][()], b[name][()]), name


@pytest.mark.parametrize(
    "reader, python", [("h5py", "PyPI"), ("h5py", "distribution"), ("mdanalysis", "PyPI")]
)
def test_growing(tmp_path, reader, python):
    """A run can be read while it goes on: every frame shown is right, and later there are more."""
    run = tmp_path / "run"
    writer = start_writer(run, 2, 1, 4, 10, 1000000, 5, 0, 20)
    try:
        wait_for(run / "system.pdb")
        assert read(reader, run, python, watch=True) > 0
        assert writer.poll() is None, "the run was over before it was read"
    finally:
        kill(writer)


def wait_for(path, seconds=60):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.01)


def kill(writer):
    if writer.poll() is None:
        os.killpg(writer.pid, signal.SIGKILL)
    writer.wait()


def children(pid):
    """Process ids of the ranks that mpiexec started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in found.split()]


def wait_for_frames(segment, n_frame, seconds=60):
    h5py = pytest.importorskip("h5py")
    deadline = time.monotonic() + seconds
    while True:
        try:
            with h5py.File(segment) as file:
                if file["committed"][0] >= n_frame:
                    return
        except OSError:  # in the middle of a flush
            pass
        assert time.monotonic() < deadline, f"{segment} does not grow"
        time.sleep(0.01)


def test_killed(tmp_path):
    """Whenever the ranks are killed, what was committed is there and whole. (A kill in the middle of a flush
    may leave some datasets longer than others, beyond the committed frames.)"""
    random.seed(1)
    for k in range(8):
        run = tmp_path / f"run{k}"
        writer = start_writer(run, 2, 1, 4, 10, 1000000, 2, 0, 1)
        try:
            wait_for(run / "segment_0001.h5")
            wait_for_frames(run / "segment_0001.h5", 7 * k)
            time.sleep(random.uniform(0, 0.1))
            for rank in children(writer.pid):
                os.kill(rank, signal.SIGKILL)
        finally:
            kill(writer)
        assert read("segment", run) >= 7 * k


def test_full_disk(tmp_path):
    """On a disk that is full: a tmpfs of 1 MiB in a name space of our own, where that is allowed."""
    script = (
        'mount -t tmpfs -o size=1m none "$1" && shift && "$@"; result=$?; cp -r "$RUN" "$COPY"; exit $result'
    )
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    writer = writer_command(disk / "run", 2, 1, 4, 10, 3000, 50)
    environment = {**os.environ, "RUN": str(disk / "run"), "COPY": str(copy)}
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", disk, *writer]
    if not shutil.which("unshare"):
        pytest.skip("no unshare")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 4, done.stdout + done.stderr
    assert "ERR_IO: cannot extend" in done.stdout and "No space left on device" in done.stdout
    assert read("h5py", copy) > 0

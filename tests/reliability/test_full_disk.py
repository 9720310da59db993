"""A disk that is full at any stage of a run: a clean stop with advice, and the run goes on when there is space."""

import os
import shutil
import subprocess

import kills
import pytest
from run_files import assert_same, rows

# $1: size in KiB of a disk; then the command. Later the disk gets larger, and the run is continued.
SCRIPT = """
size=$1 copy=$2; shift 2
mount -t tmpfs -o size=${size}k none disk || exit 99
"$@"; result=$?
ls disk > left
mount -o remount,size=64m disk
"$@" --continue || exit 98
cp -r disk/out "$copy"
exit $result
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    return kills.Lab(folder, kills.small_config(folder))


# up to 300: while the run is made; from 400 on: commits; 800: journal and run file of a late one
@pytest.mark.parametrize("size, ranks", [(40, 1), (250, 2), (300, 1), (400, 2), (600, 1), (700, 3), (800, 1)])
def test_small_disk(size, ranks, lab, tmp_path):
    (lab.folder / "disk").mkdir(exist_ok=True)
    copy = tmp_path / "out"
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        SCRIPT,
        "sh",
        str(size),
        str(copy),
    ]
    command += lab.command("disk/out", ranks=ranks)
    if not shutil.which("unshare"):
        pytest.skip("no unshare")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=lab.folder, env=environment, capture_output=True, text=True, timeout=120
    )
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 4, done.stdout + done.stderr
    assert done.stderr.count("error:") == 1 and "No space left on device" in done.stderr
    assert "free some space" in done.stderr and "--continue" in done.stderr
    assert_same(copy, lab.whole)


FULL = [("fallocate", 1), ("fallocate", 2), ("fsync", 3), ("fsync", 20), ("rename", 12), ("link", 2)]


@pytest.mark.parametrize("call, number", FULL)
def test_calls_that_fail(call, number, lab):
    """From some call on there is no space. (A link that cannot be made is no failure.)"""
    if why := kills.can_trace():
        pytest.skip(why)
    name = f"full_{call}_{number}"
    inject = ["strace", "-o", "/dev/null", "-e", f"trace={call}"]
    inject += ["-e", f"inject={call}:error=ENOSPC:when={number}+"]
    result = lab.run(name, around=lab.on_rank(0, inject))
    if call == "link":
        assert result.returncode == 0 and rows(lab.folder / name)
    else:
        assert result.returncode == 4 and "No space left on device" in result.stderr, result.stderr
        assert "free some space" in result.stderr
    if (lab.folder / name).exists():
        lab.check(name)
    lab.finish(name)

"""Two jobs in one folder: the second is refused, or waits for the first to be gone."""

import contextlib
import os
import signal
import subprocess
import time

import kills
import pytest


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two_jobs")
    return kills.Lab(folder, kills.small_config(folder, "long", steps=20000, save=10), ranks=2)


@contextlib.contextmanager
def stopped(lab, name, **options):
    """A run that is suspended after its first checkpoint."""
    process = lab.start(name, **options)
    while not (lab.folder / name / "checkpoint").exists():
        assert process.poll() is None
        time.sleep(0.001)
    members = list(kills.ranks_in(lab.folder / name))
    for pid in members:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield process, members
    finally:
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        process.wait()


@pytest.mark.parametrize("ranks", [1, 2])
def test_second_job_is_refused(ranks, lab):
    name = f"refused_{ranks}"
    with stopped(lab, name, ranks=ranks) as (process, members):
        for how in ([], ["--overwrite"], ["--continue"]):
            start = time.monotonic()
            second = lab.run(name, *how, ranks=1)
            assert second.returncode == 5, second.stderr
            assert f"another run is writing {name}: process " in second.stderr, second.stderr
            assert any(f"process {pid} on " in second.stderr for pid in members)
            assert (time.monotonic() - start > 9) == (how == ["--continue"])
    assert process.returncode == 0
    assert not (lab.folder / name / ".lock").exists()
    lab.check(name)
    lab.finish(name)


def test_next_job_waits_for_the_one_before_it_to_die(lab):
    with stopped(lab, "waited") as (_, members):
        second = lab.start("waited", "--continue", ranks=1)
        time.sleep(1)
        assert second.poll() is None
        for pid in members:
            os.kill(pid, signal.SIGKILL)
        assert second.wait(60) == 0
    lab.finish("waited")


def test_many_jobs_at_once(lab):
    """One of them makes the run, the others come too late or find that nothing is left to do."""
    jobs = [lab.start("many", "--continue", ranks=1) for _ in range(8)]
    codes = [job.wait(120) for job in jobs]
    assert 0 in codes and set(codes) <= {0, 5}
    assert len(list((lab.folder / "many").glob("segment_*.h5"))) == 1
    lab.finish("many")


def test_file_systems_without_locks(lab):
    if why := kills.can_trace():
        pytest.skip(why)
    inject = ["strace", "-o", "/dev/null", "-e", "inject=flock:error=EOPNOTSUPP"]
    assert lab.run("no_locks", ranks=1, around=inject).returncode == 0
    lab.finish("no_locks")


def test_a_folder_made_for_nothing_is_removed(lab):
    """What is found out after the folder is made: here that there is no GPU."""
    command = lab.command("nothing", "engine=cuda", ranks=1)
    result = subprocess.run(command, cwd=lab.folder, capture_output=True, text=True)
    if result.returncode == 0:
        pytest.skip("there is a GPU")
    assert not (lab.folder / "nothing").exists(), result.stderr

"""The job scripts of slurm/, as they are, in a real Slurm on this machine."""

import os
import re
from pathlib import Path

import pytest
from slurm_cluster import Cluster, why_not
from system_files import chain_with_network
from test_checkpoint import rows, state

SCRIPTS = Path(__file__).parents[2] / "slurm"

CONFIG = """
system: chain.h5
output: out
ladder: {t_min: 280, t_max: 420, n_rungs: 8}
dt: 0.002
n_timesteps: 600
exchange_interval: 20
save_interval: 30
"""
LAUNCHERS = {"srun": "srun --mpi=pmix", "mpirun": "mpirun --bind-to none"}
RANKS = {"one-gpu": 1, "one-node": 4, "many-nodes": 8, "cpu": 8, "requeue": 1}


@pytest.fixture(scope="module")
def cluster():
    if why_not():
        pytest.skip(why_not())
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def chain(tmp_path, write_config):
    chain_with_network(tmp_path / "chain.h5")
    return write_config(CONFIG)


def assert_same(folder, expected):
    a, b = rows(folder) | state(folder), rows(expected) | state(expected)
    assert set(a) == set(b)
    for name in b:
        assert bytes(a[name]) == bytes(b[name]), f"{name} differs"


def environment():
    return {"PATH": f"{Path(os.environ['FRX_PROGRAM']).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"}


def test_scripts_differ_only_where_they_must():
    bodies = {}
    for path in SCRIPTS.glob("*.sh"):
        lines = path.read_text().splitlines()
        bodies[path.stem] = [line for line in lines if line and not line.startswith("#")]
        assert f"sbatch {path.name} protein.yaml" in lines[1] and lines[0] == "#!/bin/bash"
    assert set(bodies) == set(RANKS)
    more = [line for line in bodies["requeue"] if line not in bodies["cpu"]]
    assert len(more) == 1 and "scontrol requeue" in more[0]
    bodies["requeue"].remove(more[0])
    assert len({tuple(body) for body in bodies.values()}) == 1


def test_every_script_runs(cluster, chain, flashrex, tmp_path):
    """All scripts with both launchers: the run is that of one rank without Slurm."""
    flashrex("run", chain, "output=whole").ok()
    jobs = {}
    for script in RANKS:
        for name, launcher in LAUNCHERS.items():
            command = [SCRIPTS / f"{script}.sh", chain, f"output={script}-{name}"]
            jobs[script, name] = cluster.submit(*command, cwd=tmp_path, LAUNCH=launcher, **environment())
    for (script, name), number in jobs.items():
        job = cluster.wait_for_end(number)
        log = (tmp_path / f"flashrex-{number}.log").read_text()
        assert job["JobState"] == "COMPLETED" and job["ExitCode"] == "0:0", f"{script} {name}\n{log}\n{cluster.logs()}"
        assert re.search(rf"machine +{RANKS[script]} rank", log), f"{script} {name}\n{log}"
        assert job["Partition"] == ("cpu" if script == "cpu" else "gpu")
        gpus = {"cpu": None, "one-gpu": "gres:gpu:1", "requeue": "gres:gpu:1"}.get(script, "gres:gpu:4")
        assert job.get("TresPerNode") == gpus and job["NumNodes"] == ("2" if script == "many-nodes" else "1")
        assert_same(tmp_path / f"{script}-{name}", tmp_path / "whole")


def test_chain_of_requeued_jobs(cluster, chain, flashrex, tmp_path):
    """A run of 75 s in jobs of one minute, which are told to stop in time; the first is preempted without notice."""
    flashrex("run", chain, "output=whole").ok()
    submit = ["--time=1", "--signal=B:USR1@50", SCRIPTS / "requeue.sh", chain, "checkpoint_interval=0.03"]
    slow = environment() | {"FRX_FAULT": "slow:seconds=0.125"}
    jobs = {
        name: cluster.submit(*submit, f"output={name}", cwd=tmp_path, LAUNCH=launcher, **slow)
        for name, launcher in LAUNCHERS.items()
    }
    for name, number in jobs.items():
        cluster.wait_for((tmp_path / name / "checkpoint.prev").exists, "a checkpoint")
        assert cluster.job(number)["JobState"] == "RUNNING"
        cluster.ask("scontrol", "requeue", str(number))
    for name, number in jobs.items():
        job = cluster.wait_for_end(number)
        log = (tmp_path / f"flashrex-{number}.log").read_text()
        assert job["JobState"] == "COMPLETED" and job["ExitCode"] == "0:0", f"{name}\n{log}\n{cluster.logs()}"
        stops, n_job = log.count("stopped by a signal"), int(job["Restarts"]) + 1
        # preempted ranks are told by srun, while mpirun kills them
        assert stops >= 1 and n_job >= 3 and n_job - stops in (1, 2), log
        assert log.count("  continue  after") == n_job - 1
        assert_same(tmp_path / name, tmp_path / "whole")

"""A Slurm of our own on this machine: munged, slurmctld and two slurmd with four pretended GPUs each, in a folder and
on ports of their own. Needs root and Debian's packages munge, slurmctld, slurmd and slurm-client."""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"

CONFIG = """
ClusterName=flashrex
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n/slurmd.pid
SlurmdLogFile={folder}/%n/slurmd.log
SlurmdSpoolDir={folder}/%n/spool
TmpFS={folder}/%n/tmp
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SlurmdParameters=config_overrides
MpiDefault=pmix
MailProg=/bin/true
ReturnToService=2
KillWait=5
SchedulerParameters=batch_sched_delay=1,sched_interval=2
GresTypes=gpu
NodeName=n0 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=64 Gres=gpu:4
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=64 Gres=gpu:4
PartitionName=gpu Nodes=n0,n1 State=UP
PartitionName=cpu Nodes=n0,n1 State=UP
"""


def why_not():
    """What is missing for a Slurm of our own; empty if nothing is."""
    if os.geteuid() != 0:
        return "only root can start a Slurm"
    for name in (*DAEMONS, "sbatch", "srun", "scontrol"):
        if not shutil.which(name, path=PATH):
            return f"no {name}: tools/setup.sh ci installs Slurm"
    try:
        socket.gethostbyname(socket.gethostname())
    except OSError:
        return "the name of this machine has no address, which Slurm needs"
    return ""


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Cluster:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="flashrex-slurm-"))
        self.daemons = []
        self.environment = os.environ | {"PATH": PATH, "SLURM_CONF": str(self.folder / "slurm.conf")}
        self.environment |= {
            "OMPI_MCA_btl": "tcp,self",  # both nodes are this machine: shared memory would mix them up
            "OMPI_MCA_mpi_yield_when_idle": "1",
        }

    def start(self):
        folder = self.folder
        folder.chmod(0o755)
        for name in ("state", "n0/spool", "n0/tmp", "n1/spool", "n1/tmp"):
            (folder / name).mkdir(parents=True)
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)
        host = socket.gethostname().split(".")[0]
        (folder / "slurm.conf").write_text(CONFIG.format(host=host, folder=folder, ports=free_ports(3)))
        (folder / "gres.conf").write_text(f"NodeName=n[0-1] Name=gpu File={folder}/gpu[0-3]\n")
        for gpu in range(4):  # like /dev/null
            os.mknod(folder / f"gpu{gpu}", 0o20666, os.makedev(1, 3))
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "seed-file": "seed", "log-file": "log"}
        options = [f"--{option}={folder}/munge.{name}" for option, name in files.items()]
        self.launch("munged", "--foreground", "--force", *options)
        self.wait_for((folder / "munge.socket").exists, "munged")
        self.launch("slurmctld", "-D", "-i")
        for node in ("n0", "n1"):
            self.launch("slurmd", "-D", "-N", node)
        self.wait_for(lambda: self.ask("sinfo", "-h", "-p", "gpu", "-t", "idle", "-o", "%D") == "2", "slurmd")

    def launch(self, *command):
        with open(self.folder / f"{command[0]}_{len(self.daemons)}.out", "w") as log:
            pipes = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            daemon = subprocess.Popen(command, env=self.environment, start_new_session=True, **pipes)
        self.daemons.append(daemon)

    def logs(self):
        paths = [*self.folder.rglob("*.log"), *self.folder.rglob("*.out")]
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(paths))

    def wait_for(self, condition, what, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"waited in vain for {what}\n{self.logs()}"
            time.sleep(0.3)

    def ask(self, *command):
        """Output of a command, empty if it failed."""
        answer = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
        return answer.stdout.strip() if answer.returncode == 0 else ""

    def submit(self, *command, cwd, **environment):
        """Number of a new job: sbatch COMMAND."""
        answer = subprocess.run(
            ["sbatch", "--parsable", *map(str, command)],
            env=self.environment | environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert answer.returncode == 0, answer.stderr
        return int(answer.stdout)

    def job(self, number):
        """All that Slurm knows of a job: {"JobState": "RUNNING", ..}."""
        return dict(re.findall(r"(\w+)=(\S*)", self.ask("scontrol", "show", "job", str(number))))

    def wait_for_end(self, number, seconds=240):
        """Job that has ended, by itself or not."""
        final = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY")
        self.wait_for(lambda: self.job(number).get("JobState") in final, f"job {number}", seconds)
        return self.job(number)

    def stop(self):
        """End all jobs and daemons, and whatever was started by them and is left."""
        if len(self.daemons) > 1:
            self.ask("scancel", "--state=PENDING,RUNNING", "-u", "root")
            end = time.monotonic() + 20
            while self.ask("squeue", "-h") and time.monotonic() < end:
                time.sleep(0.3)
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in self.daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
        mark = f"SLURM_CONF={self.folder}/slurm.conf".encode()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if int(process.name) != os.getpid() and mark in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)
            except OSError:
                pass  # gone by now
        shutil.rmtree(self.folder, ignore_errors=True)

"""Running the program as a user does, on any number of ranks."""

import os
import subprocess

import pytest


class Result:
    """What a run of the program left: exit code, standard output and standard error, without mpirun's own remarks."""

    def __init__(self, process):
        self.code = process.returncode
        self.out = process.stdout
        self.err = process.stderr.split(
            "--------------------------------------------------------------------------"
        )[0]

    def ok(self):
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"
        return self


@pytest.fixture
def flashrex(tmp_path):
    """flashrex(*arguments, ranks=1, limit=None): run in tmp_path; limit: bytes that any file may grow to.

    GPUs are hidden, so that tests mean the same everywhere; CUDA_VISIBLE_DEVICES=.. shows them."""
    program = os.environ["FRX_PROGRAM"]
    if not program:
        pytest.skip("flashrex is not built")

    def call(*arguments, ranks=1, limit=None, timeout=300, cwd=tmp_path, **environment):
        command = [program, *map(str, arguments)]
        if ranks > 1:
            command = [os.environ["FRX_MPIEXEC"], "-n", str(ranks), *command]
        if limit:
            command = ["bash", "-c", f'ulimit -f {limit // 1024}; exec "$@"', "limited", *command]
        env = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | environment
        return Result(
            subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=timeout)
        )

    return call


@pytest.fixture
def write_config(tmp_path):
    """write_config(text, name="run.yaml"): the path of a new config."""

    def write(text, name="run.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write

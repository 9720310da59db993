"""Valgrind's memcheck of short runs. Only in a build that is not tuned for its machine (preset valgrind), because
valgrind does not know the instructions of every machine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2]
VALGRIND = [
    "valgrind",
    "--num-callers=60",
    "--error-exitcode=66",
    "--leak-check=full",
    "--show-leak-kinds=definite",
    "--errors-for-leak-kinds=definite",
    f"--suppressions={SOURCES / 'tests/support/valgrind.supp'}",
]
CONFIG = f"""
system: {SOURCES / "configs/demo.h5"}
output: out
temperatures: [300, 400, 500, 640]
dt: 0.002
n_timesteps: 40
exchange_interval: 10
save_interval: 5
checkpoint_interval: 20
"""
# Once with and once without a mistake of each kind.
CONTROL = """
#include <stdio.h>
#include <stdlib.h>
int main(int n, char **argument) {
    int *x = malloc(sizeof(int[4]));
    if (argument[1][0] != 'u') x[n] = 3;
    if (x[n] == 3) puts("three");
    if (argument[1][0] == 'o') x[n + 2] = 1;
    if (argument[1][0] != 'l') free(x);
    x = NULL;
    return 0;
}
"""


@pytest.fixture
def memcheck(tmp_path):
    """memcheck(program, argument.., ranks=1): its output, and what valgrind said."""
    if not shutil.which("valgrind"):
        pytest.skip("no valgrind")

    def call(*command, ranks=1):
        command = [*VALGRIND, *map(str, command)]
        if ranks > 1:
            command = [os.environ["FRX_MPIEXEC"], "-n", str(ranks), *command]
        environment = os.environ | {
            "OMP_NUM_THREADS": "2" if ranks == 1 else "1",
            "OMPI_MCA_mpi_yield_when_idle": "1",
        }
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
        )

    return call


@pytest.fixture
def program():
    path = os.environ["FRX_PROGRAM"]
    if not path:
        pytest.skip("flashrex is not built")
    if "tuned for" in subprocess.run([path, "--version"], capture_output=True, text=True).stdout:
        pytest.skip("this build is tuned for its machine: use the preset valgrind")
    return path


def test_runs_are_clean(memcheck, program, tmp_path, write_config):
    config = write_config(CONFIG)
    for ranks, command in [
        (1, ["run", config]),
        (2, ["run", config, "--continue", "n_timesteps=60"]),
        (1, ["info", "out"]),
    ]:
        result = memcheck(program, *command, ranks=ranks)
        assert result.returncode == 0, result.stdout + result.stderr
        assert result.stderr.count("ERROR SUMMARY: 0 errors") >= ranks, result.stderr
    assert (tmp_path / "out" / "summary.json").exists()


def test_refusals_are_clean(memcheck, program, tmp_path, write_config):
    """Errors take other ways out; also through the process that reads files first."""
    config = write_config(CONFIG)
    data = (SOURCES / "configs/demo.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(data[: len(data) // 2])
    for change, code in [("system=cut.h5", 3), ("dt=-1", 2)]:
        result = memcheck(program, "run", config, change)
        assert result.returncode == code, result.stdout + result.stderr
        assert "ERROR SUMMARY: 0 errors" in result.stderr, result.stderr


def test_mistakes_are_noticed(memcheck, tmp_path):
    """Control: a leak, a use of what was not set, a write beyond the end."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no compiler")
    (tmp_path / "control.c").write_text(CONTROL)
    subprocess.run([compiler, "-g", "-O0", "-o", "control", "control.c"], cwd=tmp_path, check=True)
    for mistake, code in [("none", 0), ("leak", 66), ("unset", 66), ("overrun", 66)]:
        result = memcheck(tmp_path / "control", mistake)
        assert result.returncode == code, mistake + result.stderr

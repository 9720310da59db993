"""`flashrex run` on GPUs: the same results whatever the number of ranks and the way that configurations take."""

import json
import os
import shutil
import subprocess

import pytest
from system_files import chain_with_network
from test_run import CHAIN, assert_same, segment


def count_gpus():
    if not shutil.which("nvidia-smi"):
        return 0
    lines = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60).stdout.splitlines()
    return sum(line.startswith("GPU ") for line in lines)


N_GPU = count_gpus()
VISIBLE = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(N_GPU))))
pytestmark = pytest.mark.skipif(N_GPU == 0, reason="there is no GPU")


@pytest.fixture
def run(flashrex, tmp_path, write_config):
    """run(name, *arguments, ranks=1, gpus=all): a run of the chain into folder `name`; its standard output."""
    chain_with_network(tmp_path / "chain.h5")
    config = write_config(CHAIN + "engine: cuda\n")

    def call(name, *arguments, ranks=1, gpus=VISIBLE, check=True):
        result = flashrex(
            "run", config, f"output={name}", *arguments, ranks=ranks, CUDA_VISIBLE_DEVICES=gpus, timeout=120
        )
        return result.ok() if check else result

    return call


@pytest.mark.parametrize("precision", ["single", "mixed"])
def test_same_results_on_any_number_of_ranks_and_gpus(precision, run, tmp_path):
    run("one", f"precision={precision}")
    expected = segment(tmp_path / "one")
    assert (expected["exchanges/accepted"] > 0).any()
    ways = [("move=temperatures",), ("transport=auto",), ("transport=mpi",)]
    for ranks in (1, 2, 3):
        for way in ways + [("transport=nccl",)] * (ranks <= N_GPU):
            name = f"{ranks}-{way[0]}"
            run(name, f"precision={precision}", "share_gpus=yes", *way, ranks=ranks)
            assert_same(expected, segment(tmp_path / name))


def test_gpus_are_shared_only_where_they_may_be(run, tmp_path):
    ranks = len(VISIBLE.split(",")) + 1
    refused = run("out", ranks=ranks, check=False)
    assert refused.code == 9 and f"{ranks} ranks for" in refused.err and "share_gpus=yes" in refused.err
    result = run("out", "share_gpus=yes", ranks=ranks)
    assert "shared" in result.out and "mpi through host memory" in result.out
    refused = run("out-2", "share_gpus=yes", "transport=nccl", ranks=ranks, check=False)
    assert refused.code == 2 and "transport: nccl needs a GPU for each rank" in refused.err
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["status"] == "finished"

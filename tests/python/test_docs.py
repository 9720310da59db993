"""Examples of the documentation run: Python, flashrex-report and flashrex-export, in the order of each page."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

for package in ("pymbar", "matplotlib", "MDAnalysis", "mdtraj", "tables"):
    pytest.importorskip(package)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TOOL = re.compile(r"^(?:\.venv/bin/)?flashrex-(report|export) ([^#\n]*)", re.MULTILINE)


def examples(path):
    """[(what, text)]: `python` and a block, or the name of a tool and its arguments."""
    found = []
    for language, body in BLOCK.findall(path.read_text()):
        found += [("python", body)] if language == "python" else TOOL.findall(body)
    return found


PAGES = [path for path in sorted(ROOT.glob("docs/*.md")) + [ROOT / "README.md"] if examples(path)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working directory with a short run under the names that the pages use."""
    if not os.environ.get("FRX_PROGRAM"):
        pytest.skip("the program is not built (FRX_PROGRAM)")
    folder = tmp_path_factory.mktemp("docs")
    command = [os.environ["FRX_PROGRAM"], "run", ROOT / "configs/demo.yaml", "n_timesteps=20000", "save_interval=100"]
    subprocess.run([*command, f"output={folder}/protein-run"], check=True, capture_output=True, timeout=300)
    for name in ("run", "demo-run"):
        (folder / name).symlink_to("protein-run")
    shutil.copy(folder / "protein-run/system.pdb", folder / "native.pdb")
    return folder


def test_there_are_examples():
    assert {"formats.md", "report.md", "user-guide.md"} <= {path.name for path in PAGES}
    whats = [what for path in PAGES for what, _ in examples(path)]
    assert whats.count("python") >= 6 and whats.count("report") >= 3 and whats.count("export") >= 3


@pytest.mark.parametrize("path", PAGES, ids=[path.name for path in PAGES])
def test_examples(path, folder):
    for what, body in examples(path):
        if what == "python":
            command = [sys.executable, "-W", "ignore", "-c", body]
        else:
            command = [sys.executable, "-m", f"flashrex_tools.{what}", *shlex.split(body)]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "tools")}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{body}\n{done.stderr}"


def test_a_wrong_example_fails(folder):
    """The test above sees an example that does not work."""
    done = subprocess.run([sys.executable, "-c", "import h5py; h5py.File('protein-run/none.h5md')"],
                          cwd=folder, capture_output=True)  # fmt: skip
    assert done.returncode != 0

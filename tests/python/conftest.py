"""Shared by all Python tests: where the package, the reference data and a scratch structure are."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def reference():
    """The folder of reference models; tests that need it skip when it is not there."""
    folder = Path(os.environ.get("FRX_REFERENCE_DIR", ROOT.parent / "shared" / "reference"))
    if not folder.is_dir():
        folder = ROOT.parent.parent / "shared" / "reference"  # a worktree
    if not folder.is_dir():
        pytest.skip("reference data not found (FRX_REFERENCE_DIR)")
    return folder

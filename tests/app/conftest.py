"""Running the program as a user does, on any number of ranks."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from program import flashrex, write_config  # noqa: E402

__all__ = ["flashrex", "write_config"]

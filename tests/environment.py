"""Points the settings at engines of the tests' own; loaded with `-p` (pyproject.toml), because pytest-django reads the settings before
any conftest. It must import nothing of the project: the source roots are not on the path yet."""

import os
from pathlib import Path

# Always, even over a developer's own setting: a test run must never touch the data of `make demo`.
os.environ["SWITCHBOARD_DATA_DIR"] = str(Path(__file__).resolve().parents[1] / ".data" / "test")
os.environ["SWITCHBOARD_ENGINES_THROWAWAY"] = "1"

# gw0 → 1, gw1 → 2, …; 0 is the process without workers. pytest-django names the databases in the same way.
_worker = os.environ.get("PYTEST_XDIST_WORKER", "")
os.environ["SWITCHBOARD_REDIS_DB"] = str(int(_worker.removeprefix("gw")) + 1 if _worker else 0)

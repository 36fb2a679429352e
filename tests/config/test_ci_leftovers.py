"""CI sees a process that stays behind in the checkout, and only such a one."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]


def look(since: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "leftovers.py"), "--since", str(since), "--patience", "0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_a_process_in_the_checkout_that_began_after_the_mark_is_reported() -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], cwd=ROOT / "tests") as left_behind:
        try:
            began = psutil.Process(left_behind.pid).create_time()
            done = look(began - 1)
            assert done.returncode == 1
            assert f"left behind: {left_behind.pid} " in done.stdout
            later = look(began + 3600)
            assert (later.returncode, later.stdout) == (0, "")
        finally:
            left_behind.kill()

"""Fails when a process that began after --since still works in this checkout or on its engines; ends nothing itself."""

import argparse
import os
import sys
import time
from pathlib import Path

import psutil

from config.engines.places import find_places

ROOT = Path(__file__).resolve().parents[1]


def find_leftovers(since: float) -> list[str]:
    homes = {ROOT, find_places(ROOT / ".data").home}
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter(["create_time", "cwd", "cmdline", "status"]):
        info = process.info
        if process.pid in ours or info["create_time"] < since or info["status"] == psutil.STATUS_ZOMBIE:
            continue
        words = [info["cwd"] or "", *(info["cmdline"] or [])]
        if any(str(home) in word for home in homes for word in words):
            found.append(f"{process.pid} {' '.join(info['cmdline'] or ['?'])}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--since", type=float, required=True, metavar="EPOCH_SECONDS")
    # The engines stop within two seconds of their last client.
    parser.add_argument("--patience", type=float, default=5.0, metavar="SECONDS")
    options = parser.parse_args()
    deadline = time.monotonic() + options.patience
    while (leftovers := find_leftovers(options.since)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for line in leftovers:
        sys.stdout.write(f"left behind: {line}\n")
    return 1 if leftovers else 0


if __name__ == "__main__":
    sys.exit(main())

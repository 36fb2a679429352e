"""Real client processes of the engines, and a look at what is left of them."""

import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from config.engines.accounts import PopenAs
from config.engines.places import Places, find_places
from config.engines.urls import EnginePlan

SOURCE_ROOT = Path(__file__).resolve().parents[3] / "platform"
DEADLINE_SECONDS = 20.0  # a first start takes one second; the machine may be busy with other tests

_CLIENT = """
import sys
from pathlib import Path
from config.engines.attach import attach_engines
from config.engines.errors import EngineError
from config.engines.places import find_places
from config.engines.urls import EnginePlan
try:
    places = find_places(Path(sys.argv[1]))
    throwaway = sys.argv[2] == "throwaway"
    attach_engines(EnginePlan(places=places, wants_postgres=True, wants_redis=True, is_throwaway=throwaway))
except EngineError as error:
    print("failed:", error.message, flush=True)
    sys.exit(1)
print("attached", flush=True)
sys.stdin.read()
"""


class Client:
    """A process that is attached until it is released or killed."""

    def __init__(
        self,
        data_dir: Path,
        *,
        python: str = sys.executable,
        search_path: str = "",
        identity: PopenAs | None = None,
        data: str = "throwaway",
    ) -> None:
        self.process = subprocess.Popen(
            [python, "-P", "-W", "error", "-c", _CLIENT, str(data_dir), data],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join([str(SOURCE_ROOT), search_path])},
            **(identity or {}),
        )

    def read_answer(self) -> str:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], DEADLINE_SECONDS)[0], "the client never attached"
        return self.process.stdout.readline().decode().strip()

    def release(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(DEADLINE_SECONDS)
        self._close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)
        self._close()

    def _close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def attached(data_dir: Path, *, data: str = "throwaway") -> Iterator[Client]:
    client = Client(data_dir, data=data)
    try:
        assert client.read_answer() == "attached"
        yield client
    finally:
        if client.process.returncode is None:
            client.kill()


@contextmanager
def make_data_dir() -> Iterator[Path]:
    """Walkable for every uid, unlike pytest's tmp_path, as the folders of an ordinary checkout are."""
    with tempfile.TemporaryDirectory(prefix="engines-") as folder:
        path = Path(folder)
        path.chmod(0o711)
        try:
            yield path / "data"
        finally:
            wait_until(lambda: not find_processes(path / "data"), "all engines of the test ended")


def make_plan(data_dir: Path, *, wants_postgres: bool = True, wants_redis: bool = True) -> EnginePlan:
    return EnginePlan(
        places=find_places(data_dir), wants_postgres=wants_postgres, wants_redis=wants_redis, is_throwaway=True
    )


def find_processes(data_dir: Path, *, named: str = "") -> list[psutil.Process]:
    """Supervisor and servers of one data directory: the first has it on its command line, the others stand in it."""
    places: Places = find_places(data_dir)
    found = []
    for process in psutil.process_iter(["name", "cwd", "cmdline", "status"]):
        info = process.info
        if info["status"] == psutil.STATUS_ZOMBIE or "-c" in (info["cmdline"] or []):
            continue  # a zombie is dead; "-c" is a Client
        if any(f'"{places.data_dir}"' in word for word in info["cmdline"] or []):
            name = "supervisor"
        elif info["cwd"] and Path(info["cwd"]).is_relative_to(places.home):
            name = info["name"]
        else:
            continue
        if named in ("", name):
            found.append(process)
    return found


def wait_until(condition: Callable[[], object], what: str, *, seconds: float = DEADLINE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)  # polls the process table, which has no event to wait for

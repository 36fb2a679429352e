"""The process that owns the engines: starts them, restarts them, and stops them when the last client is gone.

`python -m config.engines.supervisor PLAN` is started by config.engines.attach in a session of its own, so that Ctrl-C in a
terminal reaches the clients first. It must not load settings or Django: it would become a client of itself.
"""

import contextlib
import json
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Protocol

import psutil

from config.deathsignal import end_with_parent
from config.engines.accounts import Owner, find_owner, make_open_dir, make_private_dir
from config.engines.errors import EngineError
from config.engines.locks import open_lock, try_lock
from config.engines.places import Places
from config.engines.postgres import Postgres
from config.engines.programs import CLEAN_ENVIRONMENT, find_postgres, find_redis
from config.engines.redis import Redis

START_SECONDS = 60.0  # recovery after a power cut replays up to max_wal_size (512 MB)
_LOOK_SECONDS = 0.25  # how often the clients' lock is tried
_STOP_SECONDS = 8.0  # PostgreSQL's shutdown checkpoint
_HARD_STOP_SECONDS = 3.0
_RESTARTS, _RESTART_WINDOW_SECONDS = 5, 60.0  # a server that dies more often is broken, not unlucky
_LARGEST_LOG_BYTES = 4 * 2**20

logger = logging.getLogger("engines")


class Engine(Protocol):
    """What Postgres and Redis have in common."""

    @property
    def name(self) -> str: ...
    @property
    def process_name(self) -> str: ...
    @property
    def stop_signal(self) -> signal.Signals: ...
    @property
    def hard_stop_signal(self) -> signal.Signals: ...
    @property
    def owner(self) -> Owner: ...
    @property
    def data(self) -> Path: ...
    @property
    def log(self) -> Path: ...
    @property
    def command(self) -> list[str]: ...
    def prepare(self) -> None: ...
    def is_answering(self) -> bool: ...


class Server:
    """One engine's process: started, watched and stopped here, and never left behind."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._process: subprocess.Popen[bytes] | None = None
        self._starts: deque[float] = deque(maxlen=_RESTARTS)

    def start(self) -> None:
        end_orphans(self.engine)
        if self.engine.log.exists() and self.engine.log.stat().st_size > _LARGEST_LOG_BYTES:
            self.engine.log.replace(self.engine.log.with_suffix(".log.1"))
        self.engine.prepare()
        self._starts.append(time.monotonic())
        with self.engine.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 # the wheel's own program
                self.engine.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=CLEAN_ENVIRONMENT,
                cwd="/",
                preexec_fn=end_with_parent(self.engine.stop_signal),
                **self.engine.owner.popen,
            )

    def wait_until_answering(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.engine.is_answering():
            if not self.is_running or time.monotonic() > deadline:
                raise EngineError(
                    f"The embedded {self.engine.name} did not start.",
                    mend=f"read {self.engine.log}, or set DATABASE_URL and REDIS_URL to servers of your own",
                    permanent=False,
                    log=self.engine.log,
                )
            time.sleep(0.01)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def fails_too_often(self) -> bool:
        return len(self._starts) == _RESTARTS and time.monotonic() - self._starts[0] < _RESTART_WINDOW_SECONDS

    def ask_to_stop(self) -> None:
        if self._process is not None and self.is_running:
            self._process.send_signal(self.engine.stop_signal)

    def wait_until_stopped(self) -> None:
        if self._process is None:
            return
        for limit, next_signal in (
            (_STOP_SECONDS, self.engine.hard_stop_signal),
            (_HARD_STOP_SECONDS, signal.SIGKILL),
        ):
            try:
                self._process.wait(limit)
                return
            except subprocess.TimeoutExpired:
                logger.warning("%s does not stop: sending %s", self.engine.name, next_signal.name)
                self._process.send_signal(next_signal)
        self._process.wait()


def end_orphans(engine: Engine) -> None:
    """Ends servers that a killed supervisor left on our data; they are known by name and by where they stand.

    PostgreSQL and Redis both change into their data directory, so no pid file has to be believed.
    """
    orphans = [
        process
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["name"] == engine.process_name and process.info["cwd"] == str(engine.data)
    ]
    # The hard signal at once: PostgreSQL's gentle one means something else to its child processes, and the children are
    # orphans too. The write-ahead log brings everything back.
    for signal_number in (engine.hard_stop_signal, signal.SIGKILL):
        for process in orphans:
            logger.warning("Ending orphaned %s %d with %s", engine.name, process.pid, signal_number.name)
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal_number)
        _, orphans = psutil.wait_procs(orphans, timeout=_HARD_STOP_SECONDS)


def supervise(servers: list[Server], *, clients: int, wakeups: socket.socket, stopping: list[int]) -> None:
    """Returns when a signal says so or nobody holds the clients' lock; then it is held exclusively by this process,
    and who comes now waits until the engines are down and the next supervisor may start."""
    while not stopping and not try_lock(clients):
        for server in servers:
            if not server.is_running:
                logger.warning("%s ended by itself", server.engine.name)
                if server.fails_too_often:
                    raise EngineError(
                        f"The embedded {server.engine.name} ended {_RESTARTS} times within a minute.",
                        mend=f"read {server.engine.log}",
                        permanent=False,
                        log=server.engine.log,
                    )
                server.start()
                server.wait_until_answering()
        select.select([wakeups], [], [], _LOOK_SECONDS)
        with contextlib.suppress(BlockingIOError):
            wakeups.recv(4096)


def make_servers(places: Places, *, wants_postgres: bool, wants_redis: bool, is_throwaway: bool) -> list[Server]:
    make_open_dir(places.home)
    owner = find_owner(places.postgres_data, places.redis_data)
    make_private_dir(places.sockets, owner=owner)
    engines: list[Engine] = []
    if wants_postgres:
        programs = find_postgres(owner, copies=places.binaries)
        engines.append(Postgres(places=places, owner=owner, programs=programs, is_throwaway=is_throwaway))
    if wants_redis:
        engines.append(Redis(places=places, owner=owner, program=find_redis(owner, copies=places.binaries)))
    return [Server(engine) for engine in engines]


def main(argument: str) -> int:
    wanted = json.loads(argument)
    places = Places(data_dir=Path(wanted["data_dir"]), home=Path(wanted["home"]))
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    wakeups, stopping = _listen_for_signals()
    if not try_lock(open_lock(places.control / "supervisor.lock")):
        _report({"status": "busy"})  # another one is at work: whoever started this one will find it answering
        return 0
    places.wishes.write_text(argument)
    clients = open_lock(places.control / "clients.lock")
    servers: list[Server] = []
    try:
        servers = make_servers(
            places,
            wants_postgres=wanted["postgres"],
            wants_redis=wanted["redis"],
            is_throwaway=wanted["throwaway"],
        )
        for server in servers:
            server.start()
        for server in servers:
            server.wait_until_answering()
        _report({"status": "ready"})
        supervise(servers, clients=clients, wakeups=wakeups, stopping=stopping)
    except (EngineError, OSError) as cause:
        error = cause if isinstance(cause, EngineError) else _explain(cause, places=places)
        logger.error("%s", error)  # the error says what to do; a stack adds nothing
        failure = {"message": error.message, "mend": error.mend, "permanent": error.permanent, "tail": error.tail}
        _report({"status": "failed", "error": failure})
        return 1
    finally:
        for server in servers:
            server.ask_to_stop()
        for server in servers:
            server.wait_until_stopped()
        _tidy_up(places, is_throwaway=wanted["throwaway"])
    return 0


def _tidy_up(places: Places, *, is_throwaway: bool) -> None:
    """Nothing stays outside the data directory but data that should last."""
    if not places.sockets.is_relative_to(places.home):
        with contextlib.suppress(
            OSError
        ):  # not empty: a server that was killed left its socket, and the next start uses it
            places.sockets.rmdir()
    if is_throwaway and places.home != places.data_dir:
        shutil.rmtree(places.home, ignore_errors=True)


def _explain(error: OSError, *, places: Places) -> EngineError:
    return EngineError(
        f"The embedded engines cannot work in {places.home}: {error}.",
        mend="is the disk full, or read-only? SWITCHBOARD_DATA_DIR names another directory",
        permanent=False,
    )


def _listen_for_signals() -> tuple[socket.socket, list[int]]:
    """Ctrl-C and a closed terminal are the clients' business; SIGTERM (a machine going down) stops the engines."""
    stopping: list[int] = []
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # only to wake up
    receiving, sending = socket.socketpair()
    receiving.setblocking(False)
    sending.setblocking(False)
    signal.set_wakeup_fd(sending.detach(), warn_on_full_buffer=False)
    return receiving, stopping


def _report(report: dict[str, object]) -> None:
    """One line on standard output to the process that started us; after that nobody listens there."""
    with contextlib.suppress(BrokenPipeError, OSError):
        os.write(sys.stdout.fileno(), json.dumps(report).encode() + b"\n")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    if os.fork() == 0:  # a grandchild is reaped by init, so that a long-lived client never carries our zombie
        sys.exit(main(sys.argv[1]))

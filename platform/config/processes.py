"""Runs the product's processes side by side for `make demo` and `make dev`; leaves none behind and knows nothing about what they do.

    with ProcessGroup(logs=settings.DATA_DIR / "logs", echo=print) as group:
        group.start(Program(name="emulators", command=python("manage.py", "run_emulators"), is_ready=when_answering(url)))
        group.start(web, media, worker)     # one batch: launched together, ready together, stopped together
        ring()
        group.wait()                        # until Ctrl-C or SIGTERM; raises ProcessError when a program dies

Leaving the block stops the batches in reverse order. A signal raises StopRequested inside the block, so nothing after it runs.
"""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self
from urllib.parse import urlsplit

from config.deathsignal import end_with_parent
from config.engines.errors import read_tail

_LOOK_SECONDS = 0.05
_PROBE_SECONDS = 1.0  # a local server that takes longer is not ready


class ProcessError(Exception):
    """A program that did not start or died; carries the end of what it said."""

    permanent = False

    def __init__(self, name: str, reason: str, *, log: Path) -> None:
        self.name = name
        self.reason = reason
        self.tail = read_tail(log)
        said = f" Its last lines ({log}):\n{self.tail}" if self.tail else f" It said nothing ({log})."
        super().__init__(f"{name} {reason}.{said}")


class StopRequested(KeyboardInterrupt):
    """SIGINT or SIGTERM. Like KeyboardInterrupt, so that no `except Exception` on the way out swallows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)  # added to ours
    is_ready: "Readiness | None" = None
    ready_seconds: float = 30.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0  # then SIGKILL, for the whole process group


class Running:
    """One started program: a process group of its own, its output in a file."""

    def __init__(self, program: Program, *, log: Path) -> None:
        self.program = program
        self.log = log
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        with log.open("wb") as output:
            # A file and not a pipe: whoever is slow or dead on our side can neither block the program nor break it.
            try:
                self._process = subprocess.Popen(  # noqa: S603 # commands come from our own code
                    list(program.command),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "PYTHONUNBUFFERED": "1", **program.environment},
                    start_new_session=True,  # Ctrl-C reaches us alone, and we stop them in order
                    preexec_fn=end_with_parent(program.stop_signal),
                )
            except OSError as error:
                raise ProcessError(program.name, f"could not be started ({error})", log=log) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        return self._process.poll()

    def read_output(self) -> str:
        return self.log.read_text(errors="replace")

    def check(self) -> None:
        status = self.exit_status
        if status is not None:
            how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            raise ProcessError(self.program.name, how, log=self.log)

    def ask_to_stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(self.program.stop_signal)

    def wait_until_stopped(self, *, in_a_hurry: Callable[[], bool]) -> None:
        """Also ends what the program itself started and left in its group."""
        deadline = time.monotonic() + self.program.stop_seconds
        while self.exit_status is None and time.monotonic() < deadline and not in_a_hurry():
            time.sleep(_LOOK_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM when only a zombie is left
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


Readiness = Callable[[Running], bool]


def when_answering(url: str) -> Readiness:
    """Ready when a GET is answered with a success. Straight to the server: a proxy of the environment is not asked."""
    parts = urlsplit(url)

    def is_answering(_running: Running) -> bool:
        connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=_PROBE_SECONDS)
        try:
            connection.request("GET", f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}")
            return 200 <= connection.getresponse().status < 300
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return is_answering


def when_saying(text: str) -> Readiness:
    return lambda running: text in running.read_output()


def when_true(condition: Callable[[], bool]) -> Readiness:
    return lambda _running: condition()


class ProcessGroup:
    """Use it as a context manager, in the main thread: signals arrive there, and children end with the thread that made them."""

    def __init__(self, *, logs: Path, echo: Callable[[str], object] | None = None) -> None:
        self._logs = logs
        self._echo = echo
        self._batches: list[list[Running]] = []
        self._followed: list[Path] = []  # outlives the batches: last words are repeated too
        self._old_handlers: dict[signal.Signals, signal._HANDLER] = {}
        self._signal: signal.Signals | None = None
        self._is_held = False  # a signal now would lose a child: it is kept until the child is on the list
        self._is_stopping = False
        self._later_signals = 0
        self._follower = threading.Thread(target=self._follow, name="follow-logs", daemon=True)
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            self._old_handlers[number] = signal.signal(number, self._on_signal)
        if self._echo is not None:
            self._follower.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._ended.set()
            if self._follower.is_alive():
                self._follower.join()
            for number, handler in self._old_handlers.items():
                signal.signal(number, handler)

    def start(self, *programs: Program) -> list[Running]:
        """Returns when all are ready. Raises ProcessError as soon as one of them, or any started before, has died."""
        batch: list[Running] = []
        self._batches.append(batch)
        with self._holding_signals():
            for program in programs:
                log = self._logs / f"{program.name}.log"
                batch.append(Running(program, log=log))
                self._followed.append(log)
        began = time.monotonic()
        waiting = [running for running in batch if running.program.is_ready is not None]
        while waiting:
            self.check()
            waiting = [running for running in waiting if not _is_ready(running)]
            for running in waiting:
                if time.monotonic() - began > running.program.ready_seconds:
                    limit = f"{running.program.ready_seconds:g} s"
                    raise ProcessError(running.program.name, f"was not ready within {limit}", log=running.log)
            if waiting:
                time.sleep(_LOOK_SECONDS)
        return batch

    def release(self, running: Running) -> None:
        """From now on its end is the caller's business and no failure of the group's."""
        for batch in self._batches:
            if running in batch:
                batch.remove(running)

    def check(self) -> None:
        for running in self._everything():
            running.check()

    def wait(self) -> None:
        """Returns only by StopRequested (a signal) or ProcessError (a program died)."""
        while True:
            self.check()
            time.sleep(_LOOK_SECONDS * 4)

    def stop(self) -> None:
        """The last batch first. A second Ctrl-C does not interrupt this: it only ends the patience."""
        self._is_stopping = True
        while self._batches:
            batch = self._batches.pop()
            for running in batch:
                running.ask_to_stop()
            for running in batch:
                running.wait_until_stopped(in_a_hurry=lambda: self._later_signals > 0)

    def _everything(self) -> Iterator[Running]:
        for batch in list(self._batches):
            yield from list(batch)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._is_stopping or self._signal is not None:  # already on the way out: once more means hurry up
            self._later_signals += 1
            return
        self._signal = signal.Signals(number)
        if not self._is_held:
            raise StopRequested(self._signal.name)

    @contextlib.contextmanager
    def _holding_signals(self) -> Iterator[None]:
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._signal is not None:
            raise StopRequested(self._signal.name)

    def _follow(self) -> None:
        """Repeats what the programs say, each line after its program's name."""
        positions: dict[Path, int] = {}
        while True:
            is_last_round = self._ended.is_set()
            for log in list(self._followed):
                with log.open("rb") as file:
                    file.seek(positions.get(log, 0))
                    lines = file.read()
                whole = lines if is_last_round else lines[: lines.rfind(b"\n") + 1]
                positions[log] = positions.get(log, 0) + len(whole)
                for line in whole.decode(errors="replace").splitlines():
                    if self._echo is not None:
                        self._echo(f"{log.stem:>10} | {line}")
            if is_last_round:
                return
            self._ended.wait(_LOOK_SECONDS * 2)


def python(*arguments: str) -> list[str]:
    """A command line for this environment's Python."""
    return [sys.executable, *arguments]


def _is_ready(running: Running) -> bool:
    is_ready = running.program.is_ready
    return is_ready is None or is_ready(running)

"""Advisory file locks (flock): the kernel drops them when a process dies, so kill -9 leaves nothing to clean up."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.engines.errors import EngineError

_POLL_SECONDS = 0.02  # flock has no timeout of its own


def open_lock(path: Path) -> int:
    """A descriptor that is closed on exec and shared by forks: a forked worker counts as the same holder."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise EngineError(
            f"The engines' lock {path} belongs to another account.",
            mend="run as the account that made the data directory, or set SWITCHBOARD_DATA_DIR to another one",
            permanent=True,
        ) from error


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def take_lock(descriptor: int, *, deadline: float, shared: bool = False) -> bool:
    """Waits until time.monotonic() passes the deadline; False when somebody else still holds it then."""
    while not try_lock(descriptor, shared=shared):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def is_locked(path: Path) -> bool:
    """Whether some other process holds the lock exclusively. The question itself takes it for an instant."""
    descriptor = open_lock(path)
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def hold_lock(path: Path, *, deadline: float, waiting_for: str) -> Iterator[None]:
    descriptor = open_lock(path)
    try:
        if not take_lock(descriptor, deadline=deadline):
            raise EngineError(
                f"Gave up waiting for {waiting_for}.",
                mend=f"see who holds {path} (fuser or lsof), end it and try again",
                permanent=False,
            )
        yield
    finally:
        os.close(descriptor)

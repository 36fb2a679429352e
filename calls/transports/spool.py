"""A process's journal of facts on disk: append-only lines with a checksum, kept until the database has them; knows no table.

One directory a process, held by a file lock that dies with it. The page cache survives a killed process, so lines are only written, not
synced; `sync` forces them to the disk where a promise depends on it (tool intents, product 5.4.2). A torn last line is skipped.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

SEGMENT_BYTES = 1_000_000  # a segment is deleted whole once all its lines are in the database


class Spool:
    """Written by one thread. `append` numbers lines from 1; `acknowledge(n)` says that lines up to n are in the database."""

    def __init__(self, root: Path, name: str) -> None:
        self.path = root / name
        self.path.mkdir(parents=True, mode=0o700)
        self._lock = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.written = 0
        self._segments: list[tuple[int, Path]] = []  # (last line, path) of closed segments, oldest first
        self._file = -1
        self._size = 0
        self._open_segment()

    def append(self, lines: list[bytes]) -> None:
        """Write lines (without newline bytes in them). Raises OSError when the disk refuses."""
        data = b"".join(b"%08x %s\n" % (zlib.crc32(line), line) for line in lines)
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        self.written += len(lines)
        self._size += len(data)
        if self._size >= SEGMENT_BYTES:
            self._close_segment()
            self._open_segment()

    def sync(self) -> None:
        os.fdatasync(self._file)

    def acknowledge(self, number: int) -> None:
        """Forget what the database has."""
        while self._segments and self._segments[0][0] <= number:
            self._segments.pop(0)[1].unlink(missing_ok=True)
        if number >= self.written and self._size > SEGMENT_BYTES // 4:
            os.ftruncate(self._file, 0)
            self._size = 0

    def close(self, *, complete: bool) -> None:
        """`complete`: the database has everything, so nothing is left for a successor."""
        os.close(self._file)
        if complete:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def _open_segment(self) -> None:
        path = self.path / f"{self.written:012d}.spool"
        self._current = path
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._size = 0

    def _close_segment(self) -> None:
        os.close(self._file)
        self._segments.append((self.written, self._current))


def read_lines(path: Path) -> Iterator[bytes]:
    """The whole lines of one spool, in order; what was torn or damaged is passed over."""
    for segment in sorted(path.glob("*.spool")):
        for line in segment.read_bytes().split(b"\n"):
            checksum, _, body = line.partition(b" ")
            with contextlib.suppress(ValueError):
                if body and int(checksum, 16) == zlib.crc32(body):
                    yield body


@contextlib.contextmanager
def adopt_orphans(root: Path) -> Iterator[list[Path]]:
    """Spools whose process is dead, locked for us meanwhile. Delete each (`forget`) when its lines are in the database."""
    held: list[int] = []
    orphans: list[Path] = []
    try:
        for path in sorted(root.glob("*/lock")):
            lock = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # its process lives
                os.close(lock)
                continue
            held.append(lock)
            orphans.append(path.parent)
        yield orphans
    finally:
        for lock in held:
            os.close(lock)


def forget(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)

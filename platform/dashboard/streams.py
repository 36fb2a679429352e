"""Streamed answers that work under ASGI and under the test client, and byte ranges (RFC 9110 §14); knows nothing of calls."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import IO, Any, Self

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

CHUNK_BYTES = 65_536
_ONE_RANGE = re.compile(r"^bytes=(\d*)-(\d*)$")


class RangeNotSatisfiable(ValueError):
    """The asked bytes lie outside the file: 416."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """First and last byte, both included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        return self.last - self.first + 1


def stream_response(
    request: HttpRequest, pieces: Iterator[bytes], *, content_type: str, headers: dict[str, str], status: int = 200
) -> StreamingHttpResponse:
    """Sends the pieces as they come. Under ASGI a plain iterator would be read whole before the first byte leaves."""
    body: Any = AwaitedPieces(pieces) if isinstance(request, ASGIRequest) else pieces
    return StreamingHttpResponse(body, content_type=content_type, headers=headers, status=status)


def file_response(
    request: HttpRequest, open_file: Callable[[], IO[bytes]], *, size: int, content_type: str, etag: str
) -> HttpResponseBase:
    """The file or one range of it (206), so that players can seek. Several ranges are answered with the whole.

    The file is opened with the first piece: a listener who leaves before that leaves nothing open.
    """
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{etag}"', "Cache-Control": "private, no-cache"}
    try:
        wanted = parse_range(request.headers.get("Range", ""), size=size)
    except RangeNotSatisfiable:
        return HttpResponse(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    if request.headers.get("If-Range", headers["ETag"]) != headers["ETag"]:
        wanted = None
    part = wanted or ByteRange(0, size - 1)
    headers["Content-Length"] = str(part.size)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {part.first}-{part.last}/{size}"
    status = 206 if wanted is not None else 200
    if request.method == "HEAD":
        return HttpResponse(status=status, content_type=content_type, headers=headers)
    return stream_response(request, _read(open_file, part), content_type=content_type, headers=headers, status=status)


def parse_range(header: str, *, size: int) -> ByteRange | None:
    """None means the whole file: no header, or one that we do not follow. Raises RangeNotSatisfiable."""
    found = _ONE_RANGE.match(header.strip())
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:  # the last n bytes
        length = min(int(last), size)
        if not length:
            raise RangeNotSatisfiable
        return ByteRange(size - length, size - 1)
    wanted = ByteRange(int(first), min(int(last), size - 1) if last else size - 1)
    if last and int(last) < int(first):
        return None  # RFC 9110 §14.1.1: an invalid range is ignored
    if wanted.first >= size:
        raise RangeNotSatisfiable
    return wanted


class AwaitedPieces:
    """The same pieces for an event loop, each fetched in a thread. Django closes it with the response, also when the listener has left
    while a piece was on its way: the lock keeps the two apart."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._lock = threading.Lock()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await sync_to_async(self._step)()
        if piece is None:
            raise StopAsyncIteration
        return piece

    def close(self) -> None:
        with self._lock:
            if isinstance(self._pieces, Generator):
                self._pieces.close()

    def _step(self) -> bytes | None:
        with self._lock:
            return next(self._pieces, None)


def _read(open_file: Callable[[], IO[bytes]], part: ByteRange) -> Iterator[bytes]:
    with open_file() as file:
        file.seek(part.first)
        left = part.size
        while left > 0:
            piece = file.read(min(CHUNK_BYTES, left))
            if not piece:
                return
            left -= len(piece)
            yield piece

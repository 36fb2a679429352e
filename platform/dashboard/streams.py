"""Streamed answers that work under ASGI and under the test client, and byte ranges (RFC 9110 §14); knows nothing of calls."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import IO, Any

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
    body: Any = await_pieces(pieces) if isinstance(request, ASGIRequest) else pieces
    return StreamingHttpResponse(body, content_type=content_type, headers=headers, status=status)


def file_response(
    request: HttpRequest, file: IO[bytes], *, size: int, content_type: str, etag: str
) -> HttpResponseBase:
    """The file or one range of it (206), so that players can seek; closes the file. Several ranges are answered with the whole."""
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{etag}"', "Cache-Control": "private, no-cache"}
    try:
        wanted = parse_range(request.headers.get("Range", ""), size=size)
    except RangeNotSatisfiable:
        file.close()
        return HttpResponse(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    if request.headers.get("If-Range", headers["ETag"]) != headers["ETag"]:
        wanted = None
    part = wanted or ByteRange(0, size - 1)
    headers["Content-Length"] = str(part.size)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {part.first}-{part.last}/{size}"
    status = 206 if wanted is not None else 200
    if request.method == "HEAD":
        file.close()
        return HttpResponse(status=status, content_type=content_type, headers=headers)
    return stream_response(request, _read(file, part), content_type=content_type, headers=headers, status=status)


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


async def await_pieces(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces for an event loop, each fetched in a thread."""

    def step() -> bytes | None:
        return next(pieces, None)

    while (piece := await sync_to_async(step)()) is not None:
        yield piece


def _read(file: IO[bytes], part: ByteRange) -> Iterator[bytes]:
    with file:
        file.seek(part.first)
        left = part.size
        while left > 0:
            piece = file.read(min(CHUNK_BYTES, left))
            if not piece:
                return
            left -= len(piece)
            yield piece

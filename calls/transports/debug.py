"""Writes the raw frames of both sockets to a file per call when `SWITCHBOARD_DEBUG_CALLS` asks for it; redacted, bounded, off by default.

Audio is replaced by its length, pressed keys and the ticket by a placeholder. Code may watch unredacted frames through
`CallDriver.on_carrier_frame` and `CallDriver.on_model_event` (openai-realtime.md §7.5, 14).
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

import orjson
import structlog
from django.conf import settings

if TYPE_CHECKING:
    from calls.transports.driver import CallDriver

log = structlog.get_logger(__name__)

HIDDEN = "(hidden)"
_AUDIO = re.compile(r'("(?:payload|audio|delta)"\s*:\s*")([A-Za-z0-9+/=]{40,})(")')
_DIGIT = re.compile(r'("digit"\s*:\s*")([^"]*)(")')
_KEY = re.compile(r'(dtmf_event_received"\s*,\s*"event"\s*:\s*")([^"]*)(")')  # on SIP the keys come from the model
_TICKET = re.compile(r'("ticket"\s*:\s*")([^"]*)(")')


class Capture:
    """One call's file, closed for good once it is full."""

    def __init__(self, file: IO[bytes], *, max_bytes: int) -> None:
        self._file = file
        self._left = max_bytes

    def write(self, socket: str, direction: str, frame: bytes | str) -> None:
        if self._left <= 0:
            return
        line = orjson.dumps({"at": time.time(), "socket": socket, "direction": direction, "frame": redact(frame)})
        self._left -= len(line) + 1
        if self._left <= 0:
            line = orjson.dumps({"at": time.time(), "full": True})
        self._file.write(line + b"\n")


def redact(frame: bytes | str) -> str:
    text = frame if isinstance(frame, str) else frame.decode(errors="replace")
    text = _AUDIO.sub(lambda found: f"{found[1]}({len(found[2]) * 3 // 4} bytes){found[3]}", text)
    text = _KEY.sub(rf"\g<1>{HIDDEN}\g<3>", text)
    text = _DIGIT.sub(rf"\g<1>{HIDDEN}\g<3>", text)
    return _TICKET.sub(rf"\g<1>{HIDDEN}\g<3>", text)


@contextlib.contextmanager
def watch_call(bridge: CallDriver) -> Iterator[None]:
    """Capture while the call lasts, if the setting asks for it."""
    if not settings.DEBUG_CALLS:
        yield
        return
    folder = settings.DATA_DIR / "debug_calls"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{bridge.call.call_id}-{bridge.call.token}.jsonl"
    try:
        file = path.open("ab", buffering=1 << 16)
    except OSError:  # a full disk costs the capture, not the call
        log.exception("debug_capture_failed")
        yield
        return
    with file:
        capture = Capture(file, max_bytes=settings.DEBUG_CALLS_MAX_BYTES)
        bridge.on_carrier_frame.append(lambda direction, frame: capture.write("carrier", direction, frame))
        bridge.on_model_event.append(lambda direction, frame: capture.write("model", direction, frame))
        yield

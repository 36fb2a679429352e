"""A crowd of telephone calls for load: the carrier's side of webhook and stream at wire timing, played out by the clock; checks nothing.

The strict double is emulators.twilio; this one exists because fifty calls must cost its own core little. Shapes: twilio.md §1.4, §1.5.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import itertools
import secrets
import struct
import time
from dataclasses import dataclass, field
from xml.etree import ElementTree

import httpx
import orjson
import picows

FRAME_S = 0.02
BYTES_PER_S = 8000
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Line:
    """The number that is rung, and how its owner's account signs."""

    e164: str
    voice_url: str
    account_sid: str
    auth_token: str = field(repr=False)

    def sign(self, url: str, form: dict[str, str] | None = None) -> str:
        """twilio.md §3.4; a handshake signs its address alone (§1.3)."""
        text = url + "".join(f"{key}{value}" for key, value in sorted((form or {}).items()))
        digest = hmac.new(self.auth_token.encode(), text.encode(), hashlib.sha1).digest()
        return base64.b64encode(digest).decode()


@dataclass(slots=True)
class Document:
    """What the product's TwiML asks for, as far as this carrier understands it."""

    stream_url: str = ""
    ticket: str = ""
    next_url: str = ""
    verbs: tuple[str, ...] = ()


class LoadCall(picows.WSListener):
    """One caller. `number` is in every frame it sends, so that the model's side knows who speaks.

    Times are time.monotonic(): uvloop's own clock turns once a millisecond.
    """

    def __init__(self, line: Line, *, delay_s: float = 0.0) -> None:
        self.number = next(_numbers)
        self.line = line
        self.sid = "CA" + secrets.token_hex(16)
        self.stream_sid = ""
        self.resume_url = ""
        self.delay_s = delay_s
        self.started_at = 0.0
        self.first_media_at: float | None = None
        self.cleared_at: float | None = None
        self.clears = 0
        self.close_code: int | None = None
        self.sent_at: dict[int, float] = {}  # frame -> when, until the model's side has it
        self.played: dict[int, float] = {}  # item value -> seconds heard
        self.first_heard_at: dict[int, float] = {}
        self.news = asyncio.Event()
        self.closed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._frames = itertools.count()
        self._queue: list[tuple[int, float, float]] = []  # value, start, end of what is still to play, or playing
        self._queue_end = 0.0
        self._marks: list[tuple[str, asyncio.TimerHandle]] = []
        self._ticker: asyncio.TimerHandle | None = None
        self._transport: picows.WSTransport | None = None

    # --- the life of a call -----------------------------------------------------------------------------------------

    async def ask(self, client: httpx.AsyncClient, url: str, *, status: str = "ringing") -> Document:
        """POST a webhook as the carrier does and read the document."""
        url = url.partition("#")[0]
        form = {
            "AccountSid": self.line.account_sid,
            "ApiVersion": "2010-04-01",
            "CallSid": self.sid,
            "CallStatus": status,
            "Direction": "inbound",
            "From": "+15557654321",
            "To": self.line.e164,
        }
        answer = await client.post(url, data=form, headers={"X-Twilio-Signature": self.line.sign(url, form)})
        answer.raise_for_status()
        return read_document(answer.text)

    async def connect(self, document: Document) -> None:
        """Open the stream and start it."""
        headers = {"X-Twilio-Signature": self.line.sign(document.stream_url)}
        self.closed.clear()
        self.stream_sid = "MZ" + secrets.token_hex(16)
        await picows.ws_connect(lambda: self, document.stream_url, extra_headers=headers)
        self._send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        self.started_at = time.monotonic()
        self.first_media_at = None
        start = {
            "accountSid": self.line.account_sid,
            "callSid": self.sid,
            "streamSid": self.stream_sid,
            "tracks": ["inbound"],
            "customParameters": {"ticket": document.ticket},
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        }
        self._send({"event": "start", "sequenceNumber": "1", "streamSid": self.stream_sid, "start": start})
        self._stream_started = time.monotonic()
        self._frame_number = 0
        self._tick()

    def hang_up(self) -> None:
        self._send({"event": "stop", "sequenceNumber": "9", "streamSid": self.stream_sid})
        self._stop_ticking()

    def drop(self) -> None:
        """End without a word."""
        self._stop_ticking()
        if self._transport is not None:
            self._transport.disconnect()

    async def wait_for_media(self, timeout_s: float) -> float:
        """Seconds from `start` to the first sound."""
        async with asyncio.timeout(timeout_s):
            while self.first_media_at is None:
                self.news.clear()
                await self.news.wait()
        return self.first_media_at - self.started_at

    async def wait_for_clear(self, after: float, timeout_s: float) -> float:
        async with asyncio.timeout(timeout_s):
            while self.cleared_at is None or self.cleared_at < after:
                self.news.clear()
                await self.news.wait()
        return self.cleared_at

    def heard_ms(self, value: int) -> float:
        """How much of the item was played until now."""
        now = time.monotonic()
        running = sum(max(0.0, min(now, end) - start) for v, start, end in self._queue if v == value)
        return (self.played.get(value, 0.0) + running) * 1000

    # --- the socket -------------------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self._stop_ticking()
        self.closed.set()
        self.news.set()

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:
            payload = frame.get_payload_as_bytes()
            self.close_code = struct.unpack("!H", payload[:2])[0] if len(payload) > 1 else 1005
            transport.send_close()
            transport.disconnect()
        elif frame.msg_type == picows.WSMsgType.TEXT:
            raw = frame.get_payload_as_bytes()
            if self.delay_s:
                self._loop.call_later(self.delay_s, self._hear, raw)
            else:
                self._hear(raw)

    def _hear(self, raw: bytes) -> None:
        now = time.monotonic()
        message = orjson.loads(raw)
        event = message["event"]
        if event == "media":
            self._play(base64.b64decode(message["media"]["payload"]), now)
        elif event == "mark":
            self._take_mark(message["mark"]["name"], now)
        elif event == "clear":
            self._clear(now)

    def _play(self, audio: bytes, now: float) -> None:
        if self.first_media_at is None:
            self.first_media_at = now
        self._settle(now)
        value = audio[0]
        if value not in self.first_heard_at:
            self.first_heard_at[value] = now
        start = max(now, self._queue_end)
        self._queue_end = start + len(audio) / BYTES_PER_S
        self._queue.append((value, start, self._queue_end))
        self.news.set()

    def _take_mark(self, name: str, now: float) -> None:
        if self._queue_end <= now:
            self._return_mark(name)
        else:
            self._marks.append((name, self._loop.call_later(self._queue_end - now, self._return_first, name)))

    def _return_first(self, name: str) -> None:
        self._marks.pop(0)
        self._return_mark(name)

    def _return_mark(self, name: str) -> None:
        self._send({"event": "mark", "sequenceNumber": "2", "streamSid": self.stream_sid, "mark": {"name": name}})

    def _clear(self, now: float) -> None:
        self._settle(now)
        for value, start, end in self._queue:
            self.played[value] = self.played.get(value, 0.0) + max(0.0, min(now, end) - start)
        self._queue.clear()
        self._queue_end = now
        self.cleared_at = now
        self.clears += 1
        marks, self._marks = self._marks, []
        for name, timer in marks:
            timer.cancel()
            self._return_mark(name)
        self.news.set()

    def _settle(self, now: float) -> None:
        """What was played to its end is counted and forgotten."""
        done = [segment for segment in self._queue if segment[2] <= now]
        for value, start, end in done:
            self.played[value] = self.played.get(value, 0.0) + end - start
        del self._queue[: len(done)]

    def _tick(self) -> None:
        number = self._frame_number
        self._frame_number += 1
        head = base64.b64encode(struct.pack("!HI", self.number & 0xFFFF, number)).decode()
        self._send_text(
            f'{{"event":"media","sequenceNumber":"{number + 2}","streamSid":"{self.stream_sid}","media":'
            f'{{"track":"inbound","chunk":"{number + 1}","timestamp":"{number * 20}","payload":"{head}{_REST}"}}}}'
        )
        self.sent_at[number] = time.monotonic()
        due = self._stream_started + (number + 1) * FRAME_S
        self._ticker = self._loop.call_later(max(0.0, due - time.monotonic()), self._tick)

    def _stop_ticking(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None

    def _send(self, message: dict[str, object]) -> None:
        self._send_text(orjson.dumps(message).decode())

    def _send_text(self, text: str) -> None:
        if self.delay_s:
            self._loop.call_later(self.delay_s, self._write, text)
        else:
            self._write(text)

    def _write(self, text: str) -> None:
        if self._transport is not None and not self._transport.is_disconnected:
            with contextlib.suppress(picows.WSError):
                self._transport.send(picows.WSMsgType.TEXT, text)


_REST = base64.b64encode(b"\xff" * 154).decode()  # with the six bytes of the head: 160 bytes, 20 ms


def read_head(head: bytes) -> tuple[int, int] | None:
    """Call and frame number of an append's first eight characters; None for silence that the product put in."""
    raw = base64.b64decode(head)
    if raw == b"\xff" * 6:
        return None
    call, number = struct.unpack("!HI", raw)
    return call, number


def read_document(text: str) -> Document:
    root = ElementTree.fromstring(text)  # noqa: S314 # the product's own answer
    stream = root.find("Connect/Stream")
    redirect = root.find("Redirect")
    parameter = root.find("Connect/Stream/Parameter")
    return Document(
        stream_url=stream.get("url", "") if stream is not None else "",
        ticket=parameter.get("value", "") if parameter is not None else "",
        next_url=(redirect.text or "").strip() if redirect is not None else "",
        verbs=tuple(verb.tag for verb in root),
    )

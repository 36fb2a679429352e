"""One Media Stream as Twilio plays it (twilio.md §1): frames at wire timing, marks when played, every breach of protocol counted."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from emulators.twilio.clock import FRAME_SAMPLES, SAMPLES_PER_MS
from emulators.twilio.delay_line import DelayLine
from emulators.twilio.leg import SILENT_FRAME, Frame
from emulators.twilio.media_messages import Malformed, MarkWanted, Media, read_message
from emulators.twilio.media_socket import MAX_BACKLOG_BYTES, MediaSocket, check_stream_url
from emulators.twilio.playout import Mark
from emulators.twilio.signing import sign_url
from emulators.twilio.values import TwilioFault, make_sid

if TYPE_CHECKING:
    from emulators.twilio.call import Call

MAX_PARAMETER_CHARACTERS = 500  # §1.2


@dataclass(slots=True)
class Breaches:
    """What the server sent that it should not have; a correct product has zeros here."""

    malformed: int = 0  # 31950
    invalid: int = 0  # 31951
    discarded: int = 0  # 31931
    dropped_frames: int = 0  # 31930


@dataclass(frozen=True, slots=True)
class StreamOrder:
    """What the TwiML or the REST request asks for."""

    url: str
    name: str = ""
    tracks: tuple[str, ...] = ("inbound",)
    parameters: tuple[tuple[str, str], ...] = ()
    status_callback: str = ""
    status_callback_method: str = "POST"
    bidirectional: bool = True


class MediaStream:
    """`open`, then wait for `closed` (bidirectional) or go on; `stop` in any case."""

    def __init__(self, call: Call, order: StreamOrder) -> None:
        self.sid = make_sid("MZ")
        self.order = order
        self.call = call
        self.breaches = Breaches()
        self.marks_returned: list[tuple[int, str, bool]] = []  # (position, name, by clear)
        self.started_at = 0
        self.frames_sent = 0
        self.messages_received = 0
        self._exchange = call.exchange
        self._clock = call.exchange.clock
        self._socket: MediaSocket | None = None
        self._sequence = 0
        self._chunks = dict.fromkeys(order.tracks, 0)
        self._warned: set[int] = set()
        self._mark_timer: asyncio.TimerHandle | None = None
        ordinal = f"{len(call.exchange.calls)}:{len(call.streams)}"  # not the SID: a run can be repeated
        self._random = random.Random(f"{call.exchange.faults.seed}:{ordinal}")
        config = call.exchange.config
        self._outgoing: DelayLine[str | None] = DelayLine(
            self._clock, delay_ms=config.network_delay_ms, sink=self._send_now
        )
        self._incoming: DelayLine[bytes] = DelayLine(self._clock, delay_ms=config.network_delay_ms, sink=self._take)
        self._limit = int(config.stream_buffer_s * 1000 * SAMPLES_PER_MS)
        self._tail = int(config.clear_tail_ms * SAMPLES_PER_MS)
        self._opened = False
        self._stopped = False
        self._frozen = False
        self._first_position: int | None = None
        self._watches: list[_Watch] = []
        before, after = f'","streamSid":"{self.sid}"', ""
        if config.stream_sid_last:
            before, after = '"', f',"streamSid":"{self.sid}"'
        self._media_head = f'{before},"media":{{"track":"'
        self._media_tail = f'"}}{after}}}'

    @property
    def name(self) -> str:
        return self.order.name or self.sid  # §1.2

    @property
    def running(self) -> bool:
        return self._opened and not self._stopped

    async def open(self) -> bool:
        """False when the server could not be reached or refused: told in an alert and a callback, the call goes on."""
        call = self.call
        try:
            url = check_stream_url(self.order.url)
            for name, value in self.order.parameters:
                if len(name) + len(value) >= MAX_PARAMETER_CHARACTERS:
                    raise TwilioFault(
                        12200, f"parameter {name!r} has {len(name) + len(value)} characters with its name"
                    )
            socket = MediaSocket(
                url,
                headers=self._sign(url),
                on_text=self._incoming.push,
            )
            self._socket = socket
            await socket.connect(limit_s=self._exchange.config.stream_connect_limit_s)
        except TwilioFault as fault:
            self._stopped = True
            self._exchange.alert(fault.code, fault.message, call=call)
            call.note("stream-error", sid=self.sid, code=fault.code, text=fault.message)
            self._report("stream-error", error=fault.message)
            return False
        self._opened = True
        self.started_at = self._clock.samples()
        call.note("stream-started", sid=self.sid, url=url)
        self._report("stream-started")
        self._send({"event": "connected", "protocol": "Call", "version": "1.0.0"})  # §1.4: no sequenceNumber
        if self._exchange.faults.media_before_start:
            self.send_frame(self.order.tracks[0], self.started_at + FRAME_SAMPLES, SILENT_FRAME)
        if not self._exchange.faults.withhold_start:
            self._send_start()
        for track in self.order.tracks:
            watch = _Watch(self, track)
            self._watches.append(watch)
            (call.leg.listeners if track == "inbound" else call.leg.watchers).append(watch)
        if self.order.bidirectional:
            call.digit_listeners.append(self._on_digit)
        return True

    def _sign(self, url: str) -> dict[str, str]:
        """§1.3: the URL alone, byte for byte."""
        token = self._exchange.signing_token(self.call.account)
        headers = {"User-Agent": "Twilio.TmeWs/1.0"}
        return headers if token is None else headers | {"X-Twilio-Signature": sign_url(url, token=token)}

    def _send_start(self) -> None:
        call = self.call
        self._send(
            {
                "event": "start",
                "sequenceNumber": self._next_sequence(),
                "streamSid": self.sid,
                "start": {
                    "accountSid": call.account.sid,
                    "callSid": call.sid,
                    "streamSid": self.sid,
                    "tracks": list(self.order.tracks),
                    "customParameters": dict(self.order.parameters),
                    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                },
            }
        )

    # -- faults of one stream ------------------------------------------------------

    def send_raw(self, text: str) -> None:
        """Anything at all, in order with the other messages."""
        self._outgoing.push(text)

    def freeze(self, frozen: bool = True) -> None:
        """No frames from here on, while the socket stays open."""
        self._frozen = frozen

    def cut(self) -> None:
        """The network between is gone: no `stop`, no closing handshake; the call goes on with the next verb."""
        if self._socket is not None:
            self.call.note("stream-cut", sid=self.sid)
            self._socket.abort()

    async def closed(self) -> None:
        """Returns when the server closed the socket or is gone; the reason is alerted here."""
        socket = self._need_socket()
        proper = await asyncio.shield(socket.closed)
        if self._stopped:
            return
        config = self._exchange.config
        if socket.protocol_error:
            self._exchange.alert(31924, f"protocol error: {socket.protocol_error}", call=self.call)
        elif not proper or config.close_without_reason_is_error:
            self._exchange.alert(31921, "the server closed the WebSocket", call=self.call)  # §1.6: the process died
        self.call.note("stream-closed-by-server", sid=self.sid, code=socket.close_code, proper=proper)

    async def stop(self) -> None:
        """Ends the stream from our side: `stop`, close, callback (§1.6). Safe to call twice."""
        if self._stopped:
            return
        self._stopped = True
        self._detach()
        socket = self._socket
        if socket is None:
            return
        if not self._opened:
            socket.abort()  # the call ended during the handshake: nobody heard of this stream
            return
        if not socket.closed.done():
            account, call = self.call.account.sid, self.call.sid
            self._send(
                {
                    "event": "stop",
                    "sequenceNumber": self._next_sequence(),
                    "streamSid": self.sid,
                    "stop": {"accountSid": account, "callSid": call},
                }
            )
            self._outgoing.push(None)  # after `stop` has travelled
        self.call.note(
            "stream-stopped", sid=self.sid, frames_sent=self.frames_sent, messages_received=self.messages_received
        )
        self._report("stream-stopped")
        self._exchange.spawn(self._finish(socket))

    async def _finish(self, socket: MediaSocket) -> None:
        limit_s = self._exchange.config.close_handshake_limit_s + 2 * self._exchange.config.network_delay_ms / 1000
        await asyncio.wait({socket.closed}, timeout=limit_s)
        socket.abort()
        self._outgoing.stop()
        self._incoming.stop()

    def _detach(self) -> None:
        if not self._watches:
            return  # cancelled before the handshake was through
        leg = self.call.leg
        for watch in self._watches:
            listeners = leg.listeners if watch.track == "inbound" else leg.watchers
            listeners.remove(watch)
        self._watches.clear()
        if self.order.bidirectional:
            self.call.digit_listeners.remove(self._on_digit)
            leg.playout.forget_marks()
            leg.playout.stop(now=self._clock.samples())
        if self._mark_timer is not None:
            self._mark_timer.cancel()
            self._mark_timer = None

    # -- Twilio → server (§1.4) -------------------------------------------------

    def send_frame(self, track: str, position: int, frame: Frame) -> None:
        socket = self._socket
        if socket is None or self._stopped or self._frozen:
            return
        if self._first_position is None:
            self._first_position = position - FRAME_SAMPLES
        elapsed_ms = (position - self._first_position) // SAMPLES_PER_MS  # §1.4: chunk 3 ↔ 60 when nothing was lost
        faults = self._exchange.faults
        if faults.gaps_ms and any(begin <= elapsed_ms < end for begin, end in faults.gaps_ms):
            return
        if faults.frame_loss and self._random.random() < faults.frame_loss:
            return
        if socket.backlog_bytes > MAX_BACKLOG_BYTES:
            self.breaches.dropped_frames += 1
            self._warn(31930, "audio dropped: the server reads too slowly")
            return
        self._chunks[track] += 1
        self._sequence += 1
        self.frames_sent += 1
        text = (
            f'{{"event":"media","sequenceNumber":"{self._sequence}{self._media_head}{track}","chunk":"'
            f'{self._chunks[track]}","timestamp":"{elapsed_ms}","payload":"{frame.payload}{self._media_tail}'
        )
        extra_ms = self._random.random() * faults.jitter_ms if faults.jitter_ms else 0.0
        self._outgoing.push(text, extra_ms=extra_ms)

    def _on_digit(self, digit: str) -> None:
        self._send(
            {
                "event": "dtmf",
                "streamSid": self.sid,
                "sequenceNumber": self._next_sequence(),
                "dtmf": {"track": "inbound_track", "digit": digit},
            }
        )

    def _return_mark(self, mark: Mark) -> None:
        self.marks_returned.append((self._clock.samples(), mark.name, mark.cleared))
        self._send(
            {
                "event": "mark",
                "sequenceNumber": self._next_sequence(),
                "streamSid": self.sid,
                "mark": {"name": mark.name},
            }
        )

    def _next_sequence(self) -> str:
        self._sequence += 1
        return str(self._sequence)

    def _send(self, message: dict[str, object]) -> None:
        self._outgoing.push(orjson.dumps(message).decode())

    def _send_now(self, text: str | None) -> None:
        if self._socket is None:
            return
        if text is None:
            self._socket.close()
        else:
            self._socket.send(text)

    # -- server → Twilio (§1.5) -------------------------------------------------

    def _take(self, text: bytes) -> None:
        if self._stopped:
            return
        self.messages_received += 1
        message = read_message(text, stream_sid=self.sid)
        if isinstance(message, Malformed):
            self._malformed(message.text)
            return
        if not self.order.bidirectional:
            self._malformed("a unidirectional stream takes no messages")  # §1.1
            return
        for unknown in message.unknown:
            self._invalid(unknown)
        now = self._clock.samples()
        playout = self.call.leg.playout
        if isinstance(message, Media):
            if playout.enqueue(message.audio, now=now, source=self.sid, limit=self._limit) is None:
                self.breaches.discarded += 1
                self._warn(31931, "media discarded: sent too far ahead of real time")
        elif isinstance(message, MarkWanted):
            playout.mark(message.name, now=now)
            self._return_due_marks()
        else:
            marks = playout.clear(now=now, source=self.sid, tail=self._tail)
            self.call.note("clear", sid=self.sid, played=playout.clears[-1].played, pending=len(marks))
            for mark in marks:
                self._return_mark(mark)
            self._return_due_marks()

    def _return_due_marks(self, at_least: int = 0) -> None:
        playout = self.call.leg.playout
        for mark in playout.take_due(max(self._clock.samples(), at_least)):
            self._return_mark(mark)
        if self._mark_timer is not None:
            self._mark_timer.cancel()
            self._mark_timer = None
        due = playout.next_due()
        if due is not None:
            self._mark_timer = self._clock.call_at(due, lambda: self._return_due_marks(due))

    def _malformed(self, text: str) -> None:
        self.breaches.malformed += 1
        self._warn(31950, text)
        if self._exchange.config.malformed_closes_stream and self._socket is not None:
            self._socket.close()

    def _invalid(self, text: str) -> None:
        self.breaches.invalid += 1
        self._warn(31951, text)

    def _warn(self, code: int, text: str) -> None:
        if code not in self._warned:  # §1.5: reported once per stream
            self._warned.add(code)
            self._exchange.alert(code, text, call=self.call)

    def _report(self, event: str, *, error: str = "") -> None:
        """§1.2: the stream status callback."""
        order = self.order
        if not order.status_callback:
            return
        params = {
            "AccountSid": self.call.account.sid,
            "CallSid": self.call.sid,
            "StreamSid": self.sid,
            "StreamName": self.name,
            "StreamEvent": event,
            "Timestamp": self._clock.utc().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        if error:
            params["StreamError"] = error
        self._exchange.notify(
            self.call, order.status_callback, method=order.status_callback_method, params=params, event=event
        )

    def _need_socket(self) -> MediaSocket:
        if self._socket is None:
            raise RuntimeError("the stream was never opened")
        return self._socket


class _Watch:
    """Ties one track of a leg to the stream."""

    __slots__ = ("_stream", "track")

    def __init__(self, stream: MediaStream, track: str) -> None:
        self._stream = stream
        self.track = track

    def hear_frame(self, position: int, frame: Frame) -> None:
        self._stream.send_frame(self.track, position, frame)

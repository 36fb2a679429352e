"""The one writer of a carrier socket: control overtakes audio, and a clear takes back what has not left yet; decides nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from calls.session.events import MULAW_BYTES_PER_MS
from calls.transports.ports import CarrierSocket
from calls.wire.media_streams import Encoder

MAX_WAITING_MS = (
    30_000  # twilio.md §1.5: the carrier discards what is more than 30 s ahead; the session's lead keeps far below
)


class CarrierWriter:
    """Send with the three methods. What the socket has no room for waits here, within a bound: beyond it the oldest audio goes."""

    def __init__(self, socket: CarrierSocket, encoder: Encoder) -> None:
        self.hooks: list[Callable[[str, bytes | str], None]] = []
        self.dropped_ms = 0
        self._socket = socket
        self._encoder = encoder
        self._control: deque[bytes] = deque()
        self._audio: deque[tuple[bytes, int]] = (
            deque()
        )  # media and the marks behind them, in order, with their duration
        self._waiting_ms = 0
        socket.on_room = self._pump

    def play(self, audio: bytes, mark: str) -> None:
        ms = len(audio) // MULAW_BYTES_PER_MS
        self._put(self._encoder.media(audio), ms)
        self._put(self._encoder.mark(mark), 0)
        while self._waiting_ms > MAX_WAITING_MS:
            self._drop_oldest()

    def mark(self, name: str) -> None:
        self._put(self._encoder.mark(name), 0)

    def clear(self) -> None:
        """What waits here would be played after the clear, so it goes with the rest (twilio.md §1.5)."""
        self._audio.clear()
        self._waiting_ms = 0
        self._control.append(self._encoder.clear)
        self._pump()

    def _put(self, frame: bytes, ms: int) -> None:
        if self._socket.has_room and not self._audio:
            self._write(frame)
        else:
            self._audio.append((frame, ms))
            self._waiting_ms += ms

    def _drop_oldest(self) -> None:
        """A piece and its mark, with the bare marks before it: what comes later says all they had to say."""
        ms = 0
        while not ms:
            _, ms = self._audio.popleft()
        self._audio.popleft()
        self._waiting_ms -= ms
        self.dropped_ms += ms

    def _pump(self) -> None:
        while self._socket.has_room:
            if self._control:
                self._write(self._control.popleft())
            elif self._audio:
                frame, ms = self._audio.popleft()
                self._waiting_ms -= ms
                self._write(frame)
            else:
                return

    def _write(self, frame: bytes) -> None:
        for hook in self.hooks:
            hook("out", frame)
        self._socket.send(frame)

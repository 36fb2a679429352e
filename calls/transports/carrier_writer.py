"""The one writer of a carrier socket: control overtakes audio, and a clear takes back what has not left yet; decides nothing."""

from __future__ import annotations

import asyncio
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from calls.wire.media_streams import Encoder

Send = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]


class CarrierWriter:
    """Send with the three methods; `run` carries on where the socket has no room.

    The queue is as short as the session's playback lead keeps it.
    """

    def __init__(self, send: Send, encoder: Encoder) -> None:
        self._send = send
        self._encoder = encoder
        self._control: deque[str] = deque()
        self._audio: deque[str] = deque()  # media and the marks behind them, in order
        self._wake = asyncio.Event()
        self._is_running = False
        self._stuck: tuple[Coroutine[Any, Any, None], Any] | None = None  # a send that waits for room, and for what
        self._failure: OSError | None = None
        self._loop = asyncio.get_running_loop()
        self._is_burst = False
        self.hooks: list[Callable[[str, bytes | str], None]] = []

    def play(self, audio: bytes, mark: str) -> None:
        """The first piece of a burst leaves with this turn of the loop, which writes at its end; the others with the next."""
        self._audio.append(self._encoder.media(audio))
        self._audio.append(self._encoder.mark(mark))
        if not self._is_burst:
            self._is_burst = True
            self._loop.call_soon(self._end_burst)
            self._pump()

    def mark(self, name: str) -> None:
        self._audio.append(self._encoder.mark(name))
        if not self._is_burst:
            self._pump()

    def clear(self) -> None:
        """What waits here would be played after the clear, so it goes with the rest (twilio.md §1.5)."""
        self._audio.clear()
        self._control.append(self._encoder.clear)
        self._pump()

    async def run(self) -> None:
        """Send for ever. Raises OSError when the socket is gone."""
        self._is_running = True
        self._pump()
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._failure is not None:
                raise self._failure
            if self._stuck is not None:
                await _go_on(*self._stuck)
                self._stuck = None
                self._pump()

    def _end_burst(self) -> None:
        self._is_burst = False
        self._pump()

    def _pump(self) -> None:
        """Send at once what the socket takes: a server whose buffer has room answers without waiting, and no task need wake up."""
        while self._is_running and self._stuck is None and self._failure is None:
            if self._control:
                text = self._control.popleft()
            elif self._audio:
                text = self._audio.popleft()
            else:
                return
            for hook in self.hooks:
                hook("out", text)
            sending = self._send({"type": "websocket.send", "text": text})
            try:
                self._stuck = (sending, sending.send(None))
            except StopIteration:
                continue
            except OSError as error:
                self._failure = error
            self._wake.set()


@types.coroutine
def _go_on(sending: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """The rest of a send that had to wait, now in a task that may."""
    while True:
        try:
            try:
                answer = yield waits_for
            except BaseException as error:  # a cancelled call: the send must hear of it
                waits_for = sending.throw(error)
            else:
                waits_for = sending.send(answer)
        except StopIteration:
            return

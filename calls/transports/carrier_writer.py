"""The one writer of a carrier socket: control overtakes audio, and a clear takes back what has not left yet; decides nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from calls.wire.media_streams import Encoder

Send = Callable[[dict[str, Any]], Awaitable[None]]


class CarrierWriter:
    """Queue with the three methods; `run` sends. The queue is as short as the session's playback lead keeps it."""

    def __init__(self, send: Send, encoder: Encoder) -> None:
        self._send = send
        self._encoder = encoder
        self._control: deque[str] = deque()
        self._audio: deque[str] = deque()  # media and the marks behind them, in order
        self._wake = asyncio.Event()
        self.hooks: list[Callable[[str, bytes | str], None]] = []

    def play(self, audio: bytes, mark: str) -> None:
        self._audio.append(self._encoder.media(audio))
        self._audio.append(self._encoder.mark(mark))
        self._wake.set()

    def mark(self, name: str) -> None:
        self._audio.append(self._encoder.mark(name))
        self._wake.set()

    def clear(self) -> None:
        """What waits here would be played after the clear, so it goes with the rest (twilio.md §1.5)."""
        self._audio.clear()
        self._control.append(self._encoder.clear)
        self._wake.set()

    async def run(self) -> None:
        """Send for ever. Raises OSError when the socket is gone."""
        while True:
            if self._control:
                text = self._control.popleft()
            elif self._audio:
                text = self._audio.popleft()
            else:
                self._wake.clear()
                await self._wake.wait()
                continue
            for hook in self.hooks:
                hook("out", text)
            await self._send({"type": "websocket.send", "text": text})

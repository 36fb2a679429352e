"""The carrier's socket over plain ASGI: the same to the bridge as the compiled one, under any server (daphne); decides nothing.

A send that the server takes at once is driven here, without a task; only one that has to wait gets one.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

import structlog

from calls.transports.ports import HearFrame, HearLoss

log = structlog.get_logger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]


class AsgiSocket:
    """Implements calls.transports.ports.CarrierSocket."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.has_room = True
        self.on_room: Callable[[], None] = _do_nothing
        self._receive = receive
        self._send = send
        self._reader: asyncio.Task[None] | None = None
        self._sender: asyncio.Task[None] | None = None

    async def next_frame(self) -> bytes | None:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise ConnectionResetError
        return _read_text(message)

    def attach(self, on_frame: HearFrame, on_lost: HearLoss) -> None:
        self._reader = asyncio.get_running_loop().create_task(self._read(on_frame, on_lost), name="carrier socket")

    def detach(self) -> None:
        for task in (self._reader, self._sender):
            if task is not None:
                task.cancel()
        self.on_room = _do_nothing

    def send(self, text: bytes) -> None:
        sending = self._send({"type": "websocket.send", "text": text.decode()})
        try:
            waits_for = sending.send(None)
        except StopIteration:
            return
        except OSError:  # uvicorn's ClientDisconnected is one; the reader hears the disconnect itself
            self.has_room = False
            return
        self.has_room = False
        self._sender = asyncio.get_running_loop().create_task(self._finish(sending, waits_for), name="carrier send")

    async def close(self, code: int) -> None:
        try:
            await self._send({"type": "websocket.close", "code": code})
        except (OSError, RuntimeError):  # uvicorn and daphne, each in its way: the peer closed first
            log.debug("stream_closed_by_peer")

    async def _read(self, on_frame: HearFrame, on_lost: HearLoss) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                on_lost(int(message.get("code") or 0))
                return
            on_frame(_read_text(message))

    async def _finish(self, sending: Coroutine[Any, Any, None], waits_for: Any) -> None:
        try:
            await _go_on(sending, waits_for)
        except OSError:  # as in send
            return
        self.has_room = True
        self.on_room()


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


def _read_text(message: dict[str, Any]) -> bytes | None:
    text = message.get("text")
    return None if text is None else text.encode()


def _do_nothing() -> None:
    return

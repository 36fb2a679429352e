"""The carrier's socket over plain ASGI: sends that wait, a peer that goes, a reader that is called off."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from calls.transports.asgi_socket import AsgiSocket


class Server:
    """An ASGI server's two ends of one socket; it takes messages at once while it has room, and waits for it otherwise."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.room = asyncio.Event()
        self.room.set()
        self.got: list[str] = []
        self.is_gone = False
        self.cancelled = False

    async def receive(self) -> dict[str, Any]:
        return await self.inbox.get()

    async def send(self, message: dict[str, Any]) -> None:
        try:
            await self.room.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.is_gone:
            raise OSError("gone")
        self.got.append(message.get("text", message["type"]))


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def socket(server: Server) -> AsgiSocket:
    return AsgiSocket(server.receive, server.send)


def called(socket: AsgiSocket) -> asyncio.Event:
    made_room = asyncio.Event()
    socket.on_room = made_room.set
    return made_room


async def test_a_send_that_the_server_takes_is_over_at_once(server: Server, socket: AsgiSocket) -> None:
    socket.send(b"one")
    assert server.got == ["one"]
    assert socket.has_room


async def test_a_send_that_waits_leaves_no_room_until_it_went_through(server: Server, socket: AsgiSocket) -> None:
    made_room = called(socket)
    server.room.clear()
    socket.send(b"one")
    assert not socket.has_room
    server.room.set()
    await asyncio.wait_for(made_room.wait(), 5)
    assert socket.has_room
    assert server.got == ["one"]


@pytest.mark.parametrize("has_room", [True, False])
async def test_a_peer_that_is_gone_takes_nothing_more_and_raises_nothing(
    server: Server, socket: AsgiSocket, has_room: bool
) -> None:
    server.is_gone = True
    if not has_room:
        server.room.clear()
    socket.send(b"one")
    server.room.set()
    lost: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    socket.attach(lambda frame: None, lost.set_result)
    server.inbox.put_nowait({"type": "websocket.disconnect", "code": 1001})
    assert await asyncio.wait_for(lost, 5) == 1001
    assert not socket.has_room
    assert server.got == []


async def test_a_detached_socket_reads_and_sends_no_more(server: Server, socket: AsgiSocket) -> None:
    heard: list[bytes | None] = []
    socket.attach(heard.append, lambda code: None)
    server.inbox.put_nowait({"type": "websocket.receive", "text": "one"})
    server.inbox.put_nowait({"type": "websocket.receive", "bytes": b"two"})
    async with asyncio.timeout(5):
        while len(heard) < 2:  # noqa: ASYNC110 # the reader's task tells nobody
            await asyncio.sleep(0)
    assert heard == [b"one", None]
    server.room.clear()
    socket.send(b"three")
    await asyncio.sleep(0)
    socket.detach()
    server.room.set()
    server.inbox.put_nowait({"type": "websocket.receive", "text": "four"})
    for _ in range(5):
        await asyncio.sleep(0)
    assert server.cancelled
    assert server.got == []
    assert len(heard) == 2


async def test_before_anybody_is_attached_frames_are_asked_for_one_by_one(server: Server, socket: AsgiSocket) -> None:
    server.inbox.put_nowait({"type": "websocket.receive", "text": "one"})
    server.inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
    assert await socket.next_frame() == b"one"
    with pytest.raises(ConnectionResetError):
        await socket.next_frame()


async def test_closing_after_the_peer_did_raises_nothing(server: Server, socket: AsgiSocket) -> None:
    await socket.close(1000)
    assert server.got == ["websocket.close"]
    server.is_gone = True
    await socket.close(1000)

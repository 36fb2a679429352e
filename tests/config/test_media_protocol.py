"""uvicorn with compiled frames for those who ask: what a socket may send, how it ends, and that all others are served as ever."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from calls.transports.frame_socket import MAX_WAITING_FRAMES, FrameSocket
from calls.transports.media import COMPILED_FRAMES
from config.management.commands.run_media import MAX_MESSAGE_BYTES, make_config

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


class Host:
    """An application that takes sockets over and notes what it hears; `/stock` is served by plain ASGI, `/no` is refused."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.lost: asyncio.Queue[int] = asyncio.Queue()
        self.sockets: asyncio.Queue[FrameSocket] = asyncio.Queue()
        self.may_attach = asyncio.Event()
        self.may_attach.set()
        self.is_over = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        if scope["path"] == "/no":
            await send({"type": "websocket.close"})
            return
        if scope["path"] == "/stock":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": (await receive())["text"] + " back"})
            return
        socket = FrameSocket(max_message_bytes=MAX_MESSAGE_BYTES)
        scope["extensions"][COMPILED_FRAMES](socket)
        await self.sockets.put(socket)
        await self.may_attach.wait()
        socket.attach(self.heard.put_nowait, self.lost.put_nowait)
        await self.is_over.wait()


@pytest.fixture
async def host() -> Host:
    return Host()


@pytest.fixture
async def server(host: Host) -> AsyncIterator[uvicorn.Server]:
    config = make_config(host="127.0.0.1", port=0)
    config.app = host
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign] # pytest owns the signals
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 # uvicorn tells nobody
        await asyncio.sleep(0.005)
    yield server
    host.is_over.set()
    server.should_exit = True
    await task


@pytest.fixture
def url(server: uvicorn.Server) -> str:
    return f"ws://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


async def soon(future: Awaitable[Any]) -> Any:
    async with asyncio.timeout(5):
        return await future


async def close_code(peer: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed):
        await soon(peer.recv())
    assert peer.close_code is not None
    return peer.close_code


def write_raw(peer: ClientConnection, *frames: Frame) -> None:
    """Frames that the client library would not write itself."""
    for frame in frames:
        peer.transport.write(frame.serialize(mask=True, extensions=[]))


async def test_messages_come_and_go_and_fragments_are_joined(host: Host, url: str) -> None:
    async with connect(url, compression=None) as peer:
        socket = await soon(host.sockets.get())
        await peer.send("whole")
        await peer.send(["in ", "three ", "parts"])
        await peer.send(b"binary")
        await peer.send("")
        assert [await soon(host.heard.get()) for _ in range(4)] == [b"whole", b"in three parts", None, b""]
        socket.send("grüezi".encode())
        socket.send(b"x" * 20_000)
        assert await soon(peer.recv()) == "grüezi"
        assert await soon(peer.recv()) == "x" * 20_000
        await soon(await peer.ping())  # pings are answered
        await socket.close(1000)
        assert await close_code(peer) == 1000
    assert await soon(host.lost.get()) == 1000


async def test_what_comes_before_anybody_listens_waits_in_order(host: Host, url: str) -> None:
    host.may_attach.clear()
    async with connect(url, compression=None) as peer:
        socket = await soon(host.sockets.get())
        await peer.send("first")
        assert await soon(socket.next_frame()) == b"first"
        count = MAX_WAITING_FRAMES * 2
        for number in range(count):  # more than waits with us: the peer's own buffer holds the rest
            await peer.send(str(number))
        host.may_attach.set()
        assert [await soon(host.heard.get()) for _ in range(count)] == [str(number).encode() for number in range(count)]


async def test_the_peers_close_is_told_with_its_code_and_answered(host: Host, url: str) -> None:
    async with connect(url, compression=None) as peer:
        await peer.send("last words")
        await peer.close(code=4321)
    assert await soon(host.heard.get()) == b"last words"
    assert await soon(host.lost.get()) == 4321


async def test_a_lost_connection_is_told_once(host: Host, url: str, server: uvicorn.Server) -> None:
    async with connect(url, compression=None) as peer:
        socket = await soon(host.sockets.get())
        peer.transport.abort()
        assert await soon(host.lost.get()) == 1006
    socket.send(b"too late")
    await socket.close(1000)
    assert host.lost.empty()
    assert not server.server_state.connections


async def test_a_socket_lost_before_anybody_listens_is_told_then(host: Host, url: str) -> None:
    host.may_attach.clear()
    async with connect(url, compression=None) as peer:
        socket = await soon(host.sockets.get())
        await peer.send("hello")
    assert await soon(socket.next_frame()) == b"hello"
    with pytest.raises(ConnectionResetError):
        await soon(socket.next_frame())
    host.may_attach.set()
    assert await soon(host.lost.get()) == 1000


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([Frame(Opcode.TEXT, b"A" * (MAX_MESSAGE_BYTES + 1))], 1009),
        ([Frame(Opcode.TEXT, b"A" * 40_000, fin=False), Frame(Opcode.CONT, b"A" * 40_000, fin=False)], 1009),
        ([Frame(Opcode.CONT, b"of nothing")], 1002),
        ([Frame(Opcode.TEXT, b"one", fin=False), Frame(Opcode.TEXT, b"another")], 1002),
    ],
    ids=["too big", "too big in parts", "continuation of nothing", "message within a message"],
)
async def test_a_peer_that_breaks_the_protocol_is_closed_and_heard_no_more(
    host: Host, url: str, frames: list[Frame], code: int
) -> None:
    async with connect(url, compression=None) as peer:
        await peer.send("sound")
        assert await soon(host.heard.get()) == b"sound"
        write_raw(peer, *frames, Frame(Opcode.TEXT, b"more"))
        assert await close_code(peer) == code
    await soon(host.lost.get())
    assert host.heard.empty()


async def test_a_detached_socket_tells_nothing_more(host: Host, url: str) -> None:
    async with connect(url, compression=None) as peer:
        socket = await soon(host.sockets.get())
        await peer.send("one")
        assert await soon(host.heard.get()) == b"one"
        socket.detach()
        await peer.send("two")
        await soon(await peer.ping())
        await socket.close(1013)
        assert await close_code(peer) == 1013
    assert host.heard.empty()
    assert host.lost.empty()


async def test_a_peer_that_reads_nothing_leaves_no_room_until_it_does(host: Host, url: str) -> None:
    async with connect(url, compression=None, max_queue=1) as peer:
        socket = await soon(host.sockets.get())
        made_room = asyncio.Event()
        socket.on_room = made_room.set
        sent = 0
        async with asyncio.timeout(5):
            while socket.has_room:
                socket.send(b"x" * 60_000)
                sent += 1
                await asyncio.sleep(0)
        for _ in range(sent):
            await soon(peer.recv())
        await soon(made_room.wait())
        assert socket.has_room


async def test_a_server_that_stops_tells_its_peers_to_come_again(host: Host, url: str, server: uvicorn.Server) -> None:
    async with connect(url, compression=None) as peer:
        await soon(host.sockets.get())
        server.should_exit = True
        assert await close_code(peer) == 1012
        host.is_over.set()
    await soon(host.lost.get())


async def test_those_who_do_not_ask_are_served_as_ever(url: str) -> None:
    async with connect(url + "/stock", compression=None) as peer:
        await peer.send("there and")
        assert await soon(peer.recv()) == "there and back"
    with pytest.raises(InvalidStatus) as refused:
        await connect(url + "/no")
    assert refused.value.response.status_code == 403


async def test_a_proxys_way_of_writing_the_handshake_is_understood(host: Host, url: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(
        b"GET /any HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    answer = await soon(reader.readuntil(b"\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer  # RFC 6455 §1.3
    writer.close()
    await soon(host.lost.get())

"""The media socket against servers that behave badly at the level of the protocol (twilio.md §1.7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from emulators.twilio.media_socket import MediaSocket, check_stream_url
from emulators.twilio.values import TwilioFault

Talk = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def connected(talk: Talk) -> AsyncIterator[tuple[MediaSocket, list[bytes]]]:
    received: list[bytes] = []
    async with serve(talk, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        socket = MediaSocket(f"ws://127.0.0.1:{port}/a;b/c", headers={"X-Test": "1"}, on_text=received.append)
        await socket.connect(limit_s=5)
        yield socket, received
        socket.abort()


async def closed(socket: MediaSocket) -> bool:
    async with asyncio.timeout(5):
        return await socket.closed


async def test_request_target_and_headers_are_sent_as_given() -> None:
    seen: list[tuple[str, str | None]] = []

    async def talk(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append((connection.request.path, connection.request.headers.get("X-Test")))

    async with connected(talk) as (socket, _):
        assert await closed(socket)
    assert seen == [("/a;b/c", "1")]


async def test_fragmented_message_is_one_message() -> None:
    async def talk(connection: ServerConnection) -> None:
        await connection.send(['{"event":', '"clear"', "}"])

    async with connected(talk) as (socket, received):
        await closed(socket)
    assert received == [b'{"event":"clear"}']


async def test_message_beyond_the_limit_is_a_protocol_error() -> None:
    async def talk(connection: ServerConnection) -> None:
        await connection.send("x" * (1 << 21))
        await connection.wait_closed()

    async with connected(talk) as (socket, received):
        await closed(socket)
        assert "1048576" in socket.protocol_error
    assert received == []


async def test_ping_is_answered() -> None:
    answered = asyncio.Event()

    async def talk(connection: ServerConnection) -> None:
        await (await connection.ping())
        answered.set()

    async with connected(talk) as (socket, _):
        await closed(socket)
    assert answered.is_set()


async def test_our_close_is_answered_and_ends_the_connection() -> None:
    async def talk(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with connected(talk) as (socket, _):
        assert socket.open
        socket.send("hello")
        socket.close()
        assert await closed(socket)
        assert not socket.open
        socket.send("nobody is there")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"SSH-2.0-nonsense\r\n",
        b"",
    ],
    ids=["200", "101 without the accept key", "another protocol", "nothing"],
)
async def test_anything_but_a_proper_101_is_31920(answer: bytes) -> None:
    async def serve_raw(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve_raw, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        socket = MediaSocket(f"ws://127.0.0.1:{port}/", headers={}, on_text=lambda text: None)
        with pytest.raises(TwilioFault) as refused:
            await socket.connect(limit_s=5)
        assert refused.value.code == 31920
        await closed(socket)


async def test_unknown_host_is_31904() -> None:
    socket = MediaSocket("ws://nobody.invalid/", headers={}, on_text=lambda text: None)
    with pytest.raises(TwilioFault) as unreachable:
        await socket.connect(limit_s=5)
    assert unreachable.value.code == 31904


def test_only_loopback_may_go_without_tls() -> None:
    assert check_stream_url("ws://127.0.0.1:8001/a?b=c") == "ws://127.0.0.1:8001/a"
    assert check_stream_url("wss://voice.example.com/a") == "wss://voice.example.com/a"
    with pytest.raises(TwilioFault) as refused:
        check_stream_url("ws://voice.example.com/a")
    assert refused.value.code == 31922

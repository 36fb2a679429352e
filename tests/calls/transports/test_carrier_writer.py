"""The one writer of a carrier socket: order, what overtakes, and a socket without room."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from calls.transports.carrier_writer import CarrierWriter
from calls.wire.media_streams import Encoder


class Socket:
    """Takes frames at once while it has room, and waits for it otherwise."""

    def __init__(self) -> None:
        self.room = asyncio.Event()
        self.room.set()
        self.got: list[str] = []
        self.news = asyncio.Event()
        self.fails = False

    async def send(self, message: dict[str, Any]) -> None:
        await self.room.wait()
        if self.fails:
            raise OSError("gone")
        frame = json.loads(message["text"])
        self.got.append(frame["mark"]["name"] if frame["event"] == "mark" else frame["event"])
        self.news.set()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.got) < count:
                self.news.clear()
                await self.news.wait()


@pytest.fixture
async def socket() -> Socket:
    return Socket()


async def started(socket: Socket) -> tuple[CarrierWriter, asyncio.Task[None]]:
    writer = CarrierWriter(socket.send, Encoder("MZ1"))
    task = asyncio.create_task(writer.run())
    await asyncio.sleep(0)
    return writer, task


async def test_the_first_of_a_burst_leaves_at_once_and_the_rest_follows_in_order(socket: Socket) -> None:
    writer, task = await started(socket)
    writer.play(b"\x00", "one")
    writer.play(b"\x00", "two")
    writer.mark("three")
    assert socket.got == ["media", "one"]
    await asyncio.sleep(0)
    assert socket.got == ["media", "one", "media", "two", "three"]
    writer.mark("four")
    assert socket.got[-1] == "four"
    task.cancel()


async def test_without_room_order_is_kept_and_nothing_is_sent_twice(socket: Socket) -> None:
    writer, task = await started(socket)
    socket.room.clear()
    writer.play(b"\x00", "one")
    writer.play(b"\x00", "two")
    assert socket.got == []
    socket.room.set()
    await socket.wait_for(4)
    assert socket.got == ["media", "one", "media", "two"]
    writer.mark("three")
    assert socket.got[-1] == "three"
    task.cancel()


async def test_a_clear_overtakes_what_waits_and_takes_it_back(socket: Socket) -> None:
    writer, task = await started(socket)
    socket.room.clear()
    for name in ("one", "two", "three"):
        writer.play(b"\x00", name)
    writer.clear()
    socket.room.set()
    await socket.wait_for(2)
    writer.mark("after")
    assert socket.got == ["media", "clear", "after"]  # the first was on its way already
    task.cancel()


async def test_nothing_is_sent_before_the_writer_runs(socket: Socket) -> None:
    writer = CarrierWriter(socket.send, Encoder("MZ1"))
    writer.mark("early")
    assert socket.got == []
    task = asyncio.create_task(writer.run())
    await socket.wait_for(1)
    assert socket.got == ["early"]
    task.cancel()


@pytest.mark.parametrize("has_room", [True, False])
async def test_a_socket_that_is_gone_ends_the_writer(socket: Socket, has_room: bool) -> None:
    writer, task = await started(socket)
    socket.fails = True
    if not has_room:
        socket.room.clear()
    writer.mark("one")
    socket.room.set()
    with pytest.raises(OSError, match="gone"):
        await asyncio.wait_for(task, 5)
    writer.mark("two")
    assert socket.got == []


async def test_a_cancelled_writer_lets_the_send_hear_of_it(socket: Socket) -> None:
    writer, task = await started(socket)
    socket.room.clear()
    writer.mark("one")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert socket.got == []

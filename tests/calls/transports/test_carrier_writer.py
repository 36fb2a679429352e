"""The one writer of a carrier socket: order, what overtakes, and a socket without room."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from calls.transports import carrier_writer
from calls.transports.carrier_writer import CarrierWriter
from calls.wire.media_streams import Encoder


def name(text: bytes | str) -> str:
    frame = json.loads(text)
    return str(frame["mark"]["name"] if frame["event"] == "mark" else frame["event"])


class Socket:
    """Takes frames while it is told that it has room."""

    def __init__(self) -> None:
        self.has_room = True
        self.on_room: Callable[[], None] = lambda: None
        self.got: list[str] = []
        self.room_for = 1_000

    def send(self, text: bytes) -> None:
        assert self.has_room
        self.got.append(name(text))
        self.room_for -= 1
        self.has_room = self.room_for > 0

    def make_room(self, frames: int = 1_000) -> None:
        self.has_room, self.room_for = True, frames
        self.on_room()

    async def next_frame(self) -> bytes | None:
        raise ConnectionResetError

    def attach(self, on_frame: Any, on_lost: Any) -> None: ...

    def detach(self) -> None: ...

    async def close(self, code: int) -> None: ...


@pytest.fixture
def socket() -> Socket:
    return Socket()


@pytest.fixture
def writer(socket: Socket) -> CarrierWriter:
    return CarrierWriter(socket, Encoder("MZ1"))


def test_what_the_socket_takes_leaves_at_once_and_in_order(socket: Socket, writer: CarrierWriter) -> None:
    writer.play(b"\x00", "one")
    writer.mark("two")
    assert socket.got == ["media", "one", "two"]


def test_without_room_order_is_kept_and_nothing_is_sent_twice(socket: Socket, writer: CarrierWriter) -> None:
    socket.has_room = False
    writer.play(b"\x00", "one")
    writer.play(b"\x00", "two")
    assert socket.got == []
    socket.make_room(3)
    assert socket.got == ["media", "one", "media"]
    writer.mark("three")
    socket.make_room()
    assert socket.got == ["media", "one", "media", "two", "three"]


def test_a_clear_overtakes_what_waits_and_takes_it_back(socket: Socket, writer: CarrierWriter) -> None:
    socket.make_room(1)
    for mark in ("one", "two", "three"):
        writer.play(b"\x00", mark)
    writer.clear()
    socket.make_room()
    writer.mark("after")
    assert socket.got == ["media", "clear", "after"]  # the first had left already


def test_a_carrier_that_takes_nothing_costs_the_oldest_audio_which_is_counted(
    socket: Socket, writer: CarrierWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier_writer, "MAX_WAITING_MS", 240)
    socket.has_room = False
    writer.mark("bare")
    for mark in ("one", "two", "three", "four"):
        writer.play(b"\x00" * 960, mark)  # 120 ms each
    assert writer.dropped_ms == 240
    socket.make_room()
    assert socket.got == ["media", "three", "media", "four"]
    writer.clear()
    writer.play(b"\x00" * 960, "five")
    assert socket.got[-3:] == ["clear", "media", "five"]
    assert writer.dropped_ms == 240


def test_every_frame_passes_the_hooks_when_it_leaves(socket: Socket, writer: CarrierWriter) -> None:
    seen: list[tuple[str, str]] = []
    writer.hooks.append(lambda direction, frame: seen.append((direction, name(frame))))
    socket.has_room = False
    writer.mark("one")
    assert seen == []
    socket.make_room()
    assert seen == [("out", "one")]

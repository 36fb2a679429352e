"""The carrier's socket at the door, over real servers: who is refused, what is passed over, and that a call comes through."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import re_path
from pytest_django.fixtures import Settings
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from calls.transports import media
from calls.transports.media import MediaStreams
from calls.transports.ports import Desk, LiveCall, Redeem, Tools
from calls.transports.process import current_process
from calls.wire.media_streams import Start
from config.management.commands.run_media import make_config
from emulators.openai.double import OpenAIDouble
from tests.calls.transports.doubles import STREAM, Bench, Clerk, Notebook, make_call

pytestmark = pytest.mark.django_db(transaction=True)

CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'
START = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": STREAM,
    "start": {
        "accountSid": "AC00000000000000000000000000000001",
        "callSid": "CA0000000000000000000000000000000a",
        "streamSid": STREAM,
        "tracks": ["inbound"],
        "customParameters": {"ticket": "good"},
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    },
}


@dataclass
class Lodge:
    """A house whose rules are a word: the signature and the ticket must say `good`."""

    clerk: Clerk = field(default_factory=Clerk)
    admitted: list[str] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def check_handshake(self, ref: str, *, path: str, signature: str) -> bool:
        self.path = path
        return signature == "good"

    async def admit(self, ref: str, start: Start) -> LiveCall | None:
        if start.start.custom_parameters.get("ticket") != "good":
            return None
        self.admitted.append(ref)
        return make_call(ref=ref)

    def release(self, call: LiveCall, *, reason: str, fault: str, is_over: bool) -> None:
        self.is_over = is_over
        self.released.set()

    @property
    def desk(self) -> Desk:
        return self.clerk

    def make_tools(self, call: LiveCall, redeem: Redeem) -> Tools:
        return Bench()


@dataclass
class Door:
    url: str
    lodge: Lodge
    notebook: Notebook

    def knock(self, *, signature: str = "good", path: str = "/media/any/call-ref-1/") -> connect:
        return connect(self.url + path, additional_headers={"X-Twilio-Signature": signature}, compression=None)


@pytest.fixture
async def door(model: OpenAIDouble, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    lodge, notebook = Lodge(), Notebook()
    app = ProtocolTypeRouter(
        {"websocket": URLRouter([re_path(r"^media/\w+/(?P<ref>[\w-]+)/$", MediaStreams.as_asgi(lambda: lodge))])}
    )
    config = make_config(host="127.0.0.1", port=0)
    config.app = app
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign] # pytest owns the signals
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 # uvicorn tells nobody
        await asyncio.sleep(0.005)
    process = current_process()
    process.start()
    monkeypatch.setattr(process, "writer", notebook)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Door(f"ws://127.0.0.1:{port}", lodge, notebook)
    server.should_exit = True
    await task
    monkeypatch.undo()
    await process.stop()


async def read_until(socket: ClientConnection, found: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(5):
        while True:
            frame = json.loads(await socket.recv())
            if frame["event"] == "mark":
                await socket.send(json.dumps(frame))
            if found(frame):
                return frame


async def close_code(socket: ClientConnection) -> int:
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.recv()
    assert socket.close_code is not None
    return socket.close_code


async def test_a_call_is_greeted_over_the_socket(door: Door) -> None:
    async with door.knock() as socket:
        await socket.send(CONNECTED)
        await socket.send(json.dumps(START))
        frame = await read_until(socket, lambda frame: frame["event"] == "media")
        assert frame["streamSid"] == STREAM
        assert base64.b64decode(frame["media"]["payload"], validate=True)
        await socket.send(json.dumps({"event": "stop", "streamSid": STREAM}))
        assert await close_code(socket) == 1000
    assert door.lodge.path == "/media/any/call-ref-1/"
    assert door.lodge.released.is_set()
    assert current_process().live_calls == 0
    assert door.notebook.greeting_ms is not None


@pytest.mark.parametrize("signature", ["", "forged"])
async def test_a_stranger_is_refused_before_the_socket_opens(door: Door, signature: str) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        async with door.knock(signature=signature):
            pass
    assert refusal.value.response.status_code == 403
    assert door.lodge.admitted == []


async def test_a_bad_ticket_closes_the_socket_and_serves_nothing(door: Door) -> None:
    start = json.loads(json.dumps(START))
    start["start"]["customParameters"] = {"ticket": "expired"}
    async with door.knock() as socket:
        await socket.send(json.dumps(start))
        assert await close_code(socket) == 1008
    assert door.lodge.admitted == []


async def test_a_format_we_do_not_speak_is_refused(door: Door) -> None:
    start = json.loads(json.dumps(START))
    start["start"]["mediaFormat"]["sampleRate"] = 16000
    async with door.knock() as socket:
        await socket.send(json.dumps(start))
        assert await close_code(socket) == 1008


async def test_a_start_that_never_arrives_is_not_waited_for(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "START_S", 0.05)
    async with door.knock() as socket:
        await socket.send(CONNECTED)
        assert await close_code(socket) == 1008


async def test_media_before_start_and_nonsense_are_passed_over(door: Door) -> None:
    media_frame = {"event": "media", "streamSid": STREAM, "media": {"track": "inbound", "payload": "AAAA"}}
    async with door.knock() as socket:
        for frame in (json.dumps(media_frame), "nonsense", b"\x00binary", json.dumps(START)):
            await socket.send(frame)
        await read_until(socket, lambda frame: frame["event"] == "media")
        for spoiled in ("nonsense", '{"event":"media","streamSid":"MZ1","media":{"payload":"?"}}', b"\x00"):
            await socket.send(spoiled)
        await socket.send(json.dumps({"event": "stop", "streamSid": STREAM}))
        assert await close_code(socket) == 1000
    details = [data["detail"] for kind, data in door.notebook.notes if kind == "peer_error"]
    assert len(details) == 3


async def test_an_endless_prologue_is_cut_off(door: Door) -> None:
    async with door.knock() as socket:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(media.MAX_EARLY_FRAMES + 1):
                await socket.send("{}")
        assert await close_code(socket) == 1008


async def test_an_oversized_frame_costs_the_stream_and_nothing_else(door: Door) -> None:
    async with door.knock() as socket:
        await socket.send(json.dumps(START))
        await read_until(socket, lambda frame: frame["event"] == "media")
        await socket.send(json.dumps({"event": "media", "streamSid": STREAM, "media": {"payload": "A" * 70_000}}))
        assert await close_code(socket) == 1009
    async with asyncio.timeout(5):
        await door.lodge.released.wait()
    async with door.knock() as socket:
        await socket.send(json.dumps(START))
        await read_until(socket, lambda frame: frame["event"] == "media")


async def test_a_draining_process_takes_no_calls_and_moves_those_it_has(door: Door) -> None:
    async with door.knock() as socket:
        await socket.send(json.dumps(START))
        await read_until(socket, lambda frame: frame["event"] == "mark" and "media" not in frame)
        drained = asyncio.create_task(current_process().drain(timeout_s=10))
        assert await close_code_answering(socket) == 1000
        assert await drained
        with pytest.raises(InvalidStatus):
            async with door.knock():
                pass
    assert [leave.next for leave in door.lodge.clerk.saved] == ["resume"]


async def close_code_answering(socket: ClientConnection) -> int:
    """Like close_code, but a carrier that plays what it gets."""
    with contextlib.suppress(ConnectionClosed):
        await read_until(socket, lambda frame: False)
    assert socket.close_code is not None
    return socket.close_code

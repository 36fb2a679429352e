"""The live sockets: what changed is sent, a burst becomes one message, and a membership that ends ends the socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.test import Client
from pytest_django.fixtures import Settings

from calls.models import Call, Turn
from calls.services.announce import announce_call, call_group, herald
from dashboard import live
from tenants.models import Membership
from tenants.scope import tenant_scope
from tests.dashboard.scenes import TURNS, make_member, write_turns
from tests.factories import make_call, make_tenant

pytestmark = pytest.mark.django_db(transaction=True)
DEADLINE_S = 10.0


class Stage:
    """Alice with a live call, and what may happen to it."""

    def __init__(self) -> None:
        self.tenant = make_tenant("acme", timezone="Europe/Amsterdam")
        self.alice = make_member(self.tenant, "alice@example.com")
        self.call = make_call(self.tenant)
        self.client = Client()
        self.client.force_login(self.alice)

    def say(self, count: int) -> None:
        with tenant_scope(self.tenant):
            Turn.objects.filter(call=self.call).delete()
            write_turns(self.call, TURNS[:count])
            announce_call(self.call)
        herald.wait_until_sent()

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in self.client.cookies.items())
        return [(b"origin", b"http://localhost"), (b"cookie", cookies.encode())]


@pytest.fixture
async def stage(redis_url: str, settings: Settings, tmp_path: Path) -> Stage:
    settings.MEDIA_ROOT = str(tmp_path)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return await sync_to_async(Stage)()


@asynccontextmanager
async def listening(stage: Stage, path: str) -> AsyncIterator[WebsocketCommunicator]:
    from config.asgi import application  # noqa: PLC0415 # importing it starts engines

    socket = WebsocketCommunicator(application, path, headers=stage.headers)
    is_open, _ = await socket.connect(timeout=DEADLINE_S)
    assert is_open
    yield socket
    await socket.disconnect()


async def read_until(socket: WebsocketCommunicator, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first message that fits; others may come before it."""
    while True:
        message = json.loads(await socket.receive_from(timeout=DEADLINE_S))
        if wanted(message):
            return dict(message)


def call_path(stage: Stage) -> str:
    return f"/ws/o/acme/calls/{stage.call.pk}/"


async def test_call_page_gets_the_fragments_that_changed(stage: Stage) -> None:
    async with listening(stage, call_path(stage)) as socket:
        first = await read_until(socket, lambda m: "html" in m)
        assert 'id="call-facts"' in first["html"]
        await sync_to_async(stage.say)(2)
        news = await read_until(socket, lambda m: "I would like to move my appointment" in m.get("html", ""))
        assert 'id="call-facts"' not in news["html"]
        assert news["live"] is True


async def test_burst_of_hints_becomes_few_messages(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SETTLE_S", 0.05)
    async with listening(stage, "/ws/o/acme/calls/") as socket:
        await read_until(socket, lambda m: m == {"changed": True})
        layer = get_channel_layer()
        for _ in range(200):
            await layer.group_send(
                f"tenant.{stage.tenant.pk}.live", {"type": "call.changed", "call_id": str(stage.call.pk)}
            )
        await read_until(socket, lambda m: m == {"changed": True})
        sent = 1
        while not await socket.receive_nothing(timeout=0.7, interval=0.05):
            await socket.receive_from()
            sent += 1
        assert sent <= 4


async def test_record_that_is_written_after_its_hint_is_shown_all_the_same(stage: Stage) -> None:
    """A media process announces a record before its writer has stored it (calls.transports.live)."""
    async with listening(stage, call_path(stage)) as socket:
        await read_until(socket, lambda m: "html" in m)
        group = call_group(stage.tenant.pk, stage.call.pk)
        await get_channel_layer().group_send(group, {"type": "call.record", "kind": "RecordTurn", "record": {}})
        # The refresh that the hint causes finds no new words; the row appears only now.
        while not await socket.receive_nothing(timeout=0.4):
            assert "Good morning" not in await socket.receive_from()
        await sync_to_async(write_late)(stage)
        await read_until(socket, lambda m: "Good morning, Acme Dental" in m.get("html", ""))


def write_late(stage: Stage) -> None:
    with tenant_scope(stage.tenant):
        write_turns(stage.call, TURNS[:1])


async def test_state_of_the_agent_is_told_at_once(stage: Stage) -> None:
    async with listening(stage, call_path(stage)) as socket:
        message = {"type": "call.record", "kind": "SetState", "record": {"type": "SetState", "state": "thinking"}}
        await get_channel_layer().group_send(call_group(stage.tenant.pk, stage.call.pk), message)
        assert await read_until(socket, lambda m: "activity" in m) == {"activity": "thinking"}


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("/ws/o/acme/calls/", "membership"),
        ("call", "membership"),
        ("call", "logout"),
        ("call", "inactive"),
        ("call", "password"),
    ],
)
async def test_socket_ends_when_its_holder_may_no_longer_listen(stage: Stage, path: str, cause: str) -> None:
    async with listening(stage, call_path(stage) if path == "call" else path) as socket:
        await read_until(socket, lambda m: True)
        await sync_to_async(end_access)(stage, cause)
        await sync_to_async(stage.say)(1)
        while (message := await socket.receive_output(timeout=DEADLINE_S))["type"] == "websocket.send":
            assert "Good morning" not in message["text"]
        assert (message["type"], message["code"]) == ("websocket.close", 4404)


def end_access(stage: Stage, cause: str) -> None:
    if cause == "membership":
        Membership.objects.all().delete()
    elif cause == "logout":
        stage.client.logout()
    elif cause == "inactive":
        stage.alice.is_active = False
        stage.alice.save()
    else:
        stage.alice.set_password("another-long-phrase")
        stage.alice.save()


async def test_hints_of_another_tenant_reach_nobody_here(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SETTLE_S", 0.05)
    other: Call = await sync_to_async(lambda: make_call(make_tenant("rival")))()
    async with listening(stage, "/ws/o/acme/calls/") as socket:
        await read_until(socket, lambda m: m == {"changed": True})
        while not await socket.receive_nothing(timeout=0.7, interval=0.05):
            await socket.receive_from()
        await sync_to_async(announce)(other)
        assert await socket.receive_nothing(timeout=0.9, interval=0.05)


def announce(call: Call) -> None:
    announce_call(call)
    herald.wait_until_sent()


async def test_what_the_browser_sends_is_ignored(stage: Stage) -> None:
    async with listening(stage, call_path(stage)) as socket:
        await socket.send_to(text_data='{"type": "call.changed"}')
        await socket.send_to(bytes_data=b"\x00")
        await read_until(socket, lambda m: "html" in m)

"""Walks every address of the project, HTTP and sockets, with a stranger; an address that nobody covered fails (product 2.3).

Each covered address first succeeds for a member with the same ids, then does not exist for somebody of another tenant, and for that
tenant's own door with the foreign ids. What needs no membership stands in PUBLIC or SIGNED with its reason.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings as django_settings
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django.fixtures import Settings

from calls.models import Call, Recording
from tenants.models import Tenant, User
from tests.dashboard.scenes import make_member, make_told_call
from tests.factories import make_tenant

# Addresses without a tenant in them, and why a stranger may ask for them.
PUBLIC = {
    "": "redirects to the log-in or to the member's own tenants",
    "login/": "the log-in itself",
    "logout/": "ends the session of whoever asks",
    "o/": "lists the memberships of whoever asks",
    "healthz": "says that the process lives; names nobody",
    "readyz": "says that the process may be given work; names nobody",
}
# Doors of vendors: no session opens them, a signature does. Their own tests forge, repeat and mix up signatures.
SIGNED = {"hooks/": "tests/calls/webhooks"}
# The back-office is for staff alone; test_back_office_is_for_staff walks it.
STAFF = {"admin/"}
# Sockets of carriers: a signed ticket opens them (tests/calls/transports).
TICKETED = {"^media/": "tests/calls/transports"}


@dataclass(frozen=True, slots=True)
class World:
    """What Alice owns, and Charlie who must see none of it."""

    tenant: Tenant
    call: Call
    recording: Recording
    alice: User
    charlie: User


# One entry for each address below a tenant: how Alice reaches what is hers. Charlie gets the very same request.
COVERED: dict[str, Callable[[World], str]] = {
    "o/<slug:slug>/": lambda w: "/o/{slug}/",
    "o/<slug:slug>/calls/": lambda w: "/o/{slug}/calls/",
    "o/<slug:slug>/calls/export.csv": lambda w: "/o/{slug}/calls/export.csv",
    "o/<slug:slug>/calls/<uuid:call_id>/": lambda w: f"/o/{{slug}}/calls/{w.call.pk}/",
    "o/<slug:slug>/calls/<uuid:call_id>/recordings/<uuid:recording_id>.wav": (
        lambda w: f"/o/{{slug}}/calls/{w.call.pk}/recordings/{w.recording.pk}.wav"
    ),
}
# Below his own door Charlie may ask for these; they list what is his, and nothing of Alice's may be in them.
LISTS = {"o/<slug:slug>/", "o/<slug:slug>/calls/", "o/<slug:slug>/calls/export.csv"}

SOCKETS: dict[str, Callable[[World], str]] = {
    "ws/o/<slug:slug>/live/": lambda w: "/ws/o/{slug}/live/",
    "ws/o/<slug:slug>/calls/<uuid:call_id>/": lambda w: f"/ws/o/{{slug}}/calls/{w.call.pk}/",
}
LIST_SOCKETS = {"ws/o/<slug:slug>/live/"}


def walk_addresses(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        address = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from walk_addresses(pattern.url_patterns, address)
        else:
            yield address


def walk_sockets(application: Any) -> Iterator[str]:
    """All routes of the ASGI application's WebSocket side, through whatever wraps them."""
    for name in ("application", "inner", "app"):
        if hasattr(application, name):
            yield from walk_sockets(getattr(application, name))
    for route in getattr(application, "routes", ()):
        behind = route.callback
        if inspect.isfunction(behind):  # a door around another application, e.g. calls.transports.routes.outside_media
            behind = inspect.getclosurevars(behind).nonlocals.get("application", behind)
        inner = list(walk_sockets(behind))
        yield from inner or [str(route.pattern)]


def all_addresses() -> set[str]:
    return set(walk_addresses(get_resolver().url_patterns))


def all_sockets() -> set[str]:
    from config.asgi import application  # noqa: PLC0415 # importing it starts engines: only when a test runs

    return set(walk_sockets(application.application_mapping["websocket"]))


@pytest.fixture
def world(db: None, settings: Settings, tmp_path: Path) -> World:
    settings.MEDIA_ROOT = str(tmp_path)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return make_world()


def make_world() -> World:
    tenant = make_tenant("alices", name="Alice's Practice")
    call = make_told_call(tenant, from_number="+15550001111")
    recording = Recording.objects.model._base_manager.get(call=call)
    return World(
        tenant,
        call,
        recording,
        make_member(tenant, "alice@example.com"),
        make_member(make_tenant("charlies"), "charlie@example.com"),
    )


def test_every_address_is_covered_or_has_a_reason() -> None:
    unknown = {
        address
        for address in all_addresses()
        if address not in COVERED
        and address not in PUBLIC
        and not any(address.startswith(prefix) for prefix in (*SIGNED, *STAFF))
    }
    assert not unknown, f"add these to COVERED (or, with a reason, to PUBLIC) in {__file__}: {sorted(unknown)}"


def test_nothing_is_listed_that_does_not_exist() -> None:
    optional = {"healthz", "readyz"}
    assert (set(COVERED) | set(PUBLIC)) - all_addresses() <= optional


def test_every_socket_is_covered_or_has_a_reason() -> None:
    unknown = {
        route for route in all_sockets() if route not in SOCKETS and not any(route.startswith(p) for p in TICKETED)
    }
    assert not unknown, f"add these to SOCKETS (or, with a reason, to TICKETED) in {__file__}: {sorted(unknown)}"
    assert set(SOCKETS) <= all_sockets()


@pytest.mark.parametrize("where", [*SIGNED.values(), *TICKETED.values()])
def test_doors_of_vendors_have_tests_of_their_own(where: str) -> None:
    assert list((Path(django_settings.BASE_DIR) / where).glob("test_*.py"))


@pytest.mark.parametrize("address", sorted(COVERED))
def test_stranger_finds_nothing_where_the_owner_finds_it(world: World, client: Client, address: str) -> None:
    for method in ("get", "head", "post", "put", "patch", "delete", "options"):
        check_address(world, client, address, method)


def check_address(world: World, client: Client, address: str, method: str) -> None:
    target = COVERED[address](world)
    ask = getattr(client, method)
    client.force_login(world.alice)
    hers = ask(target.format(slug="alices"))
    assert hers.status_code in ({200, 302} if method in ("get", "head") else {405})
    hers.getvalue()  # a streamed sound is closed by its last byte
    client.force_login(world.charlie)
    assert ask(target.format(slug="alices")).status_code == 404
    through_his_door = ask(target.format(slug="charlies"))
    if address in LISTS:
        body = through_his_door.getvalue()
        assert str(world.call.pk).encode() not in body
        assert b"5550001111" not in body
    elif method in ("get", "head"):
        assert through_his_door.status_code == 404
    else:
        assert through_his_door.status_code == 405
    client.logout()
    anonymous = ask(target.format(slug="alices"))
    assert (anonymous.status_code, anonymous["Location"].split("?")[0]) == (302, "/login/")


def test_filters_with_foreign_ids_find_nothing(world: World, client: Client) -> None:
    client.force_login(world.charlie)
    for name, value in (
        ("number", world.call.number_id),
        ("agent", world.call.agent_id),
        ("q", world.call.carrier_sid),
    ):
        page = client.get("/o/charlies/calls/", {name: str(value)})
        assert len(page.context["page"].calls) == 0
        export = client.get("/o/charlies/calls/export.csv", {name: str(value)})
        assert export.getvalue().count(b"\n") == 1  # the head line alone


def test_back_office_is_for_staff(world: World, client: Client) -> None:
    client.force_login(world.alice)
    for address in all_addresses():
        if any(address.startswith(prefix) for prefix in STAFF):
            path = "/" + address.split("<")[0].split("(")[0].lstrip("^").rstrip("$")
            assert client.get(path).status_code in (301, 302, 404)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("route", sorted(SOCKETS))
async def test_stranger_is_refused_at_the_socket_that_the_owner_opens(
    route: str, redis_url: str, settings: Settings, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = str(tmp_path)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    world = await sync_to_async(make_world)()
    target = SOCKETS[route](world)
    assert await can_open(target.format(slug="alices"), world.alice)
    assert not await can_open(target.format(slug="alices"), world.charlie)
    assert not await can_open(target.format(slug="alices"), None)
    assert await can_open(target.format(slug="charlies"), world.charlie) is (route in LIST_SOCKETS)
    assert not await can_open(target.format(slug="alices"), world.alice, origin="https://evil.example")


async def can_open(path: str, user: User | None, *, origin: str = "http://localhost") -> bool:
    from config.asgi import application  # noqa: PLC0415

    client = Client()
    if user is not None:
        await sync_to_async(client.force_login)(user)
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    socket = WebsocketCommunicator(
        application, path, headers=[(b"origin", origin.encode()), (b"cookie", cookies.encode())]
    )
    is_open, _ = await socket.connect(timeout=10)
    await socket.disconnect()
    return bool(is_open)

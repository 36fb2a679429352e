"""Walks every address of the project, HTTP and sockets, with strangers; an address that nobody covered fails (product 2.3).

Addresses are declared by the modules of tests/isolation. Each first succeeds for a member with the same ids, then does not exist for
somebody of another tenant, and for that tenant's own door with the foreign ids; roles without the right are refused.
What needs no membership stands in PUBLIC or SIGNED with its reason.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings as django_settings
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from pytest_django.fixtures import Settings

from tenants.models import Membership, User
from tenants.permissions import Permission, may
from tests import isolation
from tests.dashboard.scenes import make_member
from tests.isolation.doors import Door, Post, World, make_world

# Addresses without a tenant in them, and why a stranger may ask for them.
PUBLIC = {
    "": "redirects to the log-in or to the member's own tenants",
    "login/": "the log-in itself",
    "logout/": "ends the session of whoever asks",
    "signup/": "makes a person and a business of their own",
    "invitations/<str:token>/": "a signed link that works once, for one person: tests/tenants/test_members.py",
    "o/": "lists the memberships of whoever asks",
    "healthz": "says that the process lives; names nobody",
    "readyz": "says that the process may be given work; names nobody",
}
# Pages of a person about themselves (django-allauth's): no other person's ids are in their addresses.
PERSONAL = {"account/": "tests/dashboard/accounts"}
# Doors of vendors: no session opens them, a signature does. Their own tests forge, repeat and mix up signatures.
SIGNED = {"hooks/": "tests/calls/webhooks"}
# The back-office is for staff alone; test_back_office_is_for_staff walks it.
STAFF = {"admin/"}
# Sockets of carriers: a signed ticket opens them (tests/calls/transports).
TICKETED = {"^media/": "tests/calls/transports"}


def gather(name: str) -> dict[str, Door]:
    """What the modules of tests/isolation declare; an address stands in one of them."""
    doors: dict[str, Door] = {}
    for found in pkgutil.iter_modules(isolation.__path__):
        declared: dict[str, Door] = getattr(importlib.import_module(f"{isolation.__name__}.{found.name}"), name, {})
        assert not doors.keys() & declared.keys()
        doors |= declared
    return doors


COVERED = gather("DOORS")
SOCKETS = gather("SOCKETS")
METHODS = ("get", "head", "post", "put", "patch", "delete", "options")


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


def test_every_address_is_covered_or_has_a_reason() -> None:
    unknown = {
        address
        for address in all_addresses()
        if address not in COVERED
        and address not in PUBLIC
        and not any(address.lstrip("^").startswith(prefix) for prefix in (*SIGNED, *STAFF, *PERSONAL))
    }
    assert not unknown, (
        f"add these to a module of tests/isolation (or, with a reason, to PUBLIC here): {sorted(unknown)}"
    )


def test_nothing_is_listed_that_does_not_exist() -> None:
    optional = {"healthz", "readyz"}
    assert (set(COVERED) | set(PUBLIC)) - all_addresses() <= optional


def test_every_socket_is_covered_or_has_a_reason() -> None:
    unknown = {
        route for route in all_sockets() if route not in SOCKETS and not any(route.startswith(p) for p in TICKETED)
    }
    assert not unknown, (
        f"add these to a module of tests/isolation (or, with a reason, to TICKETED here): {sorted(unknown)}"
    )
    assert set(SOCKETS) <= all_sockets()


@pytest.mark.parametrize("where", [*SIGNED.values(), *TICKETED.values(), *PERSONAL.values()])
def test_doors_outside_the_walk_have_tests_of_their_own(where: str) -> None:
    assert list((Path(django_settings.BASE_DIR) / where).glob("test_*.py"))


@pytest.mark.parametrize("address", sorted(COVERED))
def test_stranger_finds_nothing_where_the_owner_finds_it(world: World, client: Client, address: str) -> None:
    door = COVERED[address]
    path = door.path(world)
    for method in METHODS:
        for post in door.posts if method == "post" and door.posts else (Post(),):
            check_stranger(world, client, door, path, method, post)


def check_stranger(world: World, client: Client, door: Door, path: str, method: str, post: Post) -> None:
    client.force_login(world.alice)
    status = ask(client, world, path.format(slug="alices"), method, post).status_code
    if method not in door.methods:
        assert status == 405
    elif method == "post":
        assert status in post.succeeds, f"the owner's own request failed with {status}"
    else:
        assert status in {200, 302}
    client.force_login(world.charlie)
    assert ask(client, world, path.format(slug="alices"), method, post).status_code == 404
    through_his_door = ask(client, world, path.format(slug="charlies"), method, post)
    if method not in door.methods:
        assert through_his_door.status_code == 405
    elif door.is_list:
        body = through_his_door.body
        assert str(world.call.pk).encode() not in body
        assert b"5550001111" not in body
    else:
        assert through_his_door.status_code == 404
    client.logout()
    anonymous = ask(client, world, path.format(slug="alices"), method, post)
    assert (anonymous.status_code, anonymous["Location"].split("?")[0]) == (302, "/login/")


@pytest.mark.parametrize("address", sorted(COVERED))
def test_a_role_without_the_right_is_refused_what_the_owner_may(world: World, client: Client, address: str) -> None:
    door = COVERED[address]
    path = door.path(world).format(slug="alices")
    right: Permission = resolve(path).func.needs  # type: ignore[attr-defined]  # set by dashboard.doors
    for role in Membership.Role:
        client.force_login(make_member(world.tenant, f"{role}@example.com", role=role))
        for method in sorted(door.methods):
            for post in door.posts if method == "post" else (Post(),):
                refused = ask(client, world, path, method, post).status_code == 403
                assert refused is not may(role, right), f"{role} {method} {path} needs {right}"


def ask(client: Client, world: World, path: str, method: str, post: Post) -> Any:
    """One request whose changes are undone, so that the next asker finds the same world."""
    arguments: dict[str, Any] = {}
    if method == "post":
        arguments["data"] = post.data(world)
        if post.content_type:
            arguments["content_type"] = post.content_type
    with transaction.atomic():
        response = getattr(client, method)(path, **arguments)
        response.body = response.getvalue()  # a stream is read once, and closed by its last byte
        transaction.set_rollback(True)
    return response


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
    target = SOCKETS[route].path(world)
    assert await can_open(target.format(slug="alices"), world.alice)
    assert not await can_open(target.format(slug="alices"), world.charlie)
    assert not await can_open(target.format(slug="alices"), None)
    assert await can_open(target.format(slug="charlies"), world.charlie) is SOCKETS[route].is_list
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

"""How an address is entered in the generated walk: who owns what, which requests succeed for the owner, and what a list may hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from calls.models import Call, Recording
from tenants.models import Tenant, User
from tenants.scope import tenant_scope
from tests.dashboard.scenes import make_member, make_told_call
from tests.factories import make_tenant

LOOKING = frozenset({"get", "head"})


@dataclass(frozen=True, slots=True)
class World:
    """What Alice owns, and Charlie who must see none of it. Doors make what else they need with the factories."""

    tenant: Tenant
    call: Call
    recording: Recording
    alice: User
    charlie: User


@dataclass(frozen=True, slots=True)
class Post:
    """A form that succeeds for the owner: what she sends, and the status that says so (a form with errors answers 200)."""

    data: Callable[[World], Mapping[str, Any]] = lambda _world: {}
    succeeds: frozenset[int] = frozenset({204, 302, 303})
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Door:
    """One address below a tenant. `path` holds `{slug}`; `is_list`: a stranger may ask for it below his own door and gets what is his.

    `looks` is False for an act behind a button, which is sent by POST alone.
    """

    path: Callable[[World], str]
    looks: bool = True
    posts: tuple[Post, ...] = ()
    is_list: bool = False

    @property
    def methods(self) -> frozenset[str]:
        return (LOOKING if self.looks else frozenset()) | ({"post"} if self.posts else frozenset())


def make_world() -> World:
    tenant = make_tenant("alices", name="Alice's Practice")
    call = make_told_call(tenant, from_number="+15550001111")
    with tenant_scope(tenant):
        recording = Recording.objects.get(call=call)
    return World(
        tenant,
        call,
        recording,
        make_member(tenant, "alice@example.com"),
        make_member(make_tenant("charlies"), "charlie@example.com"),
    )

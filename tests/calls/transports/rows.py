"""Rows that a live call stands on, made the short way."""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from django.db import connections
from django.utils import timezone

from agents.spec import AgentSpec
from calls.models import Call
from calls.session.plan import CallPlan
from calls.transports.ports import LiveCall
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.calls.transports.doubles import make_agent

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(question: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """For tests on the loop: ask the database in a thread, and leave no connection behind."""

    @functools.wraps(question)
    async def ask(*args: P.args, **kwargs: P.kwargs) -> T:
        def answer() -> T:
            try:
                return question(*args, **kwargs)
            finally:
                connections.close_all()

        return await asyncio.to_thread(answer)

    return ask


def make_live_call(*agents: AgentSpec, slug: str = "acme") -> LiveCall:
    """A call row of a tenant, and the bridge's view of it."""
    specs = agents or (make_agent(),)
    tenant, _ = Tenant.objects.get_or_create(slug=slug, defaults={"name": slug.title()})
    with tenant_scope(tenant):
        call = Call.objects.create(
            carrier_sid="CA" + secrets.token_hex(16),
            account_sid="AC00000000000000000000000000000001",
            from_number="+31201234567",
            to_number="+15550000000",
            created_at=timezone.now(),
        )
    return LiveCall(
        call_id=call.pk,
        tenant_id=tenant.pk,
        ref=str(call.pk),
        carrier_sid=call.carrier_sid,
        account_sid=call.account_sid,
        token=1,
        plan=CallPlan(agent=specs[0].name, agents={spec.name: spec for spec in specs}),
    )

"""Small builders of rows for tests. Each enters the tenant's scope itself and makes what is missing; all values are plain and valid."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from agents.models import Agent
from agents.services import publish_agent, save_agent
from agents.spec import AgentSpec, parse_agent
from calls.models import Call, Lease, Leg, Route
from calls.services.routes import save_route
from calls.vocabulary import CallState, LegKind
from tenants.ids import new_id
from tenants.models import CarrierAccount, Number, Tenant
from tenants.scope import tenant_scope
from tenants.services import save_carrier_account, save_number

AUTH_TOKEN = "0123456789abcdef0123456789abcdef"


def make_sid(prefix: str) -> str:
    """A fresh carrier SID: `CA`, `MZ`, `RE`, `AC`, `PN` and 32 hex digits."""
    return f"{prefix}{secrets.token_hex(16)}"


def make_e164() -> str:
    """A number of the range kept for fiction, long enough that two tests never meet."""
    return f"+1555{secrets.randbelow(10**9):09d}"


def make_tenant(slug: str = "", **fields: Any) -> Tenant:
    slug = slug or f"t-{secrets.token_hex(6)}"
    return Tenant.objects.create(slug=slug, name=fields.pop("name", slug.title()), **fields)


def make_account(tenant: Tenant, *, auth_token: str = AUTH_TOKEN, account_sid: str = "") -> CarrierAccount:
    """The tenant's carrier account, made once."""
    with tenant_scope(tenant):
        return CarrierAccount.objects.first() or save_carrier_account(
            account_sid=account_sid or make_sid("AC"), auth_token=auth_token
        )


def make_number(tenant: Tenant, *, e164: str = "") -> Number:
    account = make_account(tenant)
    with tenant_scope(tenant):
        return save_number(account, e164=e164 or make_e164(), carrier_sid=make_sid("PN"))


def make_agent(tenant: Tenant, name: str = "Reception", *, publish: bool = True, **spec: Any) -> Agent:
    """An agent with whatever of agents.spec.AgentSpec is given."""
    with tenant_scope(tenant):
        agent = save_agent(parse_agent({"name": name, "instructions": "You answer the phone.", **spec}))
        if publish:
            publish_agent(agent)
        return Agent.objects.select_related("published").get(pk=agent.pk)


def make_route(
    tenant: Tenant,
    *,
    number: Number | None = None,
    agent: Agent | None = None,
    has_agent: bool = True,
    ladder: Sequence[str] = ("streams", "voicemail"),
    **fields: Any,
) -> Route:
    """A number that is answered. Without `agent` a published one is made; `has_agent=False` leaves it out."""
    if agent is None and has_agent:
        with tenant_scope(tenant):
            agent = Agent.objects.select_related("published").first()
        agent = agent or make_agent(tenant)
    number = number or make_number(tenant)
    with tenant_scope(tenant):
        return save_route(number, agent=agent, ladder=ladder, **fields)


def make_call(tenant: Tenant, *, route: Route | None = None, state: str = CallState.LIVE, **fields: Any) -> Call:
    """A running call with its caller leg and lease, as the voice webhook leaves it (state live: as a stream left it)."""
    route = route or make_route(tenant)
    with tenant_scope(tenant):
        account = CarrierAccount.objects.get()
        agent = route.agent
        now = timezone.now()
        is_live = state == CallState.LIVE
        values: dict[str, Any] = {
            "id": new_id(),
            "number": route.number,
            "agent": agent,
            "agent_version": agent.published if agent else None,
            "carrier_sid": make_sid("CA"),
            "account_sid": account.account_sid,
            "from_number": "+15557654321",
            "to_number": route.number.e164,
            "created_at": now,
            "answered_at": now if is_live else None,
            "state": state,
            "ladder": list(route.ladder),
            "ticket_serial": 1,
            "ticket_used_serial": int(is_live),
        }
        call = Call.objects.create(**{**values, **fields})
        Leg.objects.create(
            call=call,
            kind=LegKind.CALLER,
            carrier_sid=call.carrier_sid,
            peer=call.from_number,
            started_at=call.created_at,
        )
        Lease.objects.create(call=call, token=int(is_live))
        return call


def spec_of(call: Call) -> AgentSpec:
    """The agent that serves the call."""
    assert call.agent_version is not None
    return call.agent_version.to_spec()

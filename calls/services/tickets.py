"""Tickets: what lets a stream claim its call, once. Signed, short-lived, bound at first use by one conditional UPDATE (product 5.3.1)."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Literal

import msgspec
from django.conf import settings
from django.core import signing
from django.db import transaction
from django.utils import timezone

from calls.models import Call, Lease, Leg
from calls.services import processes
from calls.services.addresses import call_ref
from calls.services.announce import announce_call
from calls.services.leases import claim_lease
from calls.services.notes import note_event
from calls.services.plan import build_plan
from calls.services.time_limits import limit_call
from calls.session.plan import CallPlan
from calls.vocabulary import CallState, Direction, EventKind, LegKind
from tenants.models import Tenant
from tenants.scope import every_tenant, tenant_scope

_signer = signing.Signer(salt="switchboard.calls.tickets")
SIP_TICKET, SIP_CALL = "x-ticket", "x-call-ref"  # our headers of a dialled SIP leg (twilio.md §7.4)
CLOCK_SKEW_S = 5  # between the process that signed and the one that reads

TicketFault = Literal["malformed", "forged", "expired", "unknown_call", "foreign", "replayed", "ended"]


class TicketError(Exception):
    """The stream may not have the call; `reason` is for logs and tests, the carrier is told nothing."""

    permanent = True

    def __init__(self, reason: TicketFault) -> None:
        super().__init__(reason)
        self.reason: TicketFault = reason


@dataclass(frozen=True, slots=True)
class ClaimedCall:
    """A call that now belongs to this process. `token` fences: write nothing under an older one."""

    tenant: Tenant
    call: Call
    ref: str
    token: int
    plan: CallPlan = field(repr=False)


def make_ticket(ref: str, *, serial: int, issued_at: int) -> str:
    """The same three values always make the same ticket, so that a repeated webhook renders the same document."""
    return _signer.sign(f"{ref}.{serial}.{issued_at}")


def read_ticket(ticket: str) -> tuple[uuid.UUID, int]:
    """The call and serial it was made for. Raises TicketError: malformed, forged or expired."""
    if len(ticket) > 200 or not ticket.isascii():
        raise TicketError("malformed")
    try:
        ref, serial, issued_at = _signer.unsign(ticket).split(".")
        call_id, number, issued = uuid.UUID(hex=ref), int(serial), int(issued_at)
    except signing.BadSignature:
        raise TicketError("forged") from None
    except ValueError:
        raise TicketError("malformed") from None
    age_s = time.time() - issued
    if not -CLOCK_SKEW_S <= age_s <= settings.TICKET_SECONDS:
        raise TicketError("expired")
    return call_id, number


def claim(ticket: str, *, call_sid: str, account_sid: str, stream_sid: str) -> ClaimedCall:
    """Bind the ticket to this stream and the call to this process. Raises TicketError and changes nothing otherwise."""
    call_id, serial = read_ticket(ticket)
    with every_tenant(reason="a media stream's ticket names its call, and the call its tenant"):
        lease = (
            Lease.objects.select_related("call__tenant", "call__agent_version", "call__number__route", "call__trial")
            .filter(call_id=call_id)
            .first()
        )
    if lease is None:
        raise TicketError("unknown_call")
    call: Call = lease.call
    if call.carrier_sid != call_sid or call.account_sid != account_sid:
        raise TicketError("foreign")
    with tenant_scope(call.tenant):
        process_id = processes.current_id()
        plan = build_plan(call, is_resumed=call.ticket_used_serial > 0)
        with transaction.atomic():
            token = bind(call, lease, serial=serial, kind=LegKind.STREAM, sid=stream_sid, process_id=process_id)
            if call.direction != Direction.TEST:  # no carrier to hold it to a limit; the session's own cap stands
                limit_call(call, max(agent.max_duration_s for agent in plan.agents.values()))
        plan = msgspec.structs.replace(plan, generation=token)
    return ClaimedCall(call.tenant, call, call_ref(call.pk), token, plan)


def bind(call: Call, lease: Lease, *, serial: int, kind: LegKind, sid: str, process_id: uuid.UUID) -> int:
    """Use the ticket up for this leg and take the lease, by conditional updates. Raises TicketError. The fencing token."""
    now = timezone.now()
    answered_at = call.answered_at or now
    won = (
        Call.objects.filter(pk=call.pk, ticket_serial=serial, ticket_used_serial__lt=serial)
        .exclude(state=CallState.ENDED)
        .update(ticket_used_serial=serial, state=CallState.LIVE, answered_at=answered_at, disposition={})
    )
    if not won:
        raise TicketError("ended" if Call.objects.filter(pk=call.pk, state=CallState.ENDED).exists() else "replayed")
    token = claim_lease(call, process_id=process_id, token=lease.token)
    if token is None:
        raise TicketError("replayed")
    call.ticket_used_serial, call.state, call.answered_at, call.disposition = serial, CallState.LIVE, answered_at, {}
    Leg.objects.bulk_create(
        [Leg(call=call, tenant_id=call.tenant_id, kind=kind, carrier_sid=sid, started_at=now)],
        ignore_conflicts=True,  # the stream status callback may have been faster
    )
    note_event(
        call,
        f"x:{kind}:{sid}"[:80],
        EventKind.LEG,
        at=now,
        data={"kind": str(kind), "sid": sid, "state": "claimed", "token": token},
    )
    announce_call(call)
    return token

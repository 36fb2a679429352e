"""Who is calling the model's SIP edge, and whether it is to take the call (product 5.2.2, 5.2.3). Speaks to the carrier alone.

A dialled leg proves itself by our ticket. A trunk's proves itself by the carrier: the account's own list must show the call live, on the
tenant's trunk, younger than a minute, between the same numbers and never used before. A header alone proves nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
import structlog
from django.db import IntegrityError, transaction
from django.utils import timezone

from calls.models import Call, Lease, Leg, Route, SipInvitation, SipTrunk
from calls.services import processes, tickets
from calls.services.addresses import call_ref
from calls.services.announce import announce_call
from calls.services.closing import close_call
from calls.services.invitations import find_header, find_parameter, prove
from calls.services.notes import make_event, note_event, tell_operator
from calls.services.opening import OPENING
from calls.services.plan import build_plan
from calls.services.time_limits import limit_call
from calls.session.capabilities import Arrangement
from calls.session.plan import CallPlan
from calls.vocabulary import CallState, EndReason, EventKind, LegKind, Path, Step
from gateways.errors import GatewayError
from gateways.telephony import CarrierCall, open_account
from tenants.models import CarrierAccount, Number, Tenant
from tenants.scope import every_tenant, tenant_scope

log = structlog.get_logger(__name__)

DECLINE, UNAVAILABLE = 603, 480  # final: the carrier takes them for an answer (twilio.md §7.3 item 4)
FAIL_OVER = (
    503  # the trunk goes on to its disaster-recovery address: the only way to the rest of the ladder (product 5.2.1)
)
YOUNG_S = 60  # product 5.2.2
CARRIER_SID_HEADER, CARRIER_ACCOUNT_HEADER = "X-Twilio-CallSid", "X-Twilio-AccountSid"
_CALL_SID, _ACCOUNT_SID = re.compile(r"CA[0-9a-fA-F]{32}"), re.compile(r"AC[0-9a-fA-F]{32}")
_USER_PART = re.compile(r"(?:sips?|tel):\+?([0-9]{5,15})", re.IGNORECASE)


class Refusal(Exception):
    """The model must not take this call; `status_code` is what the SIP side is told."""

    permanent = True

    def __init__(self, status_code: int, reason: str) -> None:
        super().__init__(reason)
        self.status_code = status_code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Admitted:
    """A call that belongs to this process now. `token` fences."""

    tenant: Tenant
    call: Call
    ref: str
    token: int
    model_call_id: str
    plan: CallPlan = field(repr=False)


def admit(invitation: SipInvitation) -> Admitted:
    """Prove who it is, take the lease, read the plan. Raises Refusal, GatewayError when the carrier cannot be asked."""
    ticket = find_parameter(invitation.headers, tickets.SIP_TICKET)
    if ticket:
        return _admit_dialled(invitation, ticket)
    return _admit_from_trunk(invitation)


def _admit_dialled(invitation: SipInvitation, ticket: str) -> Admitted:
    try:
        call_id, serial = tickets.read_ticket(ticket)
        with every_tenant(reason="a SIP invitation's ticket names its call, and the call its tenant"):
            lease = Lease.objects.select_related("call__tenant", "call__agent_version").filter(call_id=call_id).first()
        if lease is None:
            raise tickets.TicketError("unknown_call")
        call: Call = lease.call
        with tenant_scope(call.tenant):
            plan = build_plan(call, is_resumed=call.ticket_used_serial > 0, arrangement=Arrangement.SIP_DIAL)
            with transaction.atomic():
                token = tickets.bind(
                    call,
                    lease,
                    serial=serial,
                    kind=LegKind.SIP,
                    sid=invitation.model_call_id,
                    process_id=processes.current_id(),
                )
                limit_call(call, max(agent.max_duration_s for agent in plan.agents.values()))
                _note_disclosure(call, plan)
    except tickets.TicketError as fault:
        if fault.reason in ("forged", "malformed"):
            tell_operator("sip_ticket_forged", model_call_id=invitation.model_call_id)
        raise Refusal(DECLINE, f"ticket {fault.reason}") from None
    plan = msgspec.structs.replace(plan, generation=token)
    return Admitted(call.tenant, call, call_ref(call.pk), token, invitation.model_call_id, plan)


def _note_disclosure(call: Call, plan: CallPlan) -> None:
    """The carrier spoke it before it rang the model (product 5.0)."""
    spec = plan.agents[plan.agent]
    if spec.recording and spec.disclosure:
        note_event(call, "x:disclosure", EventKind.DISCLOSURE_HEARD, data={"text": spec.disclosure, "by": "carrier"})


# --- trunks ----------------------------------------------------------------------------------------------------------


def _admit_from_trunk(invitation: SipInvitation) -> Admitted:
    trunk, known = _prove_trunk_call(invitation)
    with tenant_scope(trunk.tenant):
        number = Number.objects.filter(e164=known.to_number, account=trunk.account, state=Number.State.ACTIVE).first()
        route = (
            Route.objects.select_related("tenant", "number__account", "agent__published").filter(number=number).first()
            if number is not None
            else None
        )
        if route is None:
            tell_operator("unknown_number", account_sid=trunk.account.account_sid, to=known.to_number)
            raise Refusal(DECLINE, "the number dialled is not ours")
        if not prove(invitation.pk, carrier_sid=known.sid):
            raise Refusal(DECLINE, "the carrier's call was used before")
        return _open_trunk_call(invitation, route, known)


def _prove_trunk_call(invitation: SipInvitation) -> tuple[SipTrunk, CarrierCall]:
    """The headers say which account to ask; only the account's answer counts."""
    call_sid = find_header(invitation.headers, CARRIER_SID_HEADER)
    account_sid = find_header(invitation.headers, CARRIER_ACCOUNT_HEADER)
    if not _CALL_SID.fullmatch(call_sid) or not _ACCOUNT_SID.fullmatch(account_sid):
        tell_operator("sip_without_identity", model_call_id=invitation.model_call_id)
        raise Refusal(DECLINE, "neither a ticket nor a carrier's call")
    with every_tenant(reason="a trunk call names only the carrier's account, which is then asked"):
        trunk = (
            SipTrunk.objects.select_related("tenant", "account")
            .filter(account__account_sid=account_sid, state=SipTrunk.State.ACTIVE)
            .first()
        )
    if trunk is None:
        tell_operator("sip_forged", account_sid=account_sid, reason="no trunk of that account")
        raise Refusal(DECLINE, "no trunk of that account")
    account: CarrierAccount = trunk.account
    try:
        known = open_account(account.account_sid, account.auth_token).fetch_call(call_sid)
    except GatewayError as error:
        if error.status == 404:
            tell_operator("sip_forged", account_sid=account_sid, reason="the carrier knows no such call")
            raise Refusal(DECLINE, "the carrier knows no such call") from None
        raise
    fault = _find_fault(invitation, trunk, known)
    if fault:
        tell_operator("sip_forged", account_sid=account_sid, reason=fault)
        raise Refusal(DECLINE, fault)
    return trunk, known


def _find_fault(invitation: SipInvitation, trunk: SipTrunk, known: CarrierCall) -> str:
    """What speaks against this being that call (product 5.2.2); empty when nothing does."""
    if known.is_over or known.status not in ("ringing", "in-progress"):
        return "the carrier's call is not live"
    if known.direction != "trunking-originating":
        return "the carrier's call is not on a trunk"
    if known.trunk_sid and known.trunk_sid != trunk.carrier_sid:
        return "the carrier's call is on another trunk"
    began = known.created_at or known.started_at
    if began is None or timezone.now() - began > timedelta(seconds=YOUNG_S):
        return "the carrier's call is too old"
    said_from = _read_number(find_header(invitation.headers, "From"))
    if said_from and said_from != known.from_number.lstrip("+"):
        return "From differs"
    for name in ("Diversion", "P-Called-Party-ID"):  # where the dialled number may stand (§2.1)
        said_to = _read_number(find_header(invitation.headers, name))
        if said_to and said_to != known.to_number.lstrip("+"):
            return f"{name} differs"
    return ""


def _read_number(header: str) -> str:
    """Digits of the address in a header; empty when it holds no telephone number (a hidden caller)."""
    found = _USER_PART.search(header)
    return found.group(1) if found else ""


def _open_trunk_call(invitation: SipInvitation, route: Route, known: CarrierCall) -> Admitted:
    """The record of a call that no voice webhook announced, and its first decision."""
    now = timezone.now()
    version = route.agent.published if route.agent else None
    is_active = route.tenant.state == Tenant.State.ACTIVE
    if is_active and version is None:
        # The rest of the ladder is behind the carrier's fail-over; without one the caller hears that nobody is there.
        raise Refusal(FAIL_OVER if len(route.ladder) > 1 else UNAVAILABLE, "the number has no published agent")
    call = Call(
        tenant=route.tenant,
        number=route.number,
        agent=route.agent,
        agent_version=version,
        path=Path.SIP,
        arrangement="trunk",
        carrier_sid=known.sid,
        account_sid=route.number.account.account_sid,
        from_number=known.from_number[:64],
        to_number=known.to_number,
        attestation=find_header(invitation.headers, "X-Twilio-VerStat")[:64],
        created_at=now,
        answered_at=now if is_active else None,
        state=CallState.LIVE if is_active else CallState.RINGING,
        ladder=list(route.ladder),
        ticket_serial=1,
        ticket_used_serial=1 if is_active else 0,
    )
    data = {"from": call.from_number, "to": call.to_number, "step": str(Step.SIP), "rung": 0, "arrangement": "trunk"}
    try:
        with transaction.atomic():
            call.save(force_insert=True)
            make_event(call, OPENING, EventKind.RECEIVED, at=now, data=data).save(force_insert=True)
            Leg.objects.create(
                call=call,
                kind=LegKind.CALLER,
                carrier_sid=known.sid,
                peer=call.from_number,
                state=known.status,
                started_at=now,
            )
            if not is_active:
                Lease.objects.create(call=call, token=0)
                close_call(call, end_reason=EndReason.TENANT_SUSPENDED)
            else:
                Leg.objects.create(call=call, kind=LegKind.SIP, carrier_sid=invitation.model_call_id, started_at=now)
                Lease.objects.create(call=call, token=1, process_id=processes.current_id(), claimed_at=now)
                plan = build_plan(call, is_resumed=False, arrangement=Arrangement.SIP_TRUNK)
                limit_call(call, max(agent.max_duration_s for agent in plan.agents.values()))
            announce_call(call)
    except IntegrityError:
        raise Refusal(DECLINE, "the carrier's call is on record already") from None
    if not is_active:
        raise Refusal(DECLINE, "the tenant may not take calls")
    plan = msgspec.structs.replace(plan, generation=1)
    return Admitted(route.tenant, call, call_ref(call.pk), 1, invitation.model_call_id, plan)

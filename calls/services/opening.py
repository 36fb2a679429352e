"""Opens a call: one short transaction, whatever the number's state, and the same document again when the carrier repeats itself."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.utils import timezone

from calls.models import Call, CallEvent, Lease, Leg, Route
from calls.services import processes, sentences
from calls.services.addresses import call_ref
from calls.services.announce import announce_call
from calls.services.answers import AnyAnswer, ConnectStream, HangUp, from_json
from calls.services.carrier_request import CarrierRequest
from calls.services.resuming import resume_call
from calls.services.rungs import Why, end_call, take_rung
from calls.vocabulary import CallState, Cause, EndReason, EventKind, Fault, LegKind, Path
from tenants.models import Tenant

OPENING = "w:voice"  # one per call: the call SID is unique


class CallTaken(Exception):
    """The call SID belongs to another tenant's call."""

    permanent = True


@dataclass(frozen=True, slots=True)
class Opened:
    """What to answer, about which call (None: no call was opened)."""

    answer: AnyAnswer
    ref: str = ""


def is_in_service(route: Route, request: CarrierRequest) -> bool:
    """Whether this route's number is the one that was dialled, and still ours. A `To` that is no telephone number proves nothing."""
    number = route.number
    if not number.is_owned:
        return False
    return not request.to_number.startswith("+") or request.to_number == number.e164


def refuse_unknown_number() -> Opened:
    """A number nobody owns here belongs to no tenant, so no call is recorded; the operator is told by the door."""
    return Opened(HangUp(say=(sentences.unknown_number(),)))


def open_call(route: Route, request: CarrierRequest, *, is_fallback: bool = False) -> Opened:
    """Record the call and decide its first rung. Enter the tenant's scope first; `route` carries number, tenant and published agent.

    A repeat of the same webhook gets the same document; a second question about a call that went on meanwhile is a resume.
    """
    call = _make_call(route, request)
    try:
        with transaction.atomic():
            answer = _open(call, route, request, is_fallback=is_fallback)
    except IntegrityError:
        known = Call.objects.filter(carrier_sid=request.call_sid).first()
        if known is None:  # unique across tenants: a SID that is somebody else's
            raise CallTaken(request.call_sid) from None
        return _repeat(known, request, is_fallback=is_fallback)
    ref = call_ref(call.pk)
    if isinstance(answer, ConnectStream) and processes.is_preparing() and call.agent_version is not None:
        processes.call_opened(ref, call.agent_version.to_spec(), call.from_number)
    return Opened(answer, ref)


def _make_call(route: Route, request: CarrierRequest) -> Call:
    agent = route.agent
    return Call(
        tenant=route.tenant,
        number=route.number,
        agent=agent,
        agent_version=agent.published if agent else None,
        path=route.path,
        arrangement="dial"
        if route.path == Path.SIP
        else "",  # a call that our document dials, also on a trunk's fail-over
        carrier_sid=request.call_sid,
        account_sid=request.account_sid,
        from_number=request.from_number,
        to_number=request.to_number,
        attestation=request.attestation,
        created_at=timezone.now(),
        ladder=list(route.ladder),
    )


def _open(call: Call, route: Route, request: CarrierRequest, *, is_fallback: bool) -> AnyAnswer:
    note = {"from": call.from_number, "to": call.to_number, "token": request.token}
    if request.forwarded_from:
        note["forwarded_from"] = request.forwarded_from
    if call.tenant.state != Tenant.State.ACTIVE:
        answer = end_call(
            call,
            key=OPENING,
            kind=EventKind.RECEIVED,
            reason=EndReason.TENANT_SUSPENDED,
            fault=Fault.NONE,
            data=note,
            say=(sentences.not_taking_calls(),),
        )
    else:
        answer = take_rung(
            call,
            route,
            # The fallback address is asked when our first document could not be had or run (twilio.md §3.3): not the same again.
            start=1 if is_fallback and len(call.ladder) > 1 else 0,
            key=OPENING,
            kind=EventKind.RECEIVED,
            note=note,
            why=Why(Cause.INTERNAL, Fault.US, request.get("ErrorCode")) if is_fallback else Why(),
        )
    Leg.objects.create(
        call=call,
        kind=LegKind.CALLER,
        carrier_sid=call.carrier_sid,
        peer=call.from_number,
        state=request.status or "ringing",
        started_at=call.created_at,
    )
    Lease.objects.create(call=call, token=0)
    announce_call(call)
    return answer


def _repeat(call: Call, request: CarrierRequest, *, is_fallback: bool) -> Opened:
    event = CallEvent.objects.get(call=call, key=OPENING)
    is_same_webhook = not request.token or request.token == event.data.get("token")
    has_moved_on = call.ticket_used_serial > 0 or call.state != CallState.RINGING
    if is_fallback or (has_moved_on and not is_same_webhook):
        return Opened(resume_call(call.pk, request, is_failed=is_fallback), call_ref(call.pk))
    return Opened(from_json(event.data["answer"]), call_ref(call.pk))

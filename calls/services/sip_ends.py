"""How a dialled SIP leg ended: the Dial action, answered once; and the trunk's disaster-recovery request. Never a dead line."""

from __future__ import annotations

import uuid

from django.db import transaction

from calls.models import Call, Leg, Route
from calls.services.announce import announce_call
from calls.services.answers import AnyAnswer, HangUp
from calls.services.carrier_request import CarrierRequest
from calls.services.closing import TERMINAL_STATUSES, close_call, derive_end, reopen_call
from calls.services.notes import fresh_key, note_event
from calls.services.opening import Opened, open_call
from calls.services.resuming import act_on, find_answer, find_route, lock_call, read_leave, reconnect
from calls.services.rungs import Why, take_rung
from calls.services.sip_lines import end_sip_leg
from calls.vocabulary import CallState, Cause, EventKind, Fault, LegKind

SHORT_S = 5  # twilio.md §7.4: `completed` with a very short duration is an accept that died


def end_sip_dial(call_id: uuid.UUID, request: CarrierRequest) -> AnyAnswer:
    """What follows the model's leg: what the session decided, the next rung, or the agent again."""
    with transaction.atomic():
        call = lock_call(call_id)
        key = f"w:sip:{request.token}" if request.token else fresh_key("w:sip")
        known = find_answer(call, key)
        if known is not None:
            return known
        answer = _end(call, request, key=key)
        announce_call(call)
        return answer


def _end(call: Call, request: CarrierRequest, *, key: str) -> AnyAnswer:
    status, seconds = request.get("DialCallStatus"), request.get_int("DialCallDuration") or 0
    sip_code = request.get("DialSipResponseCode")
    was_served = call.ticket_used_serial >= call.ticket_serial
    had_leg = Leg.objects.filter(call=call, kind=LegKind.SIP).exists()
    end_sip_leg(call, duration_s=seconds, state="completed" if status == "completed" else "failed")
    note_event(
        call,
        f"{key}:leg"[:80],
        EventKind.LEG,
        data={"kind": "sip", "state": status, "duration_s": seconds, "sip": sip_code},
    )
    if call.state == CallState.ENDED and not reopen_call(call, request.status):
        return HangUp()
    route = find_route(call)
    if request.status in TERMINAL_STATUSES:
        end_reason, fault = derive_end(call, request.status)
        close_call(call, end_reason=end_reason, fault=fault, carrier_status=request.status)
        return HangUp()
    leave = read_leave(call.disposition)
    if leave is not None:
        return act_on(call, route, leave, key=key)
    if not was_served:
        cause = Cause.INVITE_MISSING if status == "no-answer" else Cause.SIP_FAILED
        fault = Fault.CARRIER if sip_code.startswith("4") and not had_leg and status == "failed" else Fault.MODEL
        why = Why(cause, fault, f"{status} {sip_code}".strip())
        return take_rung(call, route, start=call.rung + 1, key=key, why=why)
    if status != "completed" or seconds < SHORT_S:
        why = Why(Cause.MODEL_LOST, Fault.MODEL, f"{status} {sip_code} after {seconds} s".strip())
        return take_rung(call, route, start=call.rung + 1, key=key, why=why)
    return reconnect(call, route, key=key, why=Why(Cause.MODEL_LOST, Fault.MODEL, f"ended after {seconds} s"))


def recover_trunk_call(route: Route, request: CarrierRequest) -> Opened:
    """The carrier found nobody at the trunk's address: the rest of the ladder (twilio.md §7.3). Enter the tenant's scope first.

    Whether the request has the trunk call's SID is not documented: either is understood.
    """
    known = Call.objects.filter(carrier_sid=request.call_sid).first()
    if known is None:
        return open_call(route, request, is_fallback=True)
    with transaction.atomic():
        call = lock_call(known.pk)
        key = f"w:trunk:{request.token}" if request.token else fresh_key("w:trunk")
        answer = find_answer(call, key)
        if answer is None:
            leave = read_leave(call.disposition)
            if leave is not None:
                answer = act_on(call, route, leave, key=key)
            else:
                why = Why(Cause.SIP_FAILED, Fault.MODEL, request.get("ErrorCode"))
                answer = take_rung(call, route, start=call.rung + 1, key=key, why=why)
    return Opened(answer, known.pk.hex)

"""Ends a call's record: one winner by a conditional UPDATE, the after-steps in the same transaction, the hints after commit (flow 5)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog
from django.db import transaction
from django.utils import timezone

from calls.models import AfterStep, Call, CallEvent, Lease, Leg, Recording
from calls.services.after_steps import CARRIER_COST, TOTALS, add_steps, hasten_steps
from calls.services.announce import announce_call
from calls.services.notes import fresh_key, note_event
from calls.vocabulary import CallState, Direction, EndReason, EventKind, Fault, LegKind, Outcome

log = structlog.get_logger(__name__)

ENDED = "x:ended"  # one per call
TERMINAL_STATUSES = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})  # twilio.md §3.5
RECORDING_FETCH_DELAY_S = 5.0  # its own callback usually comes first

_OUTCOMES: dict[EndReason, Outcome] = {
    EndReason.TRANSFERRED: Outcome.TRANSFERRED,
    EndReason.VOICEMAIL_LEFT: Outcome.VOICEMAIL,
    EndReason.AGENT_ENDED: Outcome.RESOLVED,
    EndReason.MAX_DURATION: Outcome.RESOLVED,  # the agent was told to wrap up and said goodbye
    EndReason.SUPERVISOR_ENDED: Outcome.RESOLVED,
    EndReason.UNKNOWN_NUMBER: Outcome.REFUSED,
    EndReason.TENANT_SUSPENDED: Outcome.REFUSED,
    EndReason.NO_AGENT: Outcome.NO_ANSWER,
    EndReason.LADDER_EXHAUSTED: Outcome.FAILED,
    EndReason.CARRIER_FAILED: Outcome.FAILED,
    EndReason.NEVER_STARTED: Outcome.NO_ANSWER,
}
_MESSAGE_COUNTS = frozenset(
    {EndReason.AGENT_ENDED, EndReason.CALLER_HUNG_UP, EndReason.SILENCE, EndReason.MAX_DURATION, EndReason.REAPED}
)


def close_call(
    call: Call,
    *,
    end_reason: EndReason,
    fault: Fault = Fault.NONE,
    ended_at: datetime | None = None,
    duration_s: int | None = None,
    carrier_status: str = "",
) -> bool:
    """End the record. Returns whether this caller was the one who ended it; a later word of the carrier still corrects the duration."""
    ended_at = ended_at or timezone.now()
    with transaction.atomic():
        outcome = find_outcome(call, end_reason)
        if duration_s is None and call.answered_at is not None:
            duration_s = max(0, round((ended_at - call.answered_at).total_seconds()))
        won = (
            Call.objects.filter(pk=call.pk)
            .exclude(state=CallState.ENDED)
            .update(
                state=CallState.ENDED,
                ended_at=ended_at,
                end_reason=end_reason,
                outcome=outcome,
                fault=fault,
                duration_s=duration_s or 0,
                disposition={},
            )
        )
        if not won:
            return False
        call.state, call.ended_at, call.end_reason, call.outcome = CallState.ENDED, ended_at, end_reason, outcome
        call.fault, call.duration_s, call.disposition = fault, duration_s or 0, {}
        if carrier_status:
            Leg.objects.filter(call=call, kind=LegKind.CALLER, duration_s=None).update(duration_s=duration_s or 0)
        Lease.objects.filter(call=call, released_at=None).update(process=None, released_at=ended_at)
        _end_legs(call, ended_at, is_carriers_word=bool(carrier_status))
        note_event(
            call,
            ENDED,
            EventKind.ENDED,
            at=ended_at,
            data={"reason": str(end_reason), "fault": str(fault), "outcome": str(outcome), "carrier": carrier_status},
        )
        add_steps(call, [TOTALS] if call.direction == Direction.TEST else [TOTALS, CARRIER_COST])
        waiting = Recording.objects.filter(
            call=call, state__in=[Recording.State.RUNNING, Recording.State.FETCHING]
        ).values_list("pk", flat=True)
        if waiting:
            add_steps(call, [f"recording:{pk}" for pk in waiting], delay_s=RECORDING_FETCH_DELAY_S)
        announce_call(call, outcome=str(outcome), end_reason=str(end_reason))
    return True


def settle_ended_call(call: Call, *, duration_s: int | None, ended_at: datetime) -> None:
    """The carrier's word on a call whose record is closed: its duration replaces ours, and what waited for it goes on."""
    with transaction.atomic():
        if duration_s is not None:
            Call.objects.filter(pk=call.pk, state=CallState.ENDED).update(duration_s=duration_s)
            Leg.objects.filter(call=call, kind=LegKind.CALLER, duration_s=None).update(duration_s=duration_s)
        _end_legs(call, ended_at, is_carriers_word=True)
        hasten_steps(call, CARRIER_COST)


def reopen_call(call: Call, status: str) -> bool:
    """Take back an end that came too early: the carrier asks what to do with a caller who is still there (no caller is lost).

    A `stop` also comes when the running document was replaced (twilio.md §1.6). An end that the carrier itself reported, or that we told
    it, stays. Call inside the transaction that holds the call's row.
    """
    if call.state != CallState.ENDED or status in TERMINAL_STATUSES:
        return False
    if not _is_callers_leg_open(call) or _was_told_to_hang_up(call):
        return False
    changes: dict[str, Any] = {
        "state": CallState.MOVING,
        "ended_at": None,
        "end_reason": "",
        "outcome": "",
        "fault": "",
        "duration_s": None,
    }
    Call.objects.filter(pk=call.pk, state=CallState.ENDED).update(**changes)
    for name, value in changes.items():
        setattr(call, name, value)
    CallEvent.objects.filter(call=call, key=ENDED).delete()
    AfterStep.objects.filter(call=call, step__in=[TOTALS, CARRIER_COST]).delete()  # queued anew at the real end
    problem = {"peer": "carrier", "problem": "the caller was still there after the call had been taken for over"}
    note_event(call, fresh_key("x:reopened"), EventKind.PEER_ERROR, data=problem)
    log.warning("call_reopened", call_id=str(call.pk))
    return True


def find_outcome(call: Call, end_reason: EndReason) -> Outcome:
    """One word for lists: from the end reason, and from what was achieved before it."""
    if end_reason in _MESSAGE_COUNTS and _has_event(call, EventKind.MESSAGE_TAKEN):
        return Outcome.MESSAGE_TAKEN
    known = _OUTCOMES.get(end_reason)
    if known is not None:
        return known
    return Outcome.CALLER_LEFT if call.answered_at is not None else Outcome.NO_ANSWER


def derive_end(call: Call, status: str) -> tuple[EndReason, Fault]:
    """Why the call ended, when the carrier is the one who says that it did."""
    if status in ("failed", "busy"):
        return EndReason.CARRIER_FAILED, Fault.CARRIER
    reason = str(call.disposition.get("reason", ""))
    if call.disposition.get("next") == "hang_up" and reason:
        return EndReason.of(reason), Fault.NONE
    persons = Leg.objects.filter(call=call, kind=LegKind.PERSON)
    if persons.filter(state__in=["in-progress", "completed"]).exists():
        return EndReason.TRANSFERRED, Fault.NONE
    if call.answered_at is None and status == "completed" and call.ticket_serial:
        return EndReason.NEVER_STARTED, Fault.NONE
    return EndReason.CALLER_HUNG_UP, Fault.NONE


def _end_legs(call: Call, at: datetime, *, is_carriers_word: bool) -> None:
    """Our own last document ends what we see; the caller's leg goes on until the carrier says so (its minutes are billed)."""
    legs = Leg.objects.filter(call=call, ended_at=None)
    if not is_carriers_word:
        legs = legs.exclude(kind=LegKind.CALLER)
    legs.update(ended_at=at, state="completed")


def _is_callers_leg_open(call: Call) -> bool:
    return Leg.objects.filter(call=call, kind=LegKind.CALLER, ended_at=None).exists()


def _was_told_to_hang_up(call: Call) -> bool:
    return CallEvent.objects.filter(call=call, key__startswith="w:", data__answer__type="HangUp").exists()


def _has_event(call: Call, kind: EventKind) -> bool:
    return CallEvent.objects.filter(call=call, kind=kind).exists()

"""Legs as the carrier reports them: status callbacks in any order, terminal states absorbing (twilio.md §3.5)."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from django.db import transaction
from django.utils import timezone

from calls.models import Call, Leg
from calls.services.announce import announce_call
from calls.services.carrier_request import STREAM_SID, CarrierRequest
from calls.services.closing import TERMINAL_STATUSES, close_call, derive_end, settle_ended_call
from calls.services.notes import note_event
from calls.vocabulary import CallState, EventKind, LegKind

STATUSES = TERMINAL_STATUSES | {"queued", "initiated", "ringing", "in-progress"}


def note_call_status(call_id: uuid.UUID, request: CarrierRequest) -> None:
    """The caller's leg, from the number's own status callback: its end is the call's end."""
    with transaction.atomic():
        call = _lock(call_id)
        leg = _upsert(call, LegKind.CALLER, call.carrier_sid, peer=call.from_number)
        changed = _advance(leg, request)
        _note(call, request, kind=LegKind.CALLER, sid=call.carrier_sid)
        if request.status in TERMINAL_STATUSES:
            end_call_as_reported(
                call, status=request.status, duration_s=request.get_int("CallDuration"), ended_at=_when(request)
            )
        elif changed:
            announce_call(call)


def note_person_status(call_id: uuid.UUID, request: CarrierRequest) -> None:
    """A dialled person's leg. How the dial ended as a whole is the Dial action's to say."""
    with transaction.atomic():
        call = _lock(call_id)
        leg = _upsert(call, LegKind.PERSON, request.call_sid, peer=request.to_number)
        _advance(leg, request)
        if request.status == "in-progress" and call.answered_at is None:
            Call.objects.filter(pk=call.pk, answered_at=None).update(answered_at=timezone.now())
        _note(call, request, kind=LegKind.PERSON, sid=request.call_sid)
        announce_call(call)


def note_stream_status(call_id: uuid.UUID, request: CarrierRequest) -> bool:
    """The stream's own callback: started, stopped, or the carrier's error. False for a stream we cannot name."""
    sid, word = request.get("StreamSid"), request.get("StreamEvent")
    if not STREAM_SID.fullmatch(sid):
        return False
    with transaction.atomic():
        call = _lock(call_id)
        leg = _upsert(call, LegKind.STREAM, sid)
        if word in ("stream-stopped", "stream-error"):
            state = "completed" if word == "stream-stopped" else "failed"
            Leg.objects.filter(pk=leg.pk, ended_at=None).update(state=state, ended_at=timezone.now())
        kind = EventKind.PEER_ERROR if word == "stream-error" else EventKind.LEG
        data = {"kind": "stream", "sid": sid, "state": word, "problem": request.get("StreamError")[:200]}
        note_event(call, f"w:stream:{sid}:{word}"[:80], kind, data={key: text for key, text in data.items() if text})
        announce_call(call)
    return True


def end_call_as_reported(call: Call, *, status: str, duration_s: int | None, ended_at: datetime) -> None:
    """The carrier's terminal word: closes the record, or corrects one that we closed ourselves."""
    if call.state == CallState.ENDED:
        settle_ended_call(call, duration_s=duration_s, ended_at=ended_at)
        return
    end_reason, fault = derive_end(call, status)
    close_call(
        call, end_reason=end_reason, fault=fault, ended_at=ended_at, duration_s=duration_s, carrier_status=status
    )


def end_person_legs(call: Call, *, sid: str, status: str, duration_s: int | None) -> None:
    """What the Dial action says about the dialled leg, in case its own callback is late or lost."""
    if not sid:
        return
    leg = _upsert(call, LegKind.PERSON, sid)
    state = "completed" if status == "answered" else status
    now = timezone.now()
    changes = {"state": state, "ended_at": now, "duration_s": duration_s or 0}
    if leg.ended_at is None:
        if duration_s:
            changes["started_at"] = now - timedelta(seconds=duration_s)
        Leg.objects.filter(pk=leg.pk, ended_at=None).update(**changes)


def _lock(call_id: uuid.UUID) -> Call:
    call: Call = Call.objects.select_related("tenant").select_for_update(of=("self",)).get(pk=call_id)
    return call


def _upsert(call: Call, kind: LegKind, sid: str, *, peer: str = "") -> Leg:
    leg: Leg
    leg, _is_new = Leg.objects.get_or_create(
        call=call, kind=kind, carrier_sid=sid, defaults={"peer": peer[:64], "started_at": timezone.now()}
    )
    return leg


def _advance(leg: Leg, request: CarrierRequest) -> bool:
    """Take the status over unless it is older than what is known, or the leg is over."""
    if request.status not in STATUSES:
        return False
    sequence = request.get_int("SequenceNumber")
    number = leg.status_sequence + 1 if sequence is None else sequence
    changes: dict[str, object] = {"state": request.status, "status_sequence": number}
    if request.status in TERMINAL_STATUSES:
        changes["ended_at"] = _when(request)
        changes["duration_s"] = request.get_int("CallDuration") or 0
        rows = Leg.objects.filter(pk=leg.pk, status_sequence__lt=number, duration_s=None)
    else:
        rows = Leg.objects.filter(pk=leg.pk, status_sequence__lt=number, ended_at=None)
    return bool(rows.update(**changes))


def _note(call: Call, request: CarrierRequest, *, kind: LegKind, sid: str) -> None:
    data = {
        "kind": str(kind),
        "sid": sid,
        "state": request.status,
        "sequence": request.get("SequenceNumber"),
        "sip": request.get("SipResponseCode"),
    }
    key = f"w:leg:{sid}:{request.status}:{request.get('SequenceNumber')}"
    note_event(call, key, EventKind.LEG, data={name: text for name, text in data.items() if text})


def _when(request: CarrierRequest) -> datetime:
    """The carrier's own time (RFC 2822, §3.5); ours when it gives none, or one that cannot be."""
    now = timezone.now()
    text = request.get("Timestamp")
    if not text:
        return now
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return now
    return at if at.tzinfo is not None and abs((now - at).total_seconds()) < 86_400 else now

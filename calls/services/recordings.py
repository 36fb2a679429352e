"""Recordings as the carrier announces them: rows first, the sound is fetched by an after-step (product 8.5)."""

from __future__ import annotations

import uuid
from datetime import datetime
from email.utils import parsedate_to_datetime

from django.db import transaction
from django.utils import timezone

from calls.models import Call, CallEvent, Recording
from calls.services.after_steps import FETCH_DELAY_S, add_recording_fetch
from calls.services.announce import announce_call
from calls.services.carrier_request import RECORDING_SID, CarrierRequest
from calls.services.notes import note_event
from calls.vocabulary import EndReason, EventKind, Outcome

# The carrier's words (twilio.md §4.5) in ours; `processing` and `stopped` are on their way to `completed`.
_STATES = {
    "in-progress": Recording.State.RUNNING,
    "paused": Recording.State.RUNNING,
    "stopped": Recording.State.FETCHING,
    "processing": Recording.State.FETCHING,
    "completed": Recording.State.FETCHING,
    "absent": Recording.State.ABSENT,
    "failed": Recording.State.FAILED,
}
_ORDER = [Recording.State.RUNNING, Recording.State.FETCHING]  # never backwards; the rest is final
VOICEMAIL_SOURCE = "RecordVerb"


def note_started(call: Call, recording_sid: str, *, offset_ms: int) -> None:
    """We started it: only we know where it stands on the call's clock."""
    row, is_new = Recording.objects.get_or_create(
        call=call, carrier_sid=recording_sid, defaults={"offset_ms": offset_ms, "channels": 2}
    )
    if not is_new and row.offset_ms != offset_ms:
        Recording.objects.filter(pk=row.pk).update(offset_ms=offset_ms)


def note_recording(call_id: uuid.UUID, request: CarrierRequest) -> bool:
    """The recording status callback. False for a recording we cannot name; unknown states are noted and change nothing."""
    sid, word = request.get("RecordingSid"), request.get("RecordingStatus")
    if not RECORDING_SID.fullmatch(sid):
        return False
    with transaction.atomic():
        call = Call.objects.select_related("tenant").get(pk=call_id)
        recording = _upsert(call, sid, request)
        state = _STATES.get(word)
        if state is not None:
            _advance(recording, state, duration_s=request.get_int("RecordingDuration"))
        note_event(
            call,
            f"w:recording:{sid}:{word}"[:80],
            EventKind.RECORDING,
            data={"sid": sid, "state": word, "kind": str(recording.kind), "error": request.get("ErrorCode")},
        )
        if word == "completed":
            add_recording_fetch(recording)
            is_said = bool(request.get_int("RecordingDuration")) and not _carrier_heard_nothing(call)
            if recording.kind == Recording.Kind.VOICEMAIL and is_said:
                correct_empty_voicemail(call)
        announce_call(call, recording=word)
    return True


def take_voicemail_recording(call: Call, request: CarrierRequest) -> Recording | None:
    """What `<Record>` left, from its action request; None when nothing was said."""
    duration_s = request.get_int("RecordingDuration")
    found = RECORDING_SID.search(request.get("RecordingSid") or request.get("RecordingUrl"))
    if found is None or not duration_s:
        return None
    recording = _upsert(call, found.group(), request, kind=Recording.Kind.VOICEMAIL)
    _advance(recording, Recording.State.FETCHING, duration_s=duration_s)
    # Usable only after the status callback says `completed` (§3.7); should that be lost, this looks for it later.
    add_recording_fetch(recording, delay_s=FETCH_DELAY_S)
    return recording


def correct_empty_voicemail(call: Call) -> None:
    """The call's own end may be reported before the message that was left in it."""
    corrected = Call.objects.filter(pk=call.pk, end_reason=EndReason.VOICEMAIL_EMPTY).update(
        end_reason=EndReason.VOICEMAIL_LEFT, outcome=Outcome.VOICEMAIL
    )
    if corrected:
        note_event(call, "x:voicemail-left", EventKind.VOICEMAIL, data={"state": "left"})


def _carrier_heard_nothing(call: Call) -> bool:
    """Whether the verb after `<Record>` was run: the carrier's word that the caller stayed silent (§3.7)."""
    return CallEvent.objects.filter(
        call=call, key__startswith="w:resume", data__end_reason=EndReason.VOICEMAIL_EMPTY
    ).exists()


def _upsert(call: Call, sid: str, request: CarrierRequest, *, kind: Recording.Kind | None = None) -> Recording:
    source = request.get("RecordingSource")
    if kind is None:
        kind = Recording.Kind.VOICEMAIL if source == VOICEMAIL_SOURCE else Recording.Kind.CALL
    fresh = {
        "kind": kind,
        "channels": min(request.get_int("RecordingChannels") or 1, 2),
        "offset_ms": _find_offset_ms(call, request.get("RecordingStartTime")),
        "source": source[:40],
    }
    row, _is_new = Recording.objects.get_or_create(call=call, carrier_sid=sid, defaults=fresh)
    row.call = call
    return row


def _advance(recording: Recording, state: Recording.State, *, duration_s: int | None) -> None:
    """By a conditional UPDATE: callbacks arrive in any order, and what is stored stays stored."""
    earlier = _ORDER[: _ORDER.index(state) + 1] if state in _ORDER else _ORDER
    changes = {"state": state} if duration_s is None else {"state": state, "duration_s": duration_s}
    Recording.objects.filter(pk=recording.pk, state__in=earlier).update(**changes)


def _find_offset_ms(call: Call, start: str) -> int:
    """Where the recording begins on the call's clock, by the carrier's start time (RFC 2822, §0.2); now when it gives none."""
    at: datetime = timezone.now()
    if start:
        try:
            at = parsedate_to_datetime(start)
        except ValueError:
            at = timezone.now()
    return max(0, round((at - (call.answered_at or call.created_at)).total_seconds() * 1000))

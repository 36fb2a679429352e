"""How a dial and a voicemail ended: the Dial action and the Record action, each answered once."""

from __future__ import annotations

import uuid

from django.db import transaction

from calls.models import Call
from calls.services import sentences
from calls.services.announce import announce_call
from calls.services.answers import AnyAnswer, HangUp
from calls.services.carrier_request import CarrierRequest
from calls.services.closing import TERMINAL_STATUSES, close_call, derive_end, reopen_call
from calls.services.legs import end_person_legs
from calls.services.notes import fresh_key, note_event
from calls.services.recordings import correct_empty_voicemail, take_voicemail_recording
from calls.services.resuming import find_answer, find_route, lock_call
from calls.services.rungs import Why, end_call, take_rung
from calls.vocabulary import CallState, Cause, EndReason, EventKind, Fault

ANSWERED = frozenset({"completed", "answered"})
_CAUSES = {
    "busy": Cause.PERSON_BUSY,
    "no-answer": Cause.PERSON_NO_ANSWER,
    "canceled": Cause.PERSON_NO_ANSWER,
    "failed": Cause.PERSON_FAILED,
}


def end_dial(call_id: uuid.UUID, request: CarrierRequest) -> AnyAnswer:
    """The person talked and the call is over, or nobody took it and the ladder goes on."""
    with transaction.atomic():
        call = lock_call(call_id)
        key = f"w:dial:{request.token}" if request.token else fresh_key("w:dial")
        known = find_answer(call, key)
        if known is not None:
            return known
        answer = _end_dial(call, request, key=key)
        announce_call(call)
        return answer


def _end_dial(call: Call, request: CarrierRequest, *, key: str) -> AnyAnswer:
    status = request.get("DialCallStatus")
    seconds = request.get_int("DialCallDuration")
    end_person_legs(call, sid=request.get("DialCallSid"), status=status, duration_s=seconds)
    data = {"dial": status, "duration_s": seconds or 0, "state": "ended"}
    if call.state == CallState.ENDED and not reopen_call(call, request.status):
        return HangUp()
    if status in ANSWERED:
        return end_call(
            call, key=key, kind=EventKind.TRANSFER, reason=EndReason.TRANSFERRED, fault=Fault.NONE, data=data
        )
    if request.status in TERMINAL_STATUSES:  # the caller hung up while it rang
        note_event(call, key, EventKind.TRANSFER, data=data)
        end_reason, fault = derive_end(call, request.status)
        close_call(call, end_reason=end_reason, fault=fault, carrier_status=request.status)
        return HangUp()
    note_event(call, f"{key}:person"[:80], EventKind.TRANSFER, data=data)
    fault = Fault.CARRIER if status == "failed" else Fault.PERSON
    why = Why(_CAUSES.get(status, Cause.PERSON_FAILED), fault, request.get("DialSipResponseCode"))
    return take_rung(call, find_route(call), start=call.rung + 1, key=key, why=why)


def end_voicemail(call_id: uuid.UUID, request: CarrierRequest) -> AnyAnswer:
    """A message was left (or the caller hung up over it). Never the same document again: `<Record>` would loop (twilio.md §3.7)."""
    with transaction.atomic():
        call = lock_call(call_id)
        key = f"w:voicemail:{request.token}" if request.token else fresh_key("w:voicemail")
        known = find_answer(call, key)
        if known is not None:
            return known
        recording = take_voicemail_recording(call, request)
        if call.state == CallState.ENDED and not reopen_call(call, request.status):
            if recording is not None:
                correct_empty_voicemail(call)
            return HangUp()
        is_left = recording is not None
        data = {
            "state": "left" if is_left else "empty",
            "recording": recording.carrier_sid if recording else "",
            "duration_s": request.get_int("RecordingDuration") or 0,
        }
        answer = end_call(
            call,
            key=key,
            kind=EventKind.VOICEMAIL,
            reason=EndReason.VOICEMAIL_LEFT if is_left else EndReason.VOICEMAIL_EMPTY,
            fault=Fault.NONE,
            data=data,
            say=(sentences.voicemail_thanks() if is_left else sentences.voicemail_empty(),),
        )
        announce_call(call)
        return answer

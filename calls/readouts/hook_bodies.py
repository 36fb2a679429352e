"""What webhooks say: plain JSON values of a call or recording, as the tenant's own systems read them; reads rows, sends nothing."""

from __future__ import annotations

from typing import Any

from calls.models import Call, CallEvent, Recording, Turn
from calls.readouts.transcript import read_transcript
from calls.vocabulary import EventKind

MAX_TRANSCRIPT_CHARS = 100_000  # a call of two hours; more is read from the call itself


def describe_call(call: Call) -> dict[str, Any]:
    """The body of `call.ended`. Times are ISO 8601 in UTC, money is an exact decimal as text."""
    lines = read_transcript(Turn.objects.filter(call=call))
    transcript = [
        {"role": str(line.turn.role), "heard": line.heard, "not_heard": line.unheard, "from_ms": line.from_ms}
        for line in lines
    ]
    size = sum(len(line.heard) + len(line.unheard) for line in lines)
    return {
        "call_id": str(call.pk),
        "carrier_sid": call.carrier_sid,
        "direction": str(call.direction),
        "from": call.from_number,
        "to": call.to_number,
        "path": str(call.path),
        "agent": call.agent.name if call.agent else None,
        "agent_version": call.agent_version.number if call.agent_version else None,
        "started_at": _iso(call.created_at),
        "answered_at": _iso(call.answered_at),
        "ended_at": _iso(call.ended_at),
        "duration_s": call.duration_s,
        "outcome": str(call.outcome),
        "end_reason": str(call.end_reason),
        "fault": str(call.fault),
        "flags": list(call.flags),
        "turns": call.turn_count,
        "cost": None
        if call.cost is None
        else {"amount": f"{call.cost:f}", "currency": call.currency, "state": "estimate"},
        "messages": [
            event.data
            for event in CallEvent.objects.filter(call=call, kind=EventKind.MESSAGE_TAKEN).order_by("at_ms", "id")
        ],
        "transcript": transcript if size <= MAX_TRANSCRIPT_CHARS else None,
    }


def describe_recording(recording: Recording) -> dict[str, Any]:
    """The body of `recording.stored`: which call, how long, and the checksum of what can be fetched from the call's page."""
    return {
        "recording_id": str(recording.pk),
        "call_id": str(recording.call_id),
        "kind": str(recording.kind),
        "channels": recording.channels,
        "duration_s": recording.duration_s,
        "offset_ms": recording.offset_ms,
        "sha256": recording.sha256,
    }


def _iso(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat()

"""Whole calls as the record holds them after a conversation, for the screens' tests; people and their memberships."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import math
import struct
import wave
from decimal import Decimal
from functools import cache
from typing import Any

from django.core.files.base import ContentFile
from django.utils import timezone

from calls.models import (
    AfterStep,
    Call,
    CallEvent,
    LedgerEntry,
    RateCard,
    Recording,
    Route,
    ToolRun,
    Turn,
)
from calls.vocabulary import CallState, EndReason, Fault, Flag, Outcome
from tenants.models import Membership, Tenant, User
from tenants.scope import tenant_scope
from tenants.services import confirm_address
from tests.factories import make_call, make_sid

PASSWORD = "a-long-enough-phrase"


def make_member(tenant: Tenant | None, email: str, *, role: str = "owner") -> User:
    """Somebody who can log in; without a tenant a stranger."""
    user = User.objects.filter(email=email).first() or User.objects.create_user(email, PASSWORD)
    confirm_address(user)
    if tenant is not None:
        Membership.objects.create(tenant=tenant, user=user, role=role)
    return user


def make_ended_call(tenant: Tenant, *, route: Route | None = None, **fields: Any) -> Call:
    """A call that is over, with nothing on record but its own row, leg and lease."""
    created_at = fields.pop("created_at", None) or timezone.now()
    values: dict[str, Any] = {
        "state": CallState.ENDED,
        "created_at": created_at,
        "answered_at": created_at + dt.timedelta(seconds=1),
        "ended_at": created_at + dt.timedelta(seconds=95),
        "duration_s": 94,
        "outcome": Outcome.RESOLVED,
        "end_reason": EndReason.AGENT_ENDED,
        "fault": Fault.NONE,
    }
    call = make_call(tenant, route=route, **{**values, **fields})
    with tenant_scope(tenant):
        call.legs.update(state="completed", ended_at=call.ended_at, duration_s=call.duration_s)
    return call


TURNS: tuple[dict[str, Any], ...] = (
    {"role": "agent", "item_id": "item_1", "said": "Good morning, Acme Dental. This call is recorded. How can I help you?",
     "from": 300, "to": 4_700},
    {"role": "caller", "item_id": "item_2", "after": "item_1", "from": 5_200, "to": 8_900,
     "said": "Hi, I would like to move my appointment. I think it is on Thursday."},
    {"role": "agent", "item_id": "item_3", "after": "item_2", "phase": "commentary", "from": 9_600, "to": 11_000,
     "said": "One moment, I am looking that up.", "model": 420, "turn": 655},
    {"role": "agent", "item_id": "item_5", "after": "item_4", "from": 12_300, "to": 20_100, "heard_ms": 4_400,
     "said": "I found it: you are booked for Thursday the third at half past nine with Doctor de Vries. "
             "I can offer you Friday at eleven, or Monday morning at a quarter past eight, whichever suits you better.",
     "heard": "I found it: you are booked for Thursday the third at half past nine with Doctor de Vries.",
     "status": "interrupted"},
    {"role": "caller", "item_id": "item_6", "after": "item_5", "from": 16_600, "to": 18_200, "said": "Friday at eleven is fine."},
    {"role": "agent", "item_id": "item_8", "after": "item_7", "from": 19_100, "to": 24_400,
     "said": "Then I have moved you to Friday at eleven. You will get a text message. Is there anything else?",
     "model": 610, "turn": 890},
    {"role": "caller", "item_id": "item_9", "after": "item_8", "from": 25_000, "to": 26_400, "said": "No, thank you. Bye!"},
    {"role": "agent", "item_id": "item_10", "after": "item_9", "from": 27_000, "to": 28_900, "said": "Goodbye, and have a nice day.",
     "model": 380, "turn": 602},
    {"role": "agent", "item_id": "item_11", "after": "item_10", "from": 28_900, "to": 28_900, "heard_ms": 0, "generated_ms": 1_500,
     "said": "Take care.", "heard": "", "status": "unheard"},
)  # fmt: skip

RUNS: tuple[dict[str, Any], ...] = (
    {"name": "find_appointment", "arguments": '{"phone": "+15557654321"}', "status": "succeeded", "from": 9_500, "to": 10_740,
     "output": '{"id": "a-118", "day": "2026-12-03", "time": "09:30", "with": "Dr. de Vries"}'},
    {"name": "move_appointment", "arguments": '{"id": "a-118", "to": "2026-12-04T11:00"}', "status": "succeeded",
     "from": 18_300, "to": 18_655, "output": '{"moved": true}'},
    {"name": "send_text", "arguments": '{"text": "See you Friday at 11:00."}', "status": "timed_out", "from": 18_700, "to": 23_700,
     "output": '{"error": "no answer within 5 s"}'},
)  # fmt: skip

EVENTS: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("w:voice", "received", 0, {"step": "streams", "rung": 0}),
    ("s:0", "stream_started", 0, {}),
    ("s:1", "model_ready", 40, {"session_id": "sess_1", "model": "gpt-realtime-2.1", "renewed": False}),
    ("s:2", "disclosure_heard", 4_700, {"text": "This call is recorded."}),
    ("s:3", "barge_in", 16_640, {"generating": True, "cut": [{"item_id": "item_5", "part": 0, "heard_ms": 4_400}]}),
    ("s:4", "hand_off", 18_280, {"source": "Reception", "target": "Scheduling", "reason": "wants to move an appointment"}),
    ("x:ended", "ended", 29_300, {"reason": "agent_ended", "fault": "none", "outcome": "resolved", "carrier": "completed"}),
)  # fmt: skip

COSTS: tuple[tuple[str, str, str, str, str], ...] = (
    ("model", "gpt-realtime-2.1:audio_in", "token", "1210", "0.000032"),
    ("model", "gpt-realtime-2.1:audio_out", "token", "864", "0.000064"),
    ("model", "gpt-realtime-2.1:cached_audio_in", "token", "2048", "0.0000004"),
    ("transcription", "gpt-4o-mini-transcribe:audio_in", "token", "410", "0.00000125"),
    ("carrier", "inbound_local", "minute", "1", "0.0085"),
    ("stream", "media_streams", "minute", "1", "0.004"),
    ("recording", "recording", "minute", "1", "0.0025"),
)


def make_told_call(tenant: Tenant, *, route: Route | None = None, has_sound: bool = True, **fields: Any) -> Call:
    """A whole conversation with everything the call page shows."""
    created_at = fields.pop("created_at", None) or timezone.now() - dt.timedelta(minutes=3)
    call = make_ended_call(
        tenant,
        route=route,
        **{
            "created_at": created_at,
            "ended_at": created_at + dt.timedelta(seconds=30),
            "duration_s": 29,
            "turn_count": len(TURNS),
            "barge_in_count": 1,
            "tool_ok_count": 2,
            "tool_failed_count": 1,
            "turn_latency_p95_ms": 890,
            "greeting_latency_ms": 212,
            "cost": Decimal("0.110447"),
            "currency": "USD",
            "flags": [Flag.HANDED_OFF, Flag.TOOL_FAILED],
            **fields,
        },
    )
    with tenant_scope(tenant):
        write_turns(call)
        write_runs(call)
        write_events(call)
        write_costs(call)
        if has_sound:
            make_recording(call)
        AfterStep.objects.create(
            call=call, step="totals", state="done", due_at=call.ended_at, done_at=call.ended_at, attempt=1
        )
        AfterStep.objects.create(
            call=call,
            step="carrier_cost",
            due_at=timezone.now() + dt.timedelta(minutes=4),
            attempt=2,
            error="The carrier has not priced the call yet (HTTP 200, price null).",
        )
    return call


def write_turns(call: Call, turns: tuple[dict[str, Any], ...] = TURNS) -> None:
    for sequence, turn in enumerate(turns):
        long_ms = turn.get("generated_ms", turn["to"] - turn["from"])
        is_agent = turn["role"] == "agent"
        Turn.objects.create(
            call=call,
            sequence=sequence,
            role=turn["role"],
            status=turn.get("status", "complete"),
            item_id=turn["item_id"],
            previous_item_id=turn.get("after", ""),
            phase=turn.get("phase", ""),
            agent=("Reception" if turn["from"] < 18_280 else "Scheduling") if is_agent else "",
            generated=turn["said"],
            heard=turn.get("heard", turn["said"]),
            generated_ms=long_ms if is_agent else 0,
            heard_ms=turn.get("heard_ms", long_ms) if is_agent else 0,
            started_ms=turn["from"],
            ended_ms=turn["from"] + turn["heard_ms"] if "heard_ms" in turn else turn["to"],
            model_latency_ms=turn.get("model"),
            turn_latency_ms=turn.get("turn"),
        )


def write_runs(call: Call, runs: tuple[dict[str, Any], ...] = RUNS) -> None:
    for sequence, run in enumerate(runs):
        ToolRun.objects.create(
            call=call,
            sequence=sequence,
            tool_call_id=f"call_{sequence}",
            name=run["name"],
            agent="Reception",
            arguments=run["arguments"],
            output=run["output"],
            status=run["status"],
            started_ms=run["from"],
            ended_ms=run["to"],
        )


def write_events(call: Call) -> None:
    start = call.answered_at or call.created_at
    for key, kind, at_ms, data in EVENTS:
        at = start + dt.timedelta(milliseconds=at_ms)
        CallEvent.objects.create(
            call=call, key=key, kind=kind, at=at, at_ms=at_ms if key.startswith("s:") else 0, data=data
        )


def write_costs(call: Call) -> None:
    # Tests that empty the database also lose the cards that a migration wrote.
    cards = {
        vendor: RateCard.objects.filter(vendor=vendor).first()
        or RateCard.objects.create(vendor=vendor, version="2026-11", valid_from=dt.date(2026, 11, 1), currency="USD")
        for vendor in ("openai", "twilio")
    }
    for place, (layer, item, unit, quantity, price) in enumerate(COSTS):
        LedgerEntry.objects.create(
            call=call,
            source_key=f"test:{call.pk}:{place}",
            state="estimate",
            layer=layer,
            item=item,
            unit=unit,
            quantity=Decimal(quantity),
            unit_price=Decimal(price),
            currency="USD",
            rate_card=cards["openai" if layer in ("model", "transcription") else "twilio"],
            occurred_at=call.created_at,
        )


def make_recording(call: Call, *, kind: str = "call", seconds: float = 29.0, channels: int = 2) -> Recording:
    """A stored recording with real, if simple, sound: each side hums while it speaks."""
    sound = make_wav(seconds, channels=channels)
    recording = Recording(
        tenant=call.tenant,
        call=call,
        kind=kind,
        state=Recording.State.STORED,
        carrier_sid=make_sid("RE"),
        offset_ms=0,
        duration_s=round(seconds),
        channels=channels,
        sha256=hashlib.sha256(sound).hexdigest(),
    )
    recording.file.save("sound.wav", ContentFile(sound), save=False)
    recording.save()
    return recording


@cache
def make_wav(seconds: float, *, channels: int = 2, rate: int = 8_000) -> bytes:
    """16-bit PCM, as the carrier serves recordings (twilio.md §4.5)."""
    spans = {
        0: [(t["from"], t["to"]) for t in TURNS if t["role"] == "caller"],
        1: [(t["from"], t["from"] + t.get("heard_ms", t["to"] - t["from"])) for t in TURNS if t["role"] == "agent"],
    }
    frames = bytearray()
    for index in range(int(seconds * rate)):
        ms = index * 1000 // rate
        for channel in range(channels):
            speaks = any(first <= ms < last for first, last in spans[channel])
            syllable = abs(math.sin(ms / 90 + channel)) * abs(math.sin(ms / 517 + channel))
            tone = math.sin(2 * math.pi * (140 + 60 * channel) * index / rate)
            frames += struct.pack("<h", int(9_000 * syllable * tone) if speaks else 0)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(frames))
    return out.getvalue()

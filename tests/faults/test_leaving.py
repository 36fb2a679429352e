"""People, voicemail, recordings, other agents, digits and guardrails: what the caller heard and what stayed secret, end to end."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from calls.models import FlightChunk, Recording
from calls.session.flight import read_flight
from calls.vocabulary import Cause, EndReason, EventKind, Fault, Outcome, ToolStatus
from calls.wire.tones import make_tones
from emulators.twilio.call import Call as CarrierCall
from tenants.models import Membership, User
from tenants.scope import every_tenant
from tests.faults.stage import (
    FAST,
    GREETING,
    PATIENCE_S,
    VOICEMAIL_GREETING,
    Line,
    Record,
    Stage,
    assert_whole,
    heard,
    in_thread,
    said_by_carrier,
)

pytestmark = pytest.mark.django_db(transaction=True)

PERSON = "+15005550200"
CONTACTS = [{"name": "Front desk", "e164": PERSON}]
CONNECTING = "I am connecting you now."
MESSAGE_HEARD = "Thank you, your message was recorded. Goodbye."
SECRET = "73910482"


def builtin(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "kind": "builtin"} for name in names]


def transfer_script() -> dict[str, Any]:
    arguments = {"contact": "Front desk", "reason": "asked", "summary": "Wants a person."}
    return {
        "rules": [
            {"caller": "person", "say": CONNECTING, "call": [{"name": "transfer_to_person", "arguments": arguments}]}
        ]
    }


async def ask_for_a_person(stage: Stage) -> CarrierCall:
    stage.play(transfer_script())
    line = await stage.open_line(tools=builtin("transfer_to_person"), contacts=CONTACTS)
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    await stage.say(call, "I want a person.")
    return call


@in_thread
def replay(record: Record) -> str:
    """What `manage.py replay` says; it exits when the session would answer differently."""
    out = io.StringIO()
    call_command("replay", str(record.call.pk), stdout=out)
    return out.getvalue()


@in_thread
def fetch_recording(line: Line, recording: Recording) -> bytes:
    """As a member of the tenant plays it on the call's page."""
    user = User.objects.create_user(email=f"{line.tenant.slug}@example.com", password="a long password")
    with every_tenant(reason="a test makes a member"):
        Membership.objects.create(tenant=line.tenant, user=user, role=Membership.Role.VIEWER)
    client = Client()
    client.force_login(user)
    answer = client.get(reverse("recording", args=[line.tenant.slug, recording.call_id, recording.pk]))
    assert answer.status_code == 200
    return b"".join(answer) if answer.streaming else answer.content  # type: ignore[arg-type]


async def test_a_person_answers_and_talks_with_the_caller(stage: Stage) -> None:
    stage.carrier.add_person(PERSON, rings_s=0.5)
    call = await ask_for_a_person(stage)
    await call.wait_for("bridged", PATIENCE_S)
    assert stage.was_heard(call, CONNECTING)  # before the line moved
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert (record.call.end_reason, record.call.outcome) == (EndReason.TRANSFERRED, Outcome.TRANSFERRED)
    assert [leg.peer for leg in record.legs if leg.kind == "person"] == [PERSON]
    assert record.call.fault == Fault.NONE
    assert_whole(record)
    assert "all as in the call" in await replay(record)


@FAST
@pytest.mark.parametrize(
    ("outcome", "cause", "fault"),
    [
        ("busy", Cause.PERSON_BUSY, Fault.PERSON),
        ("no-answer", Cause.PERSON_NO_ANSWER, Fault.PERSON),
        ("failed", Cause.PERSON_FAILED, Fault.CARRIER),
    ],
)
async def test_a_person_who_cannot_be_had_leaves_the_caller_the_voicemail(
    stage: Stage, outcome: str, cause: Cause, fault: Fault
) -> None:
    stage.carrier.add_person(PERSON, outcome=outcome, rings_s=0.5)
    call = await ask_for_a_person(stage)
    record = await stage.leave_message(call)
    assert stage.was_heard(call, VOICEMAIL_GREETING)
    assert record.causes(EventKind.STEP) == [cause]
    assert [data["fault"] for data in record.of(EventKind.STEP)] == [fault]
    assert (record.call.end_reason, record.call.outcome) == (EndReason.VOICEMAIL_LEFT, Outcome.VOICEMAIL)
    assert_whole(record)


@FAST
async def test_a_voicemail_is_fetched_kept_and_playable(stage: Stage, settings: Settings) -> None:
    settings.OPENAI_API_KEY = "sk-of-yesterday"
    line = await stage.open_line()
    call = await stage.ring(line)
    await stage.leave_message(call)
    await stage.until(call, lambda record: any("completed" in data["state"] for data in record.of(EventKind.RECORDING)))
    record = await stage.worked(call)
    (recording,) = record.recordings
    assert (recording.kind, recording.state) == (Recording.Kind.VOICEMAIL, Recording.State.STORED)
    (truth,) = call.recordings
    assert await fetch_recording(line, recording) == truth.make_media(channels=recording.channels)
    assert len(truth.tracks()[0].strip(b"\xff")) > 8_000  # the message itself: more than a second of voice
    assert said_by_carrier(call)[-1] == MESSAGE_HEARD


async def test_a_call_is_recorded_only_after_the_caller_heard_so(stage: Stage) -> None:
    disclosure = "This call is recorded."
    stage.play({"rules": [{"caller": "open", "say": "We are open until five."}]})
    line = await stage.open_line(recording=True, disclosure=disclosure)
    call = await stage.ring(line)
    await call.wait_for("recording-started", PATIENCE_S)
    (truth,) = call.recordings
    said = b"".join(audio for start, audio in call.leg.heard if start < truth.begun)
    assert any(clip in said for clip in stage.clips(f"{disclosure} {GREETING}"))
    await stage.say(call, "Are you open today?")
    await stage.until_heard(call, "We are open until five.")
    call.hang_up(by="caller")
    await stage.until(
        call, lambda record: any("completed" in data.get("state", "") for data in record.of(EventKind.RECORDING))
    )
    record = await stage.worked(call)
    (recording,) = record.recordings
    assert (recording.state, recording.channels) == (Recording.State.STORED, 2)
    assert await fetch_recording(line, recording) == truth.make_media(channels=2)
    assert any(clip in truth.tracks()[1] for clip in stage.clips("We are open until five."))
    assert len(record.of(EventKind.DISCLOSURE_HEARD)) == 1
    assert "all as in the call" in await replay(record)


async def test_another_agent_goes_on_with_the_conversation(stage: Stage) -> None:
    stage.play(
        {
            "rules": [
                {
                    "caller": "invoice",
                    "call": [
                        {
                            "name": "hand_off",
                            "arguments": {"agent": "Billing", "reason": "a bill", "summary": "Asks about an invoice."},
                        }
                    ],
                },
                {"instructions": "You answer for the bills", "output_of": "hand_off", "say": "I see your invoice."},
                {"instructions": "You answer for the bills", "caller": "open", "say": "The bills are open until four."},
            ]
        }
    )
    line = await stage.open_line(
        agents=[{"name": "Billing", "instructions": "You answer for the bills.", "greeting": ""}],
        tools=builtin("hand_off"),
        hand_offs=[{"agent": "Billing", "description": "Questions about bills"}],
    )
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    await stage.say(call, "I have a question about my invoice.")
    await stage.until_heard(call, "I see your invoice.")
    await stage.say(call, "Are you open today?")
    await stage.until_heard(call, "The bills are open until four.")
    call.hang_up(by="caller")
    record = await stage.ended(call)
    (hand_off,) = record.of(EventKind.HAND_OFF)
    assert (hand_off["source"], hand_off["target"]) == ("Reception", "Billing")
    assert [turn.agent for turn in record.turns if turn.role == "agent"] == ["Reception", "Billing", "Billing"]
    assert len(stage.model.sessions) == 1
    assert_whole(record)
    assert "all as in the call" in await replay(record)


async def test_what_a_guardrail_trips_over_is_never_heard(stage: Stage) -> None:
    promise = "Well, let me see what I can do for you, I can promise you a discount of half the price."
    stage.play(
        {"rules": [{"note": "Never promise", "say": "Prices are on our website."}, {"caller": "price", "say": promise}]}
    )
    line = await stage.open_line(
        guardrails=[
            {"name": "no promises", "pattern": r"promise you a discount", "correction": "Never promise anything."}
        ]
    )
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    await stage.say(call, "What is the price?")
    await stage.until(call, lambda record: bool(record.of(EventKind.GUARDRAIL)))
    await stage.until(
        call, lambda record: len([turn for turn in record.turns if turn.role == "agent" and turn.status != "open"]) >= 3
    )
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert not stage.was_heard(call, promise)
    (trip,) = [turn for turn in record.turns if turn.generated.startswith("Well")]
    assert "promise" not in trip.heard
    spoken = stage.clips(promise)[0]
    line_heard = b"".join(audio for _, audio in call.leg.heard)
    assert spoken[: len(spoken) // 2] not in line_heard
    assert_whole(record)
    assert "all as in the call" in await replay(record)


async def test_digits_go_out_as_tones_and_come_in_for_the_agent(stage: Stage) -> None:
    stage.play(
        {
            "rules": [
                {"caller": "menu", "call": [{"name": "send_digits", "arguments": {"digits": "12#"}}], "then": "Sent."},
                {
                    "caller": "number",
                    "call": [{"name": "collect_digits", "arguments": {"max_digits": 4, "purpose": "order number"}}],
                    "then": "Your number is {output.digits}.",
                },
            ]
        }
    )
    line = await stage.open_line(tools=builtin("send_digits", "collect_digits"))
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    await stage.say(call, "Get me through the menu.")
    await stage.until_heard(call, "Sent.")
    assert heard(call, bytes(make_tones("12#")))
    await stage.say(call, "I have a number for you.")
    await stage.until(call, lambda record: len(record.tool_runs) == 2)
    await call.leg.press("1001")
    await stage.until_heard(call, "Your number is 1001.")
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert [run.status for run in record.tool_runs] == [ToolStatus.SUCCEEDED] * 2
    assert_whole(record)
    assert "all as in the call" in await replay(record)


@in_thread
def dump_database() -> str:
    """Every value of every row of ours, and the flight recordings as they read."""
    with every_tenant(reason="a test looks for a secret everywhere"):
        rows = [
            repr(row)
            for model in apps.get_models()
            if model._meta.app_label in ("calls", "agents", "tenants")
            for row in model._base_manager.values_list()
        ]
        chunks = FlightChunk.objects.order_by("call", "session", "sequence")
        flight = read_flight(b"".join(bytes(chunk.data) for chunk in chunks))
    return "\n".join([*rows, repr(flight)])


async def test_secret_digits_reach_the_tool_and_nothing_else(
    stage: Stage, settings: Settings, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("DEBUG")
    settings.DEBUG_CALLS = True
    collect = {"max_digits": len(SECRET), "purpose": "card number", "secret": True}
    stage.play(
        {
            "rules": [
                {"caller": "card", "call": [{"name": "collect_digits", "arguments": collect}]},
                {
                    "output_of": "collect_digits",
                    "call": [{"name": "charge_card", "arguments": {"card": "{output.reference}"}}],
                    "then": "It is paid.",
                },
            ]
        }
    )
    charge = {
        "name": "charge_card",
        "http": {"method": "GET", "url": f"{stage.tools.base_url}/health"},
        "parameters": {"type": "object", "properties": {"card": {"type": "string"}}, "required": ["card"]},
    }
    line = await stage.open_line(tools=[*builtin("collect_digits"), charge])
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    await stage.say(call, "I want to pay by card.")
    await stage.until(call, lambda record: bool(record.tool_runs))
    await call.leg.press(SECRET)
    await stage.until_heard(call, "It is paid.")
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert [path for _method, path in stage.tools.requests] == [f"/health?card={SECRET}"]
    session = await stage.session()
    captures = "".join(path.read_text() for path in (tmp_path / "debug_calls").iterdir())
    journals = "".join(path.read_text(errors="replace") for path in (tmp_path / "spool").rglob("*") if path.is_file())
    assert '"dtmf"' in captures.replace("\\", "")  # it did capture the keys, hidden
    for place, text in {
        "database": await dump_database(),
        "model": repr(session.events) + repr([item.body for item in session.items]),
        "debug capture": captures,
        "journal": journals,
        "log": caplog.text.replace(f"/health?card={SECRET}", "") if "aiohttp" in caplog.text else caplog.text,
    }.items():
        assert SECRET not in text, place
    for text in (captures, journals):
        assert not any(f'digit":"{key}"' in text.replace("\\", "").replace(" ", "") for key in SECRET)
    assert_whole(record)
    assert "all as in the call" in await replay(record)

"""The caller hangs up in the middle of anything: the record is closed once, and says where the call had come to."""

from __future__ import annotations

import asyncio

import pytest
from pytest_django.fixtures import Settings

from calls.vocabulary import EndReason, EventKind, Outcome, ToolStatus, TurnStatus
from emulators.openai.faults import Fault as ModelFault
from emulators.openai.faults import FaultKind
from emulators.twilio.call import Call as CarrierCall
from tests.faults.stage import FAST, GREETING, PATIENCE_S, Stage, assert_whole, read_record

pytestmark = pytest.mark.django_db(transaction=True)

PERSON = "+15005550200"
TRANSFER = {
    "rules": [
        {
            "caller": "person",
            "call": [
                {
                    "name": "transfer_to_person",
                    "arguments": {"contact": "Front desk", "reason": "asked", "summary": "Wants a person."},
                }
            ],
        }
    ]
}


async def hang_up(stage: Stage, call: CarrierCall) -> None:
    call.hang_up(by="caller")
    async with asyncio.timeout(PATIENCE_S):
        await call.ended()


async def test_before_anybody_answered(stage: Stage) -> None:
    line = await stage.open_line()
    call = await stage.ring(line)
    call.hang_up(by="caller")  # the webhook is on its way
    async with asyncio.timeout(PATIENCE_S):
        await call.ended()
    record = await read_record(call.sid)
    if record is not None:  # our answer came too late for the carrier
        record = await stage.ended(call)
        assert record.call.outcome in (Outcome.NO_ANSWER, Outcome.CALLER_LEFT)
        assert record.turns == []
        assert_whole(record)


async def test_in_the_greeting(stage: Stage) -> None:
    line = await stage.open_line()
    call = await stage.ring(line)
    await call.wait_for("heard", PATIENCE_S)
    await hang_up(stage, call)
    record = await stage.ended(call)
    (turn,) = record.turns
    assert turn.generated  # as far as the words had come when the line went dead
    assert GREETING.startswith(turn.generated)
    assert turn.status in (TurnStatus.INTERRUPTED, TurnStatus.UNHEARD)
    assert turn.heard_ms < turn.generated_ms
    assert GREETING.startswith(turn.heard)
    assert (record.call.end_reason, record.call.outcome) == (EndReason.CALLER_HUNG_UP, Outcome.CALLER_LEFT)
    assert_whole(record)


async def test_while_the_model_is_being_connected(stage: Stage, settings: Settings) -> None:
    stage.model.inject(ModelFault(kind=FaultKind.HANG_HANDSHAKE, times=-1))
    line = await stage.open_line()
    call = await stage.ring(line)
    await call.wait_for("stream-started", PATIENCE_S)
    await stage.until(call, lambda record: bool(record.of(EventKind.STREAM_STARTED)))
    await hang_up(stage, call)
    record = await stage.ended(call)
    assert (record.call.end_reason, record.call.outcome) == (EndReason.CALLER_HUNG_UP, Outcome.CALLER_LEFT)
    assert record.turns == []
    assert_whole(record)


async def test_while_a_tool_runs(stage: Stage) -> None:
    stage.play({"rules": [{"caller": "order", "call": [{"name": "lookup_order"}], "then": "It was shipped."}]})
    line = await stage.open_line(
        tools=[{"name": "lookup_order", "http": {"method": "POST", "url": f"{stage.tools.base_url}/slow"}}]
    )
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    await stage.say(call, "Where is my order?")
    await stage.until(call, lambda record: bool(record.tool_runs))
    await hang_up(stage, call)
    record = await stage.ended(call)
    (run,) = record.tool_runs
    assert run.status == ToolStatus.UNKNOWN
    assert record.call.end_reason == EndReason.CALLER_HUNG_UP
    assert_whole(record)


async def test_while_a_person_is_rung(stage: Stage) -> None:
    stage.play(TRANSFER)
    stage.carrier.add_person(PERSON, rings_s=60)
    line = await stage.open_line(
        tools=[{"name": "transfer_to_person", "kind": "builtin"}], contacts=[{"name": "Front desk", "e164": PERSON}]
    )
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    await stage.say(call, "I want a person.")
    await stage.until(
        call, lambda record: any(data.get("state") == "dialling" for data in record.of(EventKind.TRANSFER))
    )
    await hang_up(stage, call)
    record = await stage.ended(call)
    assert (record.call.end_reason, record.call.outcome) == (EndReason.CALLER_HUNG_UP, Outcome.CALLER_LEFT)
    assert_whole(record)


@FAST
@pytest.mark.parametrize("spoke", [True, False], ids=["after speaking", "without a word"])
async def test_at_the_voicemail(stage: Stage, settings: Settings, spoke: bool) -> None:
    settings.OPENAI_API_KEY = "sk-of-yesterday"
    line = await stage.open_line()
    call = await stage.ring(line)
    await call.wait_for("recording-started", PATIENCE_S)
    if spoke:
        await stage.say(call, "Please call me back.")
    await hang_up(stage, call)
    wanted = EndReason.VOICEMAIL_LEFT if spoke else EndReason.VOICEMAIL_EMPTY
    await stage.ended(call)
    record = await stage.until(call, lambda record: record.call.end_reason == wanted)
    assert record.call.outcome == (Outcome.VOICEMAIL if spoke else Outcome.CALLER_LEFT)
    assert_whole(record)

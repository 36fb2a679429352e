"""The model refuses, stalls, is cut off or talks nonsense: the caller hears a sentence and gets somewhere, never silence."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from calls.services import plan
from calls.session.leaving import SORRY
from calls.session.plan import Limits
from calls.vocabulary import Cause, EndReason, EventKind, Fault, Outcome
from emulators.callers import HangUp, WaitForAgent
from emulators.openai.faults import Fault as ModelFault
from emulators.openai.faults import FaultKind
from tests.faults.stage import (
    FAST,
    GREETING,
    PATIENCE_S,
    VOICEMAIL_GREETING,
    Stage,
    assert_whole,
    conversation,
    describe,
    said_by_carrier,
)

pytestmark = pytest.mark.django_db(transaction=True)

OPEN = {"rules": [{"caller": "open", "say": "We are open until five."}]}
ALWAYS = -1
RECONNECT_BAR_S = 2.0  # product 7.2


async def test_a_caller_is_greeted_talks_and_hangs_up(stage: Stage) -> None:
    stage.play(OPEN)
    line = await stage.open_line()
    call = await stage.ring(line, *conversation("Are you open today?"), WaitForAgent(), HangUp())
    record = await stage.ended(call)
    assert stage.was_heard(call, GREETING)
    assert stage.was_heard(call, "We are open until five.")
    assert record.said == [
        ("agent", GREETING),
        ("caller", "Are you open today?"),
        ("agent", "We are open until five."),
    ]
    assert (record.call.end_reason, record.call.fault) == (EndReason.CALLER_HUNG_UP, Fault.NONE)
    assert_whole(record)


@dataclass(frozen=True)
class Trouble:
    """What is wrong from the first moment, and what the record must call it."""

    cause: Cause
    fault: ModelFault | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)


TROUBLES = {
    "bad key": Trouble(Cause.MODEL_REFUSED, settings={"OPENAI_API_KEY": "sk-of-yesterday"}),
    "unknown model": Trouble(Cause.MODEL_REFUSED, spec={"realtime": {"model": "gpt-realtime-9"}}),
    "over quota at the door": Trouble(
        Cause.MODEL_QUOTA, ModelFault(kind=FaultKind.REFUSE_HANDSHAKE, status=429, times=ALWAYS)
    ),
    "server error at the door": Trouble(
        Cause.MODEL_UNREACHABLE, ModelFault(kind=FaultKind.REFUSE_HANDSHAKE, status=503, times=ALWAYS)
    ),
    "nobody at the door": Trouble(
        Cause.MODEL_UNREACHABLE,
        ModelFault(kind=FaultKind.HANG_HANDSHAKE, times=ALWAYS),
        settings={"MODEL_CONNECT_TIMEOUT_S": 0.4},
    ),
    "no such server": Trouble(Cause.MODEL_UNREACHABLE, settings={"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}),
    "session never confirmed": Trouble(
        Cause.MODEL_UNREACHABLE,
        ModelFault(kind=FaultKind.NO_SESSION_UPDATED, times=ALWAYS),
        settings={"MODEL_CONNECT_TIMEOUT_S": 0.4},
    ),
    "out of money": Trouble(
        Cause.MODEL_QUOTA, ModelFault(kind=FaultKind.FAIL_RESPONSE, code="insufficient_quota", times=ALWAYS)
    ),
    "rate limited": Trouble(
        Cause.MODEL_QUOTA, ModelFault(kind=FaultKind.FAIL_RESPONSE, code="rate_limit_exceeded", times=ALWAYS)
    ),
    "every response fails": Trouble(Cause.MODEL_FAILED, ModelFault(kind=FaultKind.FAIL_RESPONSE, times=ALWAYS)),
    "silent": Trouble(
        Cause.MODEL_SILENT,
        ModelFault(kind=FaultKind.SILENT_RESPONSE, times=ALWAYS),
        settings={"MODEL_WATCHDOG_MS": 500},
    ),
}


@FAST
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
async def test_a_model_that_cannot_serve_costs_a_sentence_and_a_rung(
    stage: Stage, settings: Settings, trouble: Trouble
) -> None:
    for name, value in trouble.settings.items():
        setattr(settings, name, value)
    if trouble.fault is not None:
        stage.model.inject(trouble.fault)
    line = await stage.open_line(**trouble.spec)
    call = await stage.ring(line)
    await call.wait_for("recording-started", PATIENCE_S)
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert said_by_carrier(call) == [SORRY, VOICEMAIL_GREETING]
    assert stage.was_heard(call, SORRY)
    assert stage.was_heard(call, VOICEMAIL_GREETING)
    assert record.causes(EventKind.STEP) == [trouble.cause]
    assert [data["fault"] for data in record.of(EventKind.STEP) if "cause" in data] == [Fault.MODEL]
    assert record.call.end_reason == EndReason.VOICEMAIL_EMPTY, describe(record)
    assert_whole(record)


async def test_a_caller_of_a_dead_model_reaches_the_person_on_the_next_rung(stage: Stage, settings: Settings) -> None:
    settings.OPENAI_API_KEY = "sk-of-yesterday"
    line = await stage.open_line(ladder=("streams", "person", "voicemail"), person_e164="+15005550200")
    stage.carrier.add_person("+15005550200", rings_s=0.3)
    call = await stage.ring(line)
    await call.wait_for("bridged")
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert stage.was_heard(call, SORRY)
    assert (record.call.end_reason, record.call.outcome) == (EndReason.TRANSFERRED, Outcome.TRANSFERRED)
    assert_whole(record)


async def test_one_failed_response_is_tried_again_and_the_caller_notices_little(stage: Stage) -> None:
    stage.model.inject(ModelFault(kind=FaultKind.FAIL_RESPONSE))
    line = await stage.open_line()
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert said_by_carrier(call) == []
    assert record.call.end_reason == EndReason.CALLER_HUNG_UP
    assert_whole(record)


@FAST
async def test_a_model_silent_after_the_caller_spoke_is_asked_again_then_left(stage: Stage, settings: Settings) -> None:
    settings.MODEL_WATCHDOG_MS = 600
    line = await stage.open_line()
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    stage.model.inject(ModelFault(kind=FaultKind.SILENT_RESPONSE, times=ALWAYS))
    await stage.say(call, "Are you open today?")
    record = await stage.leave_message(call)
    assert stage.was_heard(call, SORRY)
    assert [data["strike"] for data in record.of(EventKind.WATCHDOG)] == [1, 2]
    assert record.causes(EventKind.STEP) == [Cause.MODEL_SILENT]
    assert ("caller", "Are you open today?") in record.said
    assert_whole(record)


async def test_a_model_that_stalls_in_the_middle_of_a_sentence_goes_on_with_it(stage: Stage) -> None:
    stage.play(OPEN)
    line = await stage.open_line()
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    stage.model.inject(ModelFault(kind=FaultKind.STALL, after_ms=300, delay_ms=700))
    await stage.say(call, "Are you open today?")
    await stage.until_heard(call, "We are open until five.")
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert record.said[-1] == ("agent", "We are open until five.")
    assert said_by_carrier(call) == []
    assert_whole(record)


async def test_a_cut_model_socket_is_replaced_within_two_seconds_and_knows_what_was_said(
    stage: Stage, record_property: Any
) -> None:
    stage.play(OPEN)
    line = await stage.open_line()
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    stage.model.inject(ModelFault(kind=FaultKind.CUT, after_ms=400))
    await stage.say(call, "Are you open today?")
    first = await stage.session(0)
    await first.record.wait_until(lambda: first.is_closed)
    cut_at = time.monotonic()
    second = await stage.session(1)
    await second.wait_for_sent(lambda event: event["type"] == "response.output_audio.delta")
    reconnected_s = time.monotonic() - cut_at
    record_property("reconnect_s", round(reconnected_s, 3))
    assert reconnected_s <= RECONNECT_BAR_S
    told = [item["item"] for item in second.record.list_received("conversation.item.create")]
    texts = [(item["role"], part["text"]) for item in told for part in item.get("content", ())]
    assert ("assistant", GREETING) in texts
    assert ("user", "Are you open today?") in texts
    await second.record.wait_until(lambda: any(item.role == "assistant" for item in second.items))
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert len(call.streams) == 1  # the carrier's leg never noticed
    assert said_by_carrier(call) == []
    assert record.causes(EventKind.MODEL_LOST) == [Cause.MODEL_LOST]
    assert [entry.usage_lost for entry in record.ledger].count(True) >= 1
    assert_whole(record)


@FAST
async def test_a_model_lost_over_and_over_ends_at_voicemail(stage: Stage) -> None:
    line = await stage.open_line()
    stage.model.inject(ModelFault(kind=FaultKind.CUT, after_ms=0, times=ALWAYS))
    call = await stage.ring(line)
    record = await stage.leave_message(call)
    assert stage.was_heard(call, SORRY)
    assert record.causes(EventKind.STEP) == [Cause.MODEL_LOST]
    assert_whole(record)


@pytest.mark.parametrize("kind", [FaultKind.GARBAGE_FRAME, FaultKind.UNKNOWN_EVENT, FaultKind.DTMF_EVENT])
async def test_nonsense_from_the_model_is_passed_over(stage: Stage, kind: FaultKind) -> None:
    stage.play(OPEN)
    line = await stage.open_line()
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    session = await stage.session()
    for _ in range(4):
        session.strike(ModelFault(kind=kind))
    await stage.say(call, "Are you open today?")
    await stage.until_heard(call, "We are open until five.")
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert len(stage.model.sessions) == 1
    assert record.call.fault == Fault.NONE
    assert len([data for data in record.of(EventKind.PEER_ERROR) if data["peer"] == "model"]) == (
        4 if kind is FaultKind.GARBAGE_FRAME else 0
    )
    assert_whole(record)


async def test_the_hour_is_up_and_the_caller_hears_nothing_of_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "Limits", functools.partial(Limits, renew_after_ms=1_200))
    stage.play(OPEN)
    line = await stage.open_line()
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    second = await stage.session(1)
    await stage.until(call, lambda record: len(record.of(EventKind.MODEL_READY)) == 2)
    await stage.say(call, "Are you open today?")
    await stage.until_heard(call, "We are open until five.")
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert [data["renewed"] for data in record.of(EventKind.MODEL_READY)][:2] == [False, True]
    assert record.of(EventKind.MODEL_LOST) == []
    assert record.said == [("agent", GREETING), ("caller", "Are you open today?"), ("agent", "We are open until five.")]
    assert second.record.list_received("conversation.item.create")
    assert len(call.streams) == 1
    assert_whole(record)


async def test_a_session_the_vendor_ends_at_its_limit_is_replaced(stage: Stage) -> None:
    stage.play(OPEN)
    line = await stage.open_line()
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    (await stage.session()).expire()
    await stage.session(1)
    await stage.until(call, lambda record: len(record.of(EventKind.MODEL_READY)) == 2)
    await stage.say(call, "Are you open today?")
    await stage.until_heard(call, "We are open until five.")
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert said_by_carrier(call) == []
    assert_whole(record)

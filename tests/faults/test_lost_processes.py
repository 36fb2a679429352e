"""A media process is killed or asked to stop with callers on the line: nobody is cut off, nothing said is lost or doubled."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from calls.vocabulary import Cause, EndReason, EventKind, ToolStatus
from emulators.openai.config import DoubleConfig as ModelConfig
from emulators.openai.config import Timing
from emulators.twilio.call import Call as CarrierCall
from tests.faults.fleet import Fleet, run_fleet
from tests.faults.stage import GREETING, PATIENCE_S, Record, Stage, assert_whole, describe

pytestmark = pytest.mark.django_db(transaction=True)

SPEECH_AGAIN_BAR_S = 3.0  # product 7.1
HOURS = "We are open until five."
SHIPPED = "Your order was shipped."
TALK = {
    "rules": [
        {"caller": "open", "say": HOURS},
        {
            "caller": "order",
            "call": [{"name": "lookup_order", "arguments": {"order_id": "1001"}}],
            "then": SHIPPED,
        },
    ]
}
REAL_TIME = pytest.mark.parametrize("carrier_config", [1.0], indirect=True, ids=["real-time"])


async def speech_again(call: CarrierCall, since_s: float) -> float:
    """Seconds from `since_s` until the caller hears something of a later stream."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            later = {stream.sid for stream in call.streams[1:]}
            fresh = [piece.start / 8000 for piece in call.leg.playout.history if piece.source in later]
            if fresh:
                return round(min(fresh) - since_s, 3)
            await asyncio.sleep(0.02)


def assert_continuous(record: Record) -> None:
    """One transcript, as though nothing had happened: each line of caller and tool once, usage and money once."""
    assert_whole(record)
    callers = Counter(text for role, text in record.said if role == "caller")
    assert set(callers) >= {"Are you open today?", "Where is my order?"}, describe(record)
    assert set(callers.values()) == {1}, describe(record)
    assert [text for role, text in record.said if text == GREETING] == [GREETING], describe(record)
    assert [(run.name, run.status) for run in record.tool_runs] == [("lookup_order", ToolStatus.SUCCEEDED)]
    starts = [turn.started_ms for turn in record.turns]
    assert starts == sorted(starts)


@pytest.fixture
def model_config(speech_dir: Path) -> ModelConfig:
    """The vendor's usual pace, for the figures."""
    return ModelConfig(timing=Timing(transcription_ms=20), cache_dir=speech_dir)


def make_tool(stage: Stage, path: str = "/orders", **spec: Any) -> dict[str, Any]:
    return {
        "name": "lookup_order",
        "http": {"method": "POST", "url": f"{stage.tools.base_url}{path}"},
        "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
        **spec,
    }


async def talk(stage: Stage, call: CarrierCall) -> None:
    await stage.until_heard(call, GREETING)
    await stage.say(call, "Are you open today?")
    await stage.until_heard(call, HOURS)
    await stage.say(call, "Where is my order?")
    await stage.until_heard(call, SHIPPED)


async def live_through_a_kill(stage: Stage, fleet: Fleet, callers: int) -> list[float]:
    """Seconds until each caller heard speech again."""
    line = await stage.open_line(tools=[make_tool(stage, idempotent=True)])
    calls = [await stage.ring(line) for _ in range(callers)]
    await asyncio.gather(*(talk(stage, call) for call in calls))
    fleet.processes[0].kill()
    killed_s = stage.carrier.exchange.clock.seconds()
    pauses = await asyncio.gather(*(speech_again(call, killed_s) for call in calls))
    assert max(pauses) <= SPEECH_AGAIN_BAR_S, pauses

    async def finish(call: CarrierCall) -> Record:
        await stage.say(call, "Thank you, goodbye.")
        await stage.until(call, lambda record: ("caller", "Thank you, goodbye.") in record.said)
        call.hang_up(by="caller")
        return await stage.worked(call)

    for record in await asyncio.gather(*(finish(call) for call in calls)):
        assert record.call.end_reason == EndReason.CALLER_HUNG_UP
        assert Cause.PROCESS_LOST in record.causes(EventKind.RECOVERY)
        assert_continuous(record)
    assert [call.ended_by for call in calls] == ["caller"] * callers
    return pauses


@REAL_TIME
async def test_a_killed_process_costs_the_caller_a_short_pause(
    doubles: Stage, settings: Settings, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    doubles.play(TALK)
    async with run_fleet(doubles, tmp_path, settings) as fleet:
        await fleet.start(2)
        record_property("speech_again_s", await live_through_a_kill(doubles, fleet, 1))


@pytest.mark.chaos
@REAL_TIME
async def test_five_callers_outlive_the_process_that_served_them(
    doubles: Stage, settings: Settings, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    doubles.play(TALK)
    async with run_fleet(doubles, tmp_path, settings) as fleet:
        await fleet.start(2)
        pauses = await live_through_a_kill(doubles, fleet, 5)
        record_property("speech_again_s", pauses)
        print("speech again after kill -9, s:", sorted(round(pause, 2) for pause in pauses))  # noqa: T201 # the figure


@REAL_TIME
async def test_a_tool_that_ran_when_its_process_was_killed_is_not_run_twice(
    doubles: Stage, settings: Settings, tmp_path: Path
) -> None:
    stage = doubles
    stage.play(TALK)
    async with run_fleet(stage, tmp_path, settings) as fleet:
        await fleet.start(2)
        line = await stage.open_line(tools=[make_tool(stage, "/slow?seconds=20", timeout_s=30)])
        call = await stage.ring(line)
        await stage.until_heard(call, GREETING)
        await stage.say(call, "Where is my order?")
        await stage.until(call, lambda record: bool(record.tool_runs) and bool(stage.tools.requests))
        fleet.processes[0].kill()
        killed_s = stage.carrier.exchange.clock.seconds()
        assert await speech_again(call, killed_s) <= SPEECH_AGAIN_BAR_S
        call.hang_up(by="caller")
        record = await stage.worked(call)
    assert [run.status for run in record.tool_runs] == [
        ToolStatus.UNKNOWN
    ]  # not declared idempotent: the model is told
    assert len(stage.tools.requests) == 1
    assert_whole(record)


@REAL_TIME
async def test_a_process_asked_to_stop_moves_its_call_and_leaves(
    doubles: Stage, settings: Settings, tmp_path: Path
) -> None:
    stage = doubles
    stage.play(TALK)
    async with run_fleet(stage, tmp_path, settings, MEDIA_DRAIN_SECONDS="40") as fleet:
        await fleet.start(2)
        line = await stage.open_line(tools=[make_tool(stage)])
        call = await stage.ring(line)
        await stage.until_heard(call, GREETING)
        await stage.say(call, "Are you open today?")
        fleet.processes[0].terminate()
        await stage.until_heard(call, HOURS)  # not cut in the middle of a sentence
        assert await fleet.processes[0].gone() == 0
        await stage.say(call, "Where is my order?")
        await stage.until_heard(call, SHIPPED)
        call.hang_up(by="caller")
        record = await stage.worked(call)
    assert len(call.streams) == 2
    assert call.entries("say") == []
    assert record.causes(EventKind.RECOVERY)[:1] == [Cause.DEPLOY]
    assert record.call.end_reason == EndReason.CALLER_HUNG_UP
    assert_continuous(record)


@REAL_TIME
async def test_a_process_that_is_alone_finishes_its_call_before_it_leaves(
    doubles: Stage, settings: Settings, tmp_path: Path
) -> None:
    stage = doubles
    stage.play(TALK)
    async with run_fleet(stage, tmp_path, settings, MEDIA_DRAIN_SECONDS="60") as fleet:
        (process,) = await fleet.start(1)
        line = await stage.open_line(tools=[make_tool(stage)])
        call = await stage.ring(line)
        await stage.until_heard(call, GREETING)
        process.terminate()
        await stage.say(call, "Are you open today?")
        await stage.until_heard(call, HOURS)
        call.hang_up(by="caller")
        async with asyncio.timeout(PATIENCE_S):
            await call.ended()
        assert await process.gone() == 0
    record = await stage.until(call, lambda record: not [turn for turn in record.turns if turn.status == "open"])
    assert len(call.streams) == 1
    assert record.said[-1] == ("agent", HOURS)

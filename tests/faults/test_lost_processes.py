"""A media process is killed or asked to stop with callers on the line: nobody is cut off, nothing said is lost or doubled."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from calls.vocabulary import Cause, EndReason, EventKind, ToolStatus
from emulators.twilio.call import Call as CarrierCall
from tests.faults.fleet import Fleet, run_fleet
from tests.faults.stage import GREETING, PATIENCE_S, Record, Stage, assert_whole, describe

pytestmark = pytest.mark.django_db(transaction=True)

SPEECH_AGAIN_BAR_S = 3.0  # product 7.1
HOURS = "We are open until five."
TALK = {"rules": [{"caller": "open", "say": HOURS}, {"caller": "order", "call": [{"name": "lookup_order", "arguments": {"order_id": "1001"}}], "then": "Your order was shipped."}]}  # fmt: skip
REAL_TIME = pytest.mark.parametrize("carrier_config", [1.0], indirect=True, ids=["real-time"])


def last_sound_s(call: CarrierCall) -> float:
    """When the caller's ear last heard something, on the double's clock."""
    start, audio = call.leg.heard[-1]
    return (start + len(audio)) / 8000


async def speech_again(stage: Stage, call: CarrierCall, since_s: float) -> float:
    """Seconds from `since_s` until the caller hears something that was sent after it."""
    streams = len(call.streams)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            fresh = [
                piece.start / 8000
                for piece in call.leg.playout.history
                if piece.arrived / 8000 > since_s and piece.source in {s.sid for s in call.streams[1:]}
            ]
            if fresh and streams:
                return min(fresh) - since_s
            await asyncio.sleep(0.02)


def assert_continuous(record: Record, *, asked: int = 1) -> None:
    """One transcript, as though nothing had happened: each line of caller and tool once, usage and money once."""
    assert_whole(record)
    callers = Counter(text for role, text in record.said if role == "caller")
    assert callers == {"Are you open today?": asked, "Where is my order?": 1}, describe(record)
    assert [text for role, text in record.said if text == GREETING] == [GREETING], describe(record)
    assert [(run.name, run.status) for run in record.tool_runs] == [("lookup_order", ToolStatus.SUCCEEDED)]
    starts = [turn.started_ms for turn in record.turns]
    assert starts == sorted(starts)


@REAL_TIME
async def test_a_killed_process_costs_the_caller_a_short_pause(
    doubles: Stage, settings: Settings, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    stage = doubles
    stage.play(TALK)
    async with run_fleet(stage, tmp_path, settings) as fleet:
        await fleet.start(2)
        await live_through_a_kill(stage, fleet, 1, record_property)


async def live_through_a_kill(
    stage: Stage, fleet: Fleet, callers: int, record_property: Callable[[str, object], None]
) -> None:
    tool = {
        "name": "lookup_order",
        "http": {"method": "POST", "url": f"{stage.tools.base_url}/orders"},
        "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
        "idempotent": True,
    }
    line = await stage.open_line(tools=[tool])
    calls = [await stage.ring(line) for _ in range(callers)]

    async def before(call: CarrierCall) -> None:
        await stage.until_heard(call, GREETING)
        await stage.say(call, "Are you open today?")
        await stage.until_heard(call, HOURS)
        await stage.say(call, "Where is my order?")
        await stage.until_heard(call, "Your order was shipped.")

    await asyncio.gather(*(before(call) for call in calls))
    fleet.processes[0].kill()
    killed_s = stage.carrier.exchange.clock.seconds()
    pauses = await asyncio.gather(*(speech_again(stage, call, killed_s) for call in calls))
    record_property("speech_again_s", [round(pause, 2) for pause in pauses])
    print("speech again after kill -9:", sorted(round(pause, 2) for pause in pauses))  # noqa: T201 # the measured figure
    assert max(pauses) <= SPEECH_AGAIN_BAR_S

    async def after(call: CarrierCall) -> Record:
        await stage.until(call, lambda record: len(record.of(EventKind.MODEL_READY)) == 2)
        call.hang_up(by="caller")
        return await stage.ended(call)

    for record in await asyncio.gather(*(after(call) for call in calls)):
        assert record.call.end_reason == EndReason.CALLER_HUNG_UP
        assert Cause.PROCESS_LOST in record.causes(EventKind.RECOVERY)
        assert_continuous(record)
    assert len(calls) == len([call for call in calls if call.ended_by == "caller"])

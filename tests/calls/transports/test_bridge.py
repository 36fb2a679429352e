"""A call through the bridge: real wires, real session, the model's double over a real socket, a phone in memory."""

from __future__ import annotations

import asyncio

import pytest

from calls.session import events as ev
from calls.session.commands import Command, RecordEvent, RecordTurn
from calls.session.flight import read_flight, replay
from calls.transports import bridge
from calls.transports.prepared import PreparedModels
from emulators.openai.double import OpenAIDouble
from emulators.openai.faults import Fault, FaultKind
from tests.calls.transports.doubles import Line, Phone


async def test_the_greeting_is_heard_and_on_record(models: PreparedModels, model: OpenAIDouble) -> None:
    async with Line(models) as line:
        await line.phone.wait_for(
            lambda: any(
                isinstance(record, RecordTurn) and record.status == "complete" for record in line.notebook.records
            )
        )
    (turn,) = {r.sequence: r for r in line.notebook.records if isinstance(r, RecordTurn)}.values()
    assert turn.heard == turn.generated == "Good morning."
    assert turn.heard_ms == turn.generated_ms == len(line.phone.audio) // 8
    assert line.notebook.events(ev.CallerHungUp)


async def test_a_fault_of_ours_moves_the_call_down_its_ladder(models: PreparedModels) -> None:
    async with Line(models) as line:
        await line.phone.wait_for(lambda: bool(line.phone.audio))
        line.session.handle = None  # type: ignore[assignment,method-assign] # any bug: the next event raises
        line.phone.press("1")
        async with asyncio.timeout(5):
            await line.task
    (leave,) = line.clerk.saved
    assert (leave.next, leave.cause, leave.fault) == ("ladder", "internal", "us")


async def test_without_a_store_the_carrier_is_told_by_rest_what_comes_next(models: PreparedModels) -> None:
    async with Line(models) as line:
        line.clerk.broken = True
        await line.phone.wait_for(lambda: bool(line.phone.audio))
        line.bridge.deliver(ev.MoveRequested())
        async with asyncio.timeout(10):
            await line.task
    assert line.clerk.saved == []
    assert [leave.next for leave in line.clerk.redirected] == ["resume"]


async def test_a_lost_model_is_replaced_and_the_carriers_leg_is_untouched(
    models: PreparedModels, model: OpenAIDouble
) -> None:
    async with Line(models) as line:
        await line.phone.wait_for(lambda: bool(line.phone.audio))
        model.sessions[0].strike(Fault(kind=FaultKind.CLOSE))
        await model.wait_for_session(1)
        await line.phone.wait_for(lambda: len([r for r in line.notebook.records if _is(r, "model_ready")]) == 2)
        assert not line.task.done()
    assert [event.cause for event in line.notebook.events(ev.ModelLost)] == ["model_lost"]


async def test_a_carrier_that_falls_silent_is_noticed(models: PreparedModels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "DEAD_STREAM_S", 0.05)
    async with Line(models, phone=Phone(returns_marks=False)) as line:
        async with asyncio.timeout(5):
            await line.task
    assert line.notebook.events(ev.StreamLost) == [ev.StreamLost(0)]


async def test_a_call_replays_from_its_flight_recorder(models: PreparedModels) -> None:
    async with Line(models) as line:
        await line.phone.wait_for(lambda: bool(line.phone.audio))
        line.phone.press("5")
    steps = list(replay(read_flight(bytes(line.notebook.flight))))
    assert steps
    assert all(step.same for step in steps)


def _is(record: Command, kind: str) -> bool:
    return isinstance(record, RecordEvent) and record.kind == kind

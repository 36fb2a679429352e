"""PostgreSQL or Redis goes away under a live call: the call goes on, and afterwards its record is whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from calls.vocabulary import EndReason, EventKind, ToolStatus
from emulators.twilio.call import Call as CarrierCall
from tests.engines_plugin import OwnRedis
from tests.faults.stage import GREETING, PATIENCE_S, Stage, assert_whole

pytestmark = pytest.mark.django_db(transaction=True)

Outage = Callable[[], AbstractContextManager[None]]
HOURS = "We are open until five."
SHIPPED = "Your order was shipped."
TALK = {
    "rules": [
        {"caller": "open", "say": HOURS},
        {"caller": "order", "call": [{"name": "lookup_order", "arguments": {"order_id": "1001"}}], "then": SHIPPED},
    ]
}
SPOKEN = [
    ("agent", GREETING),
    ("caller", "Are you open today?"),
    ("agent", HOURS),
    ("caller", "Where is my order?"),
    ("agent", SHIPPED),
]


async def answer_a_line(stage: Stage, **spec: Any) -> CarrierCall:
    stage.play(TALK)
    line = await stage.open_line(
        tools=[
            {
                "name": "lookup_order",
                "http": {"method": "POST", "url": f"{stage.tools.base_url}/orders"},
                "parameters": {
                    "type": "object",
                    "properties": {"order_id": {"type": "string"}},
                    "required": ["order_id"],
                },
            }
        ],
        **spec,
    )
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    return call


async def talk(stage: Stage, call: CarrierCall) -> None:
    await stage.say(call, "Are you open today?")
    await stage.until_heard(call, HOURS)
    await stage.say(call, "Where is my order?")
    await stage.until_heard(call, SHIPPED)


@pytest.fixture
def stage_with_own_redis(own_redis: OwnRedis, settings: Settings, stage: Stage) -> tuple[Stage, OwnRedis]:
    settings.REDIS_URL = own_redis.url
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [own_redis.url]}}
    }
    return stage, own_redis


@pytest.mark.parametrize("how", ["stopped", "hangs"])
async def test_a_call_does_not_notice_that_redis_is_gone(
    stage_with_own_redis: tuple[Stage, OwnRedis], how: str
) -> None:
    stage, redis = stage_with_own_redis
    call = await answer_a_line(stage)
    redis.stop() if how == "stopped" else redis.pause()
    await talk(stage, call)
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert record.said == SPOKEN
    assert (record.call.end_reason, record.call.fault) == (EndReason.CALLER_HUNG_UP, "none")
    assert len(call.streams) == 1
    assert_whole(record)
    newcomer = await stage.ring(stage.lines[0])  # and new callers are answered
    await stage.until_heard(newcomer, GREETING)


async def live_through_an_outage(stage: Stage, outage: Outage, *, seconds: float) -> None:
    call = await answer_a_line(stage, silence={"after_s": 120})  # the caller is quiet until the outage is over
    began = asyncio.get_running_loop().time()
    with outage():
        await talk(stage, call)
        left = seconds - (asyncio.get_running_loop().time() - began)
        await stage.carrier.exchange.clock.sleep(
            max(0.0, left) * stage.carrier.exchange.clock.speed
        )  # the outage itself
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert record.said == SPOKEN
    assert [(run.name, run.status) for run in record.tool_runs] == [("lookup_order", ToolStatus.SUCCEEDED)]
    assert len(stage.tools.requests) == 1
    assert len(record.usage) >= 5
    assert len(call.streams) == 1
    assert call.entries("say") == []
    assert record.call.end_reason == EndReason.CALLER_HUNG_UP
    assert_whole(record)


async def test_a_call_goes_on_without_its_database_and_is_on_record_afterwards(
    stage: Stage, database_outage: Outage
) -> None:
    await live_through_an_outage(stage, database_outage, seconds=4.0)


@pytest.mark.chaos
async def test_a_call_goes_on_through_twenty_seconds_without_a_database(stage: Stage, database_outage: Outage) -> None:
    await live_through_an_outage(stage, database_outage, seconds=20.0)


async def test_a_caller_who_hangs_up_while_the_database_is_away_is_on_record_once_it_is_back(
    stage: Stage, database_outage: Outage
) -> None:
    call = await answer_a_line(stage)
    with database_outage():
        await stage.say(call, "Are you open today?")
        await stage.until_heard(call, HOURS)
        call.hang_up(by="caller")
        await asyncio.wait_for(call.finished.wait(), PATIENCE_S)
    record = await stage.ended(call)
    assert record.said == SPOKEN[:3]
    assert record.call.end_reason == EndReason.CALLER_HUNG_UP
    assert_whole(record)


async def test_a_caller_is_put_through_to_a_person_while_the_database_is_away(
    stage: Stage, database_outage: Outage
) -> None:
    """The disposition cannot be stored: the carrier is handed the next document itself."""
    person = "+15005550200"
    stage.carrier.add_person(person, rings_s=0.2)
    arguments = {"contact": "Front desk", "reason": "asked", "summary": "Wants a person."}
    stage.play({"rules": [{"caller": "person", "call": [{"name": "transfer_to_person", "arguments": arguments}]}]})
    line = await stage.open_line(
        tools=[{"name": "transfer_to_person", "kind": "builtin"}], contacts=[{"name": "Front desk", "e164": person}]
    )
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    with database_outage():
        await stage.say(call, "I want a person.")
        await call.wait_for("bridged", PATIENCE_S)
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert record.call.end_reason == EndReason.TRANSFERRED
    assert [data["contact"] for data in record.of(EventKind.TRANSFER) if "contact" in data] == ["Front desk"]
    assert_whole(record)

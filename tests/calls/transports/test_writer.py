"""Facts reach PostgreSQL once, in time, whatever happens on the way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import OperationalError, connection

from calls.ledger.cards import forget_cards
from calls.models import CallEvent, FlightChunk, LedgerEntry, Rate, RateCard, ToolRun, Turn, UsageRecord
from calls.session.commands import RecordEvent, RecordToolRun, RecordTurn, RecordUsage
from calls.transports.ledger_hook import price_batch
from calls.transports.ports import LiveCall
from calls.transports.records import Fact, encode_fact, make_fact
from calls.transports.spool import Spool
from calls.transports.writer import Writer
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.calls.transports.rows import make_live_call

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
USAGE = {
    "total_tokens": 150,
    "input_tokens": 100,
    "output_tokens": 50,
    "input_token_details": {"text_tokens": 60, "audio_tokens": 40, "cached_tokens": 0},
    "output_token_details": {"text_tokens": 10, "audio_tokens": 40},
}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def call() -> LiveCall:
    return make_live_call()


@pytest.fixture(autouse=True)
def rate_card() -> Iterator[None]:
    """The migrations' cards are emptied with every other table between these tests."""
    card = RateCard.objects.create(vendor="openai", version="test", valid_from=AT.date(), currency="USD")
    for item in ("text_in", "text_out", "audio_in", "audio_out"):
        Rate.objects.create(card=card, item=f"gpt-realtime-2.1:{item}", unit="token", price="0.000032")
    forget_cards()
    yield
    forget_cards()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    started = Writer(tmp_path / "spool", "one", on_batch=(price_batch,))
    started.start()
    yield started
    started.stop()


def make_turn(*, sequence: int = 0, revision: int = 1, heard: str = "") -> RecordTurn:
    return RecordTurn(sequence, revision, "agent", "open", "item_1", generated="Good morning.", heard=heard)


def rows_of(call: LiveCall, model: type) -> list:
    with tenant_scope(Tenant(id=call.tenant_id)):
        return list(model.objects.filter(call_id=call.call_id))


async def flush(writer: Writer, call: LiveCall) -> None:
    async with asyncio.timeout(5):
        await writer.flush(call)


async def read(call: LiveCall, model: type) -> list:
    return await asyncio.to_thread(_read_and_close, call, model)


async def appear(call: LiveCall, model: type) -> None:
    """Rows that another thread writes in its own time."""
    async with asyncio.timeout(5):
        while not await read(call, model):  # noqa: ASYNC110 # PostgreSQL tells nobody
            await asyncio.sleep(0.05)


def _read_and_close(call: LiveCall, model: type) -> list:
    try:
        return rows_of(call, model)
    finally:
        connection.close()


async def test_every_kind_of_fact_becomes_its_row(writer: Writer, call: LiveCall) -> None:
    writer.put(call, make_turn(heard="Good"), at=AT)
    writer.put(call, RecordEvent(0, "barge_in", 1234, {"cut": [1]}), at=AT)
    writer.put(call, RecordToolRun(0, 1, "call_1", "lookup", "Reception", "{}", "started"), at=AT)
    writer.put(call, RecordUsage(0, "response", "resp_1", "gpt-realtime-2.1", "completed", 900, USAGE), at=AT)
    writer.put_note(call, "peer_error", {"peer": "carrier"}, at=AT, at_ms=5.0)
    writer.put_flight(call, 0, b"\x00\x01")
    writer.put_greeting(call, 250, at=AT)
    await flush(writer, call)
    (turn,) = await read(call, Turn)
    assert (turn.heard, turn.generated, turn.heard_ms, turn.ended_ms) == ("Good", "Good morning.", 0, None)
    events = {event.key: event for event in await read(call, CallEvent)}
    assert events["s:0"].data == {"cut": [1]}
    assert events["s:0"].at == AT
    assert events["b:1:1"].kind == "peer_error"
    (run,) = await read(call, ToolRun)
    assert run.status == "started"
    (usage,) = await read(call, UsageRecord)
    assert usage.usage == USAGE
    (chunk,) = await read(call, FlightChunk)
    assert bytes(chunk.data) == b"\x00\x01"
    entries = await read(call, LedgerEntry)
    assert {entry.item.split(":")[-1] for entry in entries} >= {"audio_in", "audio_out"}


async def test_a_later_revision_wins_in_any_order_and_repeats_change_nothing(writer: Writer, call: LiveCall) -> None:
    for revision, heard in [(2, "Good morning."), (1, "Good"), (2, "other")]:
        writer.put(call, make_turn(revision=revision, heard=heard), at=AT)
    for _ in range(2):
        writer.put(call, RecordEvent(7, "digit", 1, {"digit": "1"}), at=AT)
        writer.put(call, RecordUsage(3, "response", "resp_1", "gpt-realtime-2.1", "completed", 900, USAGE), at=AT)
    await flush(writer, call)
    (turn,) = await read(call, Turn)
    assert (turn.revision, turn.heard) == (2, "Good morning.")
    assert len(await read(call, CallEvent)) == 1
    assert len(await read(call, UsageRecord)) == 1
    entries = await read(call, LedgerEntry)
    assert len(entries) == len({entry.source_key for entry in entries})


async def test_a_fact_the_database_refuses_is_put_aside_and_holds_up_nothing(
    writer: Writer, call: LiveCall, tmp_path: Path
) -> None:
    writer.put(call, RecordEvent(0, "digit", 1), at=AT)
    writer.put(call, RecordEvent(1, "no such kind", 2), at=AT)
    writer.put(call, RecordTurn(0, 1, "agent", "open", "i", generated="a\0b", generated_ms=1), at=AT)
    await flush(writer, call)
    assert [event.key for event in await read(call, CallEvent)] == ["s:0"]
    (turn,) = await read(call, Turn)
    assert turn.generated == "ab"
    assert writer.store.buried == 1
    assert b"no such kind" in (tmp_path / "spool" / "refused.jsonl").read_bytes()


class Outage:
    """PostgreSQL is away for whoever writes a batch while it lasts."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.refused = threading.Event()

    def __call__(self, facts: Sequence[Fact]) -> None:
        if not self.over.is_set():
            self.refused.set()
            raise OperationalError("the connection is lost")


@pytest.fixture
def outage() -> Outage:
    return Outage()


async def test_nothing_is_lost_while_the_database_is_away(tmp_path: Path, call: LiveCall, outage: Outage) -> None:
    writer = Writer(tmp_path / "spool", "one", on_batch=(outage,))
    writer.start()
    try:
        for sequence in range(1200):
            writer.put(call, RecordEvent(sequence, "digit", sequence), at=AT)
        assert await asyncio.to_thread(outage.refused.wait, 5)
        assert await read(call, CallEvent) == []
        outage.over.set()
        await flush(writer, call)
        assert len(await read(call, CallEvent)) == 1200
    finally:
        outage.over.set()
        await asyncio.to_thread(writer.stop)
    assert not (tmp_path / "spool" / "one").exists()


async def test_an_intent_is_durable_by_row_or_else_by_journal(tmp_path: Path, call: LiveCall, outage: Outage) -> None:
    writer = Writer(tmp_path / "spool", "one", on_batch=(outage,))
    writer.start()
    intent = RecordToolRun(0, 1, "call_1", "lookup", "Reception", "{}", "started")
    try:
        async with asyncio.timeout(2):
            await writer.durable(call, intent, at=AT)
        assert not outage.over.is_set()
        journal = b"".join(path.read_bytes() for path in (tmp_path / "spool" / "one").glob("*.spool"))
        assert b"lookup" in journal
        outage.over.set()
        async with asyncio.timeout(2):
            await writer.durable(call, RecordToolRun(1, 1, "call_2", "pay", "R", "{}", "started"), at=AT)
        await flush(writer, call)
        assert {run.name for run in await read(call, ToolRun)} == {"lookup", "pay"}
    finally:
        outage.over.set()
        await asyncio.to_thread(writer.stop)


def fail_to_price(facts: Sequence[Fact]) -> None:
    raise ValueError("no price")


async def test_a_fact_outlives_a_fault_in_what_is_made_from_it(tmp_path: Path, call: LiveCall) -> None:
    writer = Writer(tmp_path / "spool", "one", on_batch=(fail_to_price,))
    writer.start()
    writer.put(call, make_turn(), at=AT)
    writer.put(call, RecordEvent(0, "digit", 1), at=AT)
    await flush(writer, call)
    await asyncio.to_thread(writer.stop)
    assert len(await read(call, Turn)) == len(await read(call, CallEvent)) == 1


async def test_what_a_dead_process_left_is_written_by_the_living(
    tmp_path: Path, writer: Writer, call: LiveCall
) -> None:
    dead = Spool(tmp_path / "spool", "dead")
    dead.append([encode_fact(make_fact(make_turn(), tenant=call.tenant_id, call=call.call_id, at=AT)), b"{torn"])
    dead.close(complete=False)
    await appear(call, Turn)
    assert not dead.path.exists()


async def test_what_could_not_be_written_before_the_stop_waits_for_a_successor(
    tmp_path: Path, call: LiveCall, outage: Outage
) -> None:
    writer = Writer(tmp_path / "spool", "one", on_batch=(outage,))
    writer.start()
    writer.put(call, make_turn(), at=AT)
    assert await asyncio.to_thread(outage.refused.wait, 5)
    await asyncio.to_thread(writer.stop)
    assert await read(call, Turn) == []
    successor = Writer(tmp_path / "spool", "two")
    successor.start()
    await appear(call, Turn)
    await asyncio.to_thread(successor.stop)

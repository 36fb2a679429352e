"""What a deploy and a killed process cost live calls, and whether five hundred calls are on record once and whole."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter

import httpx
from django.db import connections
from django.db.models import QuerySet

from calls.models import Call, LedgerEntry, ToolRun, Turn, UsageRecord
from config.bench.figures import Row
from config.bench.rig import Backends, Rig, chunked, measure_cpu_s
from emulators.load.carrier import LoadCall, read_head
from emulators.load.model import ModelSession
from tenants.models import Tenant
from tenants.scope import tenant_scope

LIVE = 5
SPEECH_BACK_S = 3.0  # issue: speech again ≤ 3 s
MOVE_S = 30.0
STANDS_S = 1.0
CALLS, BATCH = 500, 50
SETTLE_S = 20.0


async def measure_deploy(rig: Rig) -> list[Row]:
    """SIGTERM with live calls and a second process beside it."""
    return await _lose_process(rig, signal.SIGTERM, "SIGTERM")


async def measure_kill(rig: Rig) -> list[Row]:
    return await _lose_process(rig, signal.SIGKILL, "kill -9")


async def _lose_process(rig: Rig, number: signal.Signals, name: str) -> list[Row]:
    backends = Backends()
    async with backends.serve() as balancer:
        first, first_address = rig.start_product(base_url=balancer)
        second, second_address = rig.start_product(base_url=balancer)
        backends.addresses = [first_address]
        callers = [LoadCall(rig.line) for _ in range(LIVE)]
        for call in callers:
            document = await call.ask(rig.client, rig.line.voice_url)
            await call.connect(document)
            call.resume_url = document.next_url
            await call.wait_for_media(10)
        await asyncio.sleep(2.0)
        backends.addresses = [second_address, first_address]
        waiting = asyncio.to_thread(rig.stop, first, number=number, timeout_s=MOVE_S)
        results = await asyncio.gather(
            waiting,
            *(_follow(rig, call, owed_speech=number == signal.SIGKILL) for call in callers),
            return_exceptions=True,
        )
        back = [result for result in results[1:] if isinstance(result, float)]
        lost = LIVE - len(back)
        await asyncio.sleep(1.5)
        broken = await asyncio.to_thread(_count_broken, [call.sid for call in callers])
        for call in callers:
            call.hang_up()
        await asyncio.sleep(0.5)
        rig.stop(second)
    worst = max(back) if back else float("nan")
    cut = [call.close_code for call in callers if call.close_code not in (1000, None)]
    why = Counter(f"{type(result).__name__}: {result}" for result in results[1:] if isinstance(result, BaseException))
    if number == signal.SIGTERM:  # moved at a silence: nobody owes a word, so speech is no measure here
        seen = (
            f"{lost} lost, {len(cut)} cut, {len(back)} moved, exit status {first.exit_status} {dict(why) or ''}".strip()
        )
        return [Row(f"{name} with {LIVE} live calls", seen, "moved or finished, never cut", not lost and not cut)]
    seen = (
        f"{lost} lost, speech again after at most {worst:.2f} s, {broken} transcripts broken {dict(why) or ''}".strip()
    )
    met = not lost and worst <= SPEECH_BACK_S and not broken
    return [Row(f"{name} with {LIVE} live calls", seen, "0 lost, speech ≤ 3 s, transcript continuous", met)]


async def _follow(rig: Rig, call: LoadCall, *, owed_speech: bool) -> float:
    """The carrier's part when a stream ends: ask what comes next. Seconds from the loss to the next speech."""
    async with asyncio.timeout(MOVE_S):
        await call.closed.wait()
    lost_at = time.monotonic()
    for attempt in range(3):  # the carrier's own retries (#rc=2)
        try:
            document = await call.ask(rig.client, call.resume_url, status="in-progress")
            break
        except httpx.HTTPError:
            if attempt == 2:
                raise
            await asyncio.sleep(0.1)
    if not document.stream_url:
        raise RuntimeError(f"no stream after the loss: {document.verbs}")
    await call.connect(document)
    if not owed_speech:  # moved at a silence, to wait for the caller: the stream must stand
        await asyncio.sleep(STANDS_S)
        if call.closed.is_set():
            raise RuntimeError("the stream did not stand after the move")
        return time.monotonic() - lost_at
    await call.wait_for_media(10)
    assert call.first_media_at is not None  # noqa: S101 # waited for
    return call.first_media_at - lost_at


def _count_broken(sids: list[str]) -> int:
    """Calls whose record lacks what was said before or after the loss."""
    try:
        with tenant_scope(Tenant.objects.get(slug="bench")):
            calls = Call.objects.filter(carrier_sid__in=sids)
            heard = Counter(Turn.objects.filter(call__in=calls).exclude(generated="").values_list("call_id", flat=True))
            return sum(heard[call.pk] < 2 for call in calls)
    finally:
        connections.close_all()


async def measure_bookkeeping(rig: Rig) -> list[Row]:
    """Short calls with a greeting, a caller's turn, a tool and an answer, counted on both sides."""
    running, _ = rig.start_product()
    by_number: dict[int, LoadCall] = {}
    sessions: dict[int, ModelSession] = {}

    def link(session: ModelSession, head: bytes) -> None:
        found = read_head(head)
        if found is not None and session.call is None and found[0] in by_number:
            session.call = by_number[found[0]]
            sessions[found[0]] = session

    rig.crowd.on_audio = link
    before_tools = rig.tool_calls
    cpu = measure_cpu_s(running.pid)
    sids: list[str] = []
    expected: Counter[str] = Counter()
    failures: list[str] = []

    async def one(index: int) -> None:
        await asyncio.sleep(index * 0.06)
        call = LoadCall(rig.line)
        by_number[call.number] = call
        sids.append(call.sid)
        await call.connect(await call.ask(rig.client, rig.line.voice_url))
        await call.wait_for_media(10)
        await asyncio.sleep(1.5)  # the greeting's second, heard
        session = sessions[call.number]
        session.start_speech()
        await asyncio.sleep(0.2)
        session.end_speech("Where is order 1001?")
        session.answered.clear()
        await session.call_tool()
        async with asyncio.timeout(10):
            await session.answered.wait()
        await asyncio.sleep(1.4)
        call.hang_up()
        expected["responses"] += session.responses
        expected["transcriptions"] += session.transcripts
        expected["outputs"] += len(session.outputs)

    for size in chunked(CALLS, BATCH):
        for result in await asyncio.gather(*(one(index) for index in range(size)), return_exceptions=True):
            if isinstance(result, BaseException):
                failures.append(f"{type(result).__name__}: {result}")
        await asyncio.sleep(0.3)
    cpu = measure_cpu_s(running.pid) - cpu
    rig.stop(running)  # drains and writes out
    rig.crowd.on_audio = lambda session, head: None
    found = await asyncio.to_thread(_count_records, sids)
    turns = 3 * CALLS  # greeting, caller, answer
    differences = {
        "turns": found["turns"] - turns,
        "tool runs": found["tools"] - CALLS,
        "tool results": expected["outputs"] - CALLS,
        "tool requests": rig.tool_calls - before_tools - CALLS,
        "usage records": found["usage"] - expected["responses"] - expected["transcriptions"],
        "unpriced or double-priced": found["unpriced"],
    }
    wrong = {name: count for name, count in differences.items() if count}
    seen = "0 lost, 0 doubled" if not wrong and not failures else f"{wrong} {Counter(failures).most_common(3)}"
    what = f"turns, ledger entries, tool results over {CALLS} calls ({found['turns']} / {found['ledger']} / {found['tools']})"
    return [Row(what, f"{seen}; {cpu:.0f} s of CPU", "0 lost or doubled", not wrong and not failures)]


def _count_records(sids: list[str]) -> Counter[str]:
    try:
        with tenant_scope(Tenant.objects.get(slug="bench")):
            calls = Call.objects.filter(carrier_sid__in=sids)
            usage = UsageRecord.objects.filter(call__in=calls)
            priced = set(_sources(calls))
            sources = {f"usage:{record.call_id}:{record.sequence}" for record in usage}
            return Counter(
                turns=Turn.objects.filter(call__in=calls).count(),
                tools=ToolRun.objects.filter(call__in=calls, status="succeeded").count(),
                usage=usage.count(),
                ledger=LedgerEntry.objects.filter(call__in=calls).count(),
                unpriced=len(sources - priced),
            )
    finally:
        connections.close_all()


def _sources(calls: QuerySet[Call]) -> list[str]:
    """`usage:<call>:<sequence>` of `usage:<call>:<sequence>:<item>`; items hold colons of their own."""
    keys = LedgerEntry.objects.filter(call__in=calls).values_list("source_key", flat=True)
    return [":".join(key.split(":")[:3]) for key in keys]

"""Greeting latency, relay latency and CPU at fifty calls, memory a call: the media process against the bare relay of the same run."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field

from config.bench.figures import Row, percentile
from config.bench.rig import Rig, measure_cpu_s, measure_rss_mib
from emulators.load.carrier import Document, LoadCall, read_head
from emulators.load.model import ModelSession

GREETINGS = 20
UNCLAIMED_S = 10.5  # the product closes a prepared session after 10 s (product 5.1.1)
CALLS = 50
STEADY_S = 20.0
CYCLE_S = 6.0  # one exchange: the caller speaks, the agent answers for three seconds
ANSWER_MS = 3_000
RELAY_LIMIT_MS = 20.0  # issue: a run whose relay p99 exceeds this is "not measured"
FEW, MANY = 10, 60


@dataclass
class Load:
    """Fifty calls talking, whatever carries them."""

    calls: dict[int, LoadCall] = field(default_factory=dict)
    inward_ms: list[float] = field(default_factory=list)
    outward_ms: list[float] = field(default_factory=list)
    clear_ms: list[float] = field(default_factory=list)
    cpu_share: float = 0.0

    def hear_frame(self, session: ModelSession, head: bytes) -> None:
        """A caller frame reached the model's side."""
        found = read_head(head)
        if found is None:
            return
        number, frame = found
        call = self.calls.get(number)
        if call is None:
            return
        session.call = call
        sent_at = call.sent_at.pop(frame, None)
        if sent_at is not None:
            self.inward_ms.append((time.monotonic() - sent_at) * 1000)


async def measure_greeting(rig: Rig) -> list[Row]:
    running, _ = rig.start_product()
    prepared = await _greet(rig, pause_s=0.4)
    late = await _greet(rig, pause_s=UNCLAIMED_S)
    rig.stop(running)
    return [
        Row(
            f"start → first greeting audio, prepared ({len(prepared)} calls)",
            f"p50 {percentile(prepared, 0.5):.0f} ms, p95 {percentile(prepared, 0.95):.0f} ms",
            "p95 ≤ 300 ms",
            percentile(prepared, 0.95) <= 300,
        ),
        Row(
            f"start → first greeting audio, not prepared ({len(late)} calls)",
            f"p50 {percentile(late, 0.5):.0f} ms, p95 {percentile(late, 0.95):.0f} ms",
            "p95 ≤ 450 ms",
            percentile(late, 0.95) <= 450,
        ),
    ]


async def _greet(rig: Rig, *, pause_s: float) -> list[float]:
    async def one(index: int) -> float:
        await asyncio.sleep(index * 0.15)
        call = await rig.ring(pause_s=pause_s)
        waited_s = await call.wait_for_media(10)
        call.hang_up()
        return waited_s * 1000

    return list(await asyncio.gather(*(one(index) for index in range(GREETINGS))))


async def measure_load(rig: Rig) -> list[Row]:
    relay, relay_url = rig.start_relay()
    bare = await _carry_load(rig, relay.pid, relay_url)
    rig.stop(relay)
    running, _ = rig.start_product()
    ours = await _carry_load(rig, running.pid, "")
    rig.stop(running)
    rows = []
    sound = percentile(bare.inward_ms, 0.99) <= RELAY_LIMIT_MS and percentile(bare.outward_ms, 0.99) <= RELAY_LIMIT_MS
    for what, theirs, mine in (
        (f"caller frame in → model frame out, {CALLS} calls", bare.inward_ms, ours.inward_ms),
        (f"model delta in → carrier frame out, {CALLS} calls", bare.outward_ms, ours.outward_ms),
    ):
        half, most = percentile(mine, 0.5) / percentile(theirs, 0.5), percentile(mine, 0.99) / percentile(theirs, 0.99)
        rows.append(
            Row(
                what,
                f"p50 {percentile(mine, 0.5):.2f} ms = {half:.1f}×, p99 {percentile(mine, 0.99):.2f} ms = {most:.1f}× "
                f"(relay {percentile(theirs, 0.5):.2f} / {percentile(theirs, 0.99):.2f} ms)",
                "p50 ≤ 3×, p99 ≤ 4×",
                (half <= 3 and most <= 4) if sound else None,
            )
        )
    clear = percentile(ours.clear_ms, 0.99)
    rows.append(
        Row(
            f"speech_started → clear ({len(ours.clear_ms)} barge-ins)",
            f"p50 {percentile(ours.clear_ms, 0.5):.1f} ms, p99 {clear:.1f} ms",
            "p99 ≤ 10 ms",
            clear <= 10,
        )
    )
    ratio = ours.cpu_share / bare.cpu_share
    per_minute = ours.cpu_share * 60 / CALLS
    rows.append(
        Row(
            f"CPU a call-minute at {CALLS} calls, records and ledger on",
            f"{per_minute:.2f} s = {ratio:.1f}× (relay {bare.cpu_share * 60 / CALLS:.2f} s)",
            "≤ 3.5×",
            ratio <= 3.5,
        )
    )
    return rows


async def _carry_load(rig: Rig, pid: int, relay_url: str) -> Load:
    """The same exchanges through the product, or straight through the relay."""
    load = Load()
    rig.crowd.on_audio = load.hear_frame

    async def begin(index: int) -> LoadCall:
        await asyncio.sleep(index * 0.06 + random.random() * 0.02)
        if relay_url:
            call = LoadCall(rig.line)
            load.calls[call.number] = call
            await call.connect(Document(stream_url=relay_url))
            return call
        call = LoadCall(rig.line)
        load.calls[call.number] = call
        await call.connect(await call.ask(rig.client, rig.line.voice_url))
        await call.wait_for_media(10)
        return call

    calls = list(await asyncio.gather(*(begin(index) for index in range(CALLS))))
    await asyncio.sleep(2.0)
    load.inward_ms.clear()
    sessions = [session for session in rig.crowd.sessions if session.call in calls]
    if len(sessions) != CALLS:
        raise RuntimeError(f"{len(sessions)} of {CALLS} calls reached a model session")
    deadline = time.monotonic() + STEADY_S
    cpu_before, began = measure_cpu_s(pid), time.monotonic()
    await asyncio.gather(*(_converse(load, session, deadline) for session in sessions))
    load.cpu_share = (measure_cpu_s(pid) - cpu_before) / (time.monotonic() - began)
    rig.crowd.on_audio = lambda session, head: None
    for call in calls:
        call.hang_up()
    await asyncio.sleep(0.5)
    for call in calls:
        call.drop()
    return load


async def _converse(load: Load, session: ModelSession, deadline: float) -> None:
    """Exchanges until the deadline; every other answer is cut by the caller."""
    await asyncio.sleep(random.random() * CYCLE_S)
    call: LoadCall = session.call
    turns = 0
    while time.monotonic() < deadline:
        began = time.monotonic()
        session.start_speech()
        await asyncio.sleep(0.8)
        session.end_speech("Where is my order?")
        await asyncio.sleep(0.2)
        (item,) = await session.speak(ANSWER_MS)
        heard_at = call.first_heard_at.get(item.value)
        if heard_at is not None and heard_at >= item.first_sent_at:
            load.outward_ms.append((heard_at - item.first_sent_at) * 1000)
        turns += 1
        if turns % 2:
            await asyncio.sleep(1.0)
            spoke_at = session.start_speech()
            with contextlib.suppress(TimeoutError):  # the relay clears nothing
                load.clear_ms.append((await call.wait_for_clear(spoke_at, 1.0) - spoke_at) * 1000)
            await asyncio.sleep(0.3)
            session.end_speech("Wait.")
        await asyncio.sleep(max(0.0, began + CYCLE_S - time.monotonic()))


async def measure_memory(rig: Rig) -> list[Row]:
    running, _ = rig.start_product()
    calls: list[LoadCall] = []
    sizes = {}
    for wanted in (FEW, MANY):
        while len(calls) < wanted:
            call = await rig.ring()
            calls.append(call)
            await asyncio.sleep(0.05)
        await asyncio.gather(*(call.wait_for_media(10) for call in calls))
        await asyncio.sleep(5.0)
        sizes[wanted] = measure_rss_mib(running.pid)
    for call in calls:
        call.hang_up()
    await asyncio.sleep(0.5)
    rig.stop(running)
    slope = (sizes[MANY] - sizes[FEW]) / (MANY - FEW)
    return [
        Row(
            f"memory a live call ({FEW} → {MANY} calls)",
            f"{slope:.2f} MiB ({sizes[FEW]:.0f} → {sizes[MANY]:.0f} MiB)",
            "≤ 1.5 MiB",
            slope <= 1.5,
        )
    ]

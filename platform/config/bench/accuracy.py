"""How exactly the product knows what was heard: `audio_end_ms` against what the carrier's side had played at its `clear`."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from config.bench.figures import Row, percentile
from config.bench.rig import Rig
from emulators.load.carrier import LoadCall, read_head
from emulators.load.model import Item, ModelSession

CALLS = 20
BARGE_INS = 10  # a call, at each delay: 200 at 0 ms and 200 at 80 ms
DELAYS_MS = (0, 80)
BARS_MS = {0: 5.0, 80: 20.0}
WORST_MS = 120.0
CUT_WAIT_S = 3.0
STAGGER_S = 0.05


@dataclass(frozen=True, slots=True)
class Cut:
    """One item at a barge-in: what was played of it, and what the product said."""

    played_ms: float
    said_ms: float
    is_second: bool
    was_generated: bool  # the response had ended before the caller spoke

    @property
    def error_ms(self) -> float:
        return abs(self.said_ms - self.played_ms)


async def measure_accuracy(rig: Rig) -> list[Row]:
    running, _ = rig.start_product()
    rows = []
    for delay_ms in DELAYS_MS:
        cuts = await _barge_in(rig, delay_ms)
        errors = [cut.error_ms for cut in cuts]
        mean = sum(errors) / len(errors)
        second = sum(cut.is_second for cut in cuts)
        late = sum(cut.was_generated for cut in cuts)
        rows.append(
            Row(
                f"truncation error, {delay_ms} ms each way ({len(cuts)} cuts, {second} in a second item, {late} after generation)",
                f"mean {mean:.1f} ms, p95 {percentile(errors, 0.95):.1f} ms, max {max(errors):.1f} ms",
                f"mean ≤ {BARS_MS[delay_ms]:.0f} ms, max ≤ {WORST_MS:.0f} ms",
                mean <= BARS_MS[delay_ms] and max(errors) <= WORST_MS,
            )
        )
    rig.stop(running)
    return rows


async def _barge_in(rig: Rig, delay_ms: int) -> list[Cut]:
    calls: dict[int, LoadCall] = {}

    def link(session: ModelSession, head: bytes) -> None:
        found = read_head(head)
        if found is not None and found[0] in calls:
            session.call = calls[found[0]]

    rig.crowd.on_audio = link

    async def begin(index: int) -> LoadCall:
        await asyncio.sleep(index * STAGGER_S)
        call = LoadCall(rig.line, delay_s=delay_ms / 1000)
        calls[call.number] = call
        await call.connect(await call.ask(rig.client, rig.line.voice_url))
        await call.wait_for_media(10)
        return call

    await asyncio.gather(*(begin(index) for index in range(CALLS)))
    await asyncio.sleep(2.5)  # the greeting is over everywhere
    sessions = [session for session in rig.crowd.sessions if session.call in calls.values()]
    found = await asyncio.gather(*(_interrupt(session) for session in sessions))
    rig.crowd.on_audio = lambda session, head: None
    for call in calls.values():
        call.hang_up()
    await asyncio.sleep(0.5)
    return [cut for cuts in found for cut in cuts]


async def _interrupt(session: ModelSession) -> list[Cut]:
    call: LoadCall = session.call
    cuts = []
    loop = asyncio.get_running_loop()
    await asyncio.sleep(random.random())
    for number in range(BARGE_INS):
        has_two = number % 3 == 2
        lengths = (800, 2_500) if has_two else (3_000,)
        known = set(session.items)
        speaking = loop.create_task(session.speak(*lengths))
        # Two thirds of a second into the second item, somewhere in a single one, or while it is still being generated.
        await asyncio.sleep(random.uniform(1.2, 2.8) if has_two else random.uniform(0.15, 2.6))
        was_generated = speaking.done()
        items = [item for key, item in session.items.items() if key not in known]
        spoke_at = session.start_speech()
        await call.wait_for_clear(spoke_at, CUT_WAIT_S)
        played = dict(call.played)
        await speaking
        cuts += await _collect(items, played, was_generated=was_generated)
        await asyncio.sleep(0.3)
        session.end_speech("Wait.")
        await asyncio.sleep(0.4)
        for item in items:
            item.cut.set()
            call.played.pop(item.value, None)
    return cuts


async def _collect(items: list[Item], played: dict[int, float], *, was_generated: bool) -> list[Cut]:
    """What the product says about these items. No word about an item means that all of it was heard."""
    cuts = []
    for index, item in enumerate(items):
        heard_ms = played.get(item.value, 0.0) * 1000
        is_whole = abs(heard_ms - item.generated_ms) < 1.0
        try:
            async with asyncio.timeout(0.5 if is_whole else CUT_WAIT_S):
                await item.cut.wait()
        except TimeoutError:
            said_ms = float(item.generated_ms)
        else:
            said_ms = float(max(item.cut_ms or 0, 0))
        cuts.append(Cut(heard_ms, said_ms, is_second=index > 0, was_generated=was_generated))
    return cuts

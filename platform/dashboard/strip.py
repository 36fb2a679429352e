"""Draws a call as lanes on one time axis (caller, agent, tools, events): places in a box of WIDTH units, ready for SVG attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import timezone

from calls.models import Call, CallEvent, ToolRun
from calls.readouts.transcript import Line
from calls.vocabulary import CallState, EventKind, TurnRole
from dashboard.timeline import event_ms, find_zero, is_marked

WIDTH = 1000
NARROWEST = 2  # a bar thinner than this cannot be seen or clicked
_TICKS_MS = (1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000)
_MOST_TICKS = 8


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that took time. `key` is the id of what it stands for on the page."""

    x: str
    width: str
    at_ms: int
    kind: str
    key: str
    name: str


@dataclass(frozen=True, slots=True)
class Tick:
    x: str
    percent: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """The lanes of one call."""

    total_ms: int
    caller: tuple[Bar, ...]
    agent: tuple[Bar, ...]
    tools: tuple[Bar, ...]
    marks: tuple[Bar, ...]
    ticks: tuple[Tick, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.caller or self.agent or self.tools or self.marks)


def draw_strip(
    call: Call, *, lines: Sequence[Line], events: Sequence[CallEvent], tool_runs: Sequence[ToolRun]
) -> Strip:
    """All lanes share the axis from the start of the call to its end (now, while it is live)."""
    total = _length_ms(call, lines=lines, events=events, tool_runs=tool_runs)
    zero = find_zero(call, events)
    speech = [line for line in lines if line.turn.generated_ms or line.turn.ended_ms is not None]
    agent: list[Bar] = []
    for line in speech:
        if line.turn.role != TurnRole.AGENT:
            continue
        start, heard = line.from_ms, line.turn.heard_ms
        key = f"turn-{line.turn.sequence}"
        if line.is_final and heard < line.turn.generated_ms:
            # Never played, so it took no time on the line; it is drawn where it would have been heard.
            end = min(start + line.turn.generated_ms, total)
            agent.append(_bar(start + heard, end, total=total, kind="unheard", key=key, name=line.unheard))
        if heard or not line.is_final:
            end = start + heard if heard else (line.turn.ended_ms or total)
            agent.append(_bar(start, end, total=total, kind="agent", key=key, name=line.heard or line.unheard))
    return Strip(
        total_ms=total,
        caller=tuple(
            _bar(
                line.turn.started_ms,
                line.turn.ended_ms or total,
                total=total,
                kind="caller",
                key=f"turn-{line.turn.sequence}",
                name=line.heard,
            )
            for line in speech
            if line.turn.role == TurnRole.CALLER
        ),
        agent=tuple(agent),
        tools=tuple(
            _bar(
                run.started_ms, run.ended_ms or total, total=total, kind="tool", key=f"run-{run.pk.hex}", name=run.name
            )
            for run in tool_runs
        ),
        marks=tuple(
            _bar(at, at, total=total, kind=event.kind, key=f"event-{event.pk.hex}", name=EventKind.of(event.kind).label)
            for event in events
            if is_marked(event) and (at := event_ms(event, zero)) <= total
        ),
        ticks=_ticks(total),
    )


def _length_ms(call: Call, *, lines: Sequence[Line], events: Sequence[CallEvent], tool_runs: Sequence[ToolRun]) -> int:
    ends = [line.turn.ended_ms or line.turn.started_ms for line in lines]
    ends += [run.ended_ms or run.started_ms for run in tool_runs]
    ends += [event.at_ms for event in events if not event.key.startswith(("w:", "x:"))]
    if call.duration_s:
        ends.append(call.duration_s * 1000)
    elif call.state != CallState.ENDED and call.answered_at:
        ends.append(int((timezone.now() - call.answered_at).total_seconds() * 1000))
    return max([1000, *ends])


def _bar(start: int, end: int, *, total: int, kind: str, key: str, name: str) -> Bar:
    x = min(start / total * WIDTH, WIDTH - NARROWEST)
    width = max((end - start) / total * WIDTH, NARROWEST)
    return Bar(f"{x:.1f}", f"{min(width, WIDTH - x):.1f}", start, kind, key, name[:200])


def _ticks(total: int) -> tuple[Tick, ...]:
    step = next((step for step in _TICKS_MS if total / step <= _MOST_TICKS), _TICKS_MS[-1] * (total // 14_400_000 + 1))
    return tuple(
        Tick(f"{at / total * WIDTH:.1f}", f"{at / total * 100:.2f}", f"{at // 60_000}:{at // 1000 % 60:02}")
        for at in range(0, total + 1, step)
    )

"""The conversation so far as commands that rebuild it, as text, in a fresh model session (openai-realtime.md §6.2)."""

from __future__ import annotations

from calls.session import commands as do
from calls.session.context import Context
from calls.session.plan import HistoryItem
from calls.session.tools import Tools
from calls.session.turns import Turns
from calls.vocabulary import TurnRole, TurnStatus


def replay(ctx: Context, *, turns: Turns, tools: Tools) -> None:
    """Emits what was said and done, earlier sessions first. Answers that the lost session never got are among it."""
    earlier = ctx.plan.resume.history if ctx.plan.resume else ()
    for item in [*earlier, *_recent(ctx, turns, tools)]:
        _emit(ctx, item)


def _recent(ctx: Context, turns: Turns, tools: Tools) -> list[HistoryItem]:
    """What this session has seen, in the order in which it came up."""
    items: dict[int, HistoryItem] = {}
    for turn in turns.order:
        if turn.role is TurnRole.CALLER:
            text, kind = turn.generated, "caller"
        else:
            # What is still playing will be heard: playback of received audio goes on while the model is away.
            text, kind = turn.generated if turn.status is TurnStatus.OPEN else turn.heard, "agent"
        if text:
            items[turn.place] = HistoryItem(kind=kind, text=text)
    for run in tools.runs.values():
        if run.answered:
            items[run.place] = HistoryItem(
                kind="tool", call_id=run.call_id, name=run.name, arguments=run.arguments, output=run.output
            )
    for place, text in ctx.notes:
        items[place] = HistoryItem(kind="note", text=text)
    return [items[place] for place in sorted(items)]


def _emit(ctx: Context, item: HistoryItem) -> None:
    event_id = ctx.next_id()
    if item.kind == "tool":
        ctx.emit(
            do.AddToolExchange(
                event_id=event_id, call_id=item.call_id, name=item.name, arguments=item.arguments, output=item.output
            )
        )
    elif item.kind == "caller":
        ctx.emit(do.AddMessage(event_id=event_id, role="user", text=item.text))
    elif item.kind == "agent":
        ctx.emit(do.AddMessage(event_id=event_id, role="assistant", text=item.text))
    else:
        ctx.emit(do.AddMessage(event_id=event_id, role="system", text=item.text))

"""What a session left open because its process died: the words are estimated, the runs are unknown. Only for sessions that are gone.

Nothing here raises a revision: should the dead session's own last word still lie in a journal, it replaces the estimate.
"""

from __future__ import annotations

from bisect import bisect_right

from calls.models import Call, CallEvent, ToolRun, Turn
from calls.session.turns import cut_text
from calls.vocabulary import CallState, EventKind, ToolStatus, TurnRole, TurnStatus


def estimate_heard(turn: Turn, *, lost_ms: int) -> tuple[str, int]:
    """The text and milliseconds of an open turn that the caller can have heard by `lost_ms` on the call's clock."""
    heard_ms = max(turn.heard_ms, min(turn.generated_ms, lost_ms - turn.started_ms))
    return cut_text(turn.generated, heard_ms, turn.generated_ms), heard_ms


def end_orphans(call: Call) -> None:
    """Close what stands open on the record of a call that is over; does nothing to one that lives."""
    if call.state != CallState.ENDED:
        return
    turns = list(Turn.objects.filter(call=call, status=TurnStatus.OPEN))
    if turns:
        starts = sorted(
            CallEvent.objects.filter(call=call, kind=EventKind.STREAM_STARTED).values_list("at_ms", flat=True)
        )
        for turn in turns:
            _end_turn(turn, lost_ms=_find_loss(call, starts, turn))
    ToolRun.objects.filter(call=call, status=ToolStatus.STARTED).update(status=ToolStatus.UNKNOWN)


def _find_loss(call: Call, starts: list[int], turn: Turn) -> int:
    """When its session was gone at the latest: the next one's stream came, or the call ended."""
    following = bisect_right(starts, turn.started_ms)
    if following < len(starts):
        return starts[following]
    if call.ended_at is None:
        return turn.started_ms
    return max(0, round((call.ended_at - (call.answered_at or call.created_at)).total_seconds() * 1000))


def _end_turn(turn: Turn, *, lost_ms: int) -> None:
    changes: dict[str, object] = {"status": TurnStatus.COMPLETE, "ended_ms": max(turn.started_ms, lost_ms)}
    if turn.role == TurnRole.AGENT:
        heard, heard_ms = estimate_heard(turn, lost_ms=lost_ms)
        changes |= {
            "heard": heard,
            "heard_ms": heard_ms,
            "status": TurnStatus.INTERRUPTED if heard else TurnStatus.UNHEARD,
        }
    Turn.objects.filter(pk=turn.pk, status=TurnStatus.OPEN, revision=turn.revision).update(**changes)

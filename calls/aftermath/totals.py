"""The figures that lists show, computed again from the records: safe to run whenever the records have changed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from django.db.models import Count, Q

from calls.aftermath.rollups import mark_call
from calls.aftermath.steps import worker
from calls.ledger.entries import sum_cost
from calls.ledger.usage import make_up_usage
from calls.models import AfterStep, Call, CallEvent, LedgerEntry, Recording, ToolRun, Turn
from calls.readouts.hook_bodies import describe_call
from calls.services import outbox
from calls.services.indexing import index_words
from calls.services.orphans import end_orphans
from calls.vocabulary import CallState, EventKind, Flag, HookEvent, Step, ToolStatus

STEP = "totals"

_FAILED_TOOLS = (ToolStatus.FAILED, ToolStatus.TIMED_OUT, ToolStatus.REFUSED, ToolStatus.UNKNOWN)


@worker(STEP)
def compute_totals(step: AfterStep) -> None:
    """Ends what a dead session left open, prices what was left unpriced, then writes counts, p95 latency, cost and flags."""
    call = step.call
    end_orphans(call)
    make_up_usage(call)
    tools = ToolRun.objects.filter(call=call).aggregate(
        ok=Count("id", filter=Q(status=ToolStatus.SUCCEEDED)), failed=Count("id", filter=Q(status__in=_FAILED_TOOLS))
    )
    latencies = [
        ms for ms in Turn.objects.filter(call=call).values_list("turn_latency_ms", flat=True) if ms is not None
    ]
    cost = sum_cost(call)
    Call.objects.filter(pk=call.pk).update(
        turn_count=Turn.objects.filter(call=call).count(),
        barge_in_count=CallEvent.objects.filter(call=call, kind=EventKind.BARGE_IN).count(),
        tool_ok_count=tools["ok"],
        tool_failed_count=tools["failed"],
        turn_latency_p95_ms=percentile(latencies, 95),
        cost=cost[0] if cost else None,
        currency=cost[1] if cost else "",
        flags=sorted(find_flags(call)),
    )
    mark_call(call)
    index_words(call)
    tell_of_the_end(call)


def tell_of_the_end(call: Call) -> None:
    """The tenant's own systems hear of a call once, when its figures stand first."""
    call.refresh_from_db()
    if call.state == CallState.ENDED and outbox.wants(HookEvent.CALL_ENDED):
        outbox.tell(HookEvent.CALL_ENDED, call.pk, describe_call(call), call=call)


def percentile(values: Sequence[int], percent: int) -> int | None:
    """Nearest-rank percentile; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def find_flags(call: Call) -> set[str]:
    """The small marks of vocabulary.Flag, each derived from the records."""
    kinds = set(CallEvent.objects.filter(call=call).values_list("kind", flat=True).distinct())
    flags: set[str] = set()
    by_event = {
        EventKind.GUARDRAIL: Flag.GUARDRAIL,
        EventKind.HAND_OFF: Flag.HANDED_OFF,
        EventKind.RECOVERY: Flag.RECOVERED,
        EventKind.AUDIO_DROPPED: Flag.AUDIO_DROPPED,
    }
    flags |= {flag for kind, flag in by_event.items() if kind in kinds}
    if call.rung > 0:
        flags.add(Flag.FAILED_OVER)
    if call.outcome == "transferred" or (call.rung < len(call.ladder) and call.ladder[call.rung] == Step.PERSON):
        flags.add(Flag.TRANSFERRED)
    if Recording.objects.filter(call=call, kind=Recording.Kind.VOICEMAIL).exists():
        flags.add(Flag.VOICEMAIL)
    if LedgerEntry.objects.filter(call=call, usage_lost=True).exists():
        flags.add(Flag.USAGE_LOST)
    if ToolRun.objects.filter(call=call, status__in=_FAILED_TOOLS).exists():
        flags.add(Flag.TOOL_FAILED)
    return flags

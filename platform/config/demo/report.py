"""What the demo prints of a finished call, read from the product's own records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from calls.models import AfterStep, Call, LedgerEntry, Recording, ToolRun, Turn
from tenants.models import Tenant
from tenants.scope import tenant_scope

SETTLE_SECONDS = 20.0  # transcript, cost and recording follow within seconds of the hang-up
LOOK_SECONDS = 0.1


def wait_for_record(tenant: Tenant, carrier_sid: str, *, check: Callable[[], object]) -> Call:
    """The closed call, its steps done. `check` is called while waiting and may raise. Raises TimeoutError."""
    deadline = time.monotonic() + SETTLE_SECONDS
    with tenant_scope(tenant):
        while time.monotonic() < deadline:
            check()
            call = Call.objects.filter(carrier_sid=carrier_sid, state="ended").select_related("agent_version").first()
            if call is not None and not AfterStep.objects.filter(call=call, state=AfterStep.State.DUE).exists():
                return call
            time.sleep(LOOK_SECONDS)
    raise TimeoutError(f"the record of {carrier_sid} was not complete after {SETTLE_SECONDS:g} s")


def describe_call(tenant: Tenant, call: Call) -> Iterator[str]:
    """Lines: transcript with what was and was not heard, tools, outcome, latency, cost."""
    with tenant_scope(tenant):
        for turn in Turn.objects.filter(call=call).order_by("started_ms", "sequence"):
            yield f"  {turn.started_ms / 1000:6.1f} s  {turn.role:6} {_words(turn)}"
        for run in ToolRun.objects.filter(call=call):
            yield f"  tool {run.name}: {run.status} in {(run.ended_ms or run.started_ms) - run.started_ms} ms"
        for recording in Recording.objects.filter(call=call):
            yield f"  recording: {recording.state}, {recording.duration_s} s, {recording.channels} channels"
        yield f"  outcome: {call.outcome} ({call.end_reason}), {call.duration_s} s"
        if call.turn_latency_p95_ms is not None:
            yield f"  turn latency p95: {call.turn_latency_p95_ms} ms"
        count = LedgerEntry.objects.filter(call=call).count()
        yield (
            f"  cost: {call.cost:.6f} {call.currency} in {count} ledger lines"
            if call.cost is not None
            else "  cost: none"
        )


def _words(turn: Turn) -> str:
    if turn.role == "caller" or turn.heard == turn.generated:
        return turn.heard or turn.generated or "(no transcript)"
    return f"{turn.heard} [not heard: {turn.generated[len(turn.heard) :].strip()}]"

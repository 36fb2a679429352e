"""One call's page: gathers all that is on record about it, for the page and for the live socket alike; reads and renders."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.http import HttpResponse
from django.shortcuts import render

from calls.aftermath.totals import percentile
from calls.models import AfterStep, Call, CallEvent, Leg, Recording, ToolRun
from calls.readouts.access import access_call
from calls.readouts.costs import Costs, read_costs
from calls.readouts.transcript import Line, read_transcript
from calls.vocabulary import CallState, EventKind
from dashboard.doors import tenant_screen
from dashboard.strip import Strip, draw_strip
from dashboard.timeline import Entry, tell_timeline
from tenants.middleware import TenantRequest
from tenants.models import Tenant
from tenants.permissions import Permission


@dataclass(frozen=True, slots=True)
class LatencyBar:
    """One turn's latency beside the call's slowest, in thousandths of the drawing's width."""

    line: Line
    model_width: int
    playout_width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSheet:
    """Everything the page shows, read in a fixed number of queries."""

    call: Call
    lines: list[Line]
    entries: list[Entry]
    strip: Strip
    tool_runs: list[ToolRun]
    costs: Costs
    recordings: list[Recording]
    legs: list[Leg]
    after_steps: list[AfterStep]

    @property
    def is_live(self) -> bool:
        return self.call.state != CallState.ENDED

    @property
    def is_over(self) -> bool:
        return not self.is_live

    @property
    def p95_ms(self) -> int | None:
        """The call's own figure once it is over; until then from the turns so far."""
        if self.is_over:
            return self.call.turn_latency_p95_ms
        return percentile([line.turn.turn_latency_ms or 0 for line in self.timed_lines], 95)

    @property
    def barge_in_count(self) -> int:
        if self.is_over:
            return self.call.barge_in_count
        return sum(entry.kind is EventKind.BARGE_IN for entry in self.entries)

    @property
    def timed_lines(self) -> list[Line]:
        """The agent's turns with a latency."""
        return [line for line in self.lines if line.turn.turn_latency_ms is not None]

    @property
    def latency_bars(self) -> list[LatencyBar]:
        slowest = max((line.turn.turn_latency_ms or 0 for line in self.timed_lines), default=0) or 1
        bars = []
        for line in self.timed_lines:
            total, playout = line.turn.turn_latency_ms or 0, line.playout_ms or 0
            bars.append(LatencyBar(line, round((total - playout) / slowest * 1000), round(playout / slowest * 1000)))
        return bars


@tenant_screen(needs=Permission.HISTORY_VIEW)
def call(request: TenantRequest, call_id: uuid.UUID) -> HttpResponse:
    sheet = gather_call(request.tenant, call_id=call_id)
    return render(request, "calls/call.html", {"sheet": sheet, "tenant": request.tenant})


def gather_call(tenant: Tenant, *, call_id: uuid.UUID) -> CallSheet:
    """Raises NotFound. Needs the tenant's scope."""
    found = access_call(tenant, call_id=call_id)
    lines = read_transcript(found.turns.all())
    events: list[CallEvent] = list(found.events.all())
    tool_runs: list[ToolRun] = list(found.tool_runs.all())
    recordings: list[Recording] = list(found.recordings.order_by("offset_ms", "created_at"))
    return CallSheet(
        call=found,
        lines=lines,
        entries=tell_timeline(found, events=events, tool_runs=tool_runs),
        strip=draw_strip(found, lines=lines, events=events, tool_runs=tool_runs),
        tool_runs=tool_runs,
        costs=read_costs(found.ledger.select_related("rate_card")),
        recordings=recordings,
        legs=list(found.legs.order_by("started_at")),
        after_steps=list(found.after_steps.order_by("due_at", "step")),
    )

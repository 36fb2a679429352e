"""The calls list and its export: what happened, newest first; parses the URL, reads, renders."""

from __future__ import annotations

import csv
import io
import re
import zoneinfo
from collections.abc import Iterator

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone

from calls.models import Call
from calls.readouts.listing import (
    COUNT_LIMIT,
    EXPORT_LIMIT,
    CallFilter,
    Cursor,
    count_calls,
    export_calls,
    list_agents,
    list_calls,
    list_numbers,
)
from dashboard.doors import tenant_screen
from dashboard.forms import CallFilterForm
from dashboard.streams import stream_response
from tenants.middleware import TenantRequest
from tenants.models import Tenant
from tenants.permissions import Permission
from tenants.scope import tenant_scope

EXPORT_COLUMNS = (
    "call_id", "time_utc", "time_local", "direction", "caller", "called", "agent", "version", "path", "state", "outcome",
    "end_reason", "fault", "duration_s", "turns", "turn_latency_p95_ms", "barge_ins", "tools_ok", "tools_failed", "cost",
    "currency", "flags", "carrier_sid",
)  # fmt: skip
_PLAIN_CELL = re.compile(r"^\+?\d*$")


@tenant_screen(needs=Permission.HISTORY_VIEW)
def calls(request: TenantRequest) -> HttpResponse:
    """The whole page, or only its results for htmx."""
    form = _form(request)
    wanted = form.to_filter(_zone(request))
    cursor = Cursor.decode(request.GET["at"]) if "at" in request.GET else None
    page = list_calls(wanted, cursor=cursor)
    context = {
        "form": form,
        "page": page,
        "count": count_calls(wanted),
        "count_limit": COUNT_LIMIT,
        "export_limit": EXPORT_LIMIT,
        "is_filtered": not wanted.is_empty,
        "is_first_page": cursor is None,
    }
    is_fragment = bool(getattr(request, "htmx", False)) and not request.headers.get("HX-History-Restore-Request")
    response = render(request, "calls/_results.html" if is_fragment else "calls/list.html", context)
    response["Vary"] = "HX-Request, Cookie"
    return response


@tenant_screen(needs=Permission.HISTORY_EXPORT)
def export(request: TenantRequest) -> HttpResponseBase:
    """The matching calls as CSV, at most EXPORT_LIMIT (larger ones are a job, decision 11)."""
    wanted = _form(request).to_filter(_zone(request))
    day = timezone.localdate()
    return stream_response(
        request,
        _rows(request.tenant, wanted),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="calls-{request.tenant.slug}-{day:%Y-%m-%d}.csv"',
            "Cache-Control": "no-store",
        },
    )


def _form(request: TenantRequest) -> CallFilterForm:
    return CallFilterForm(request.GET, numbers=list_numbers(), agents=list_agents())


def _zone(request: TenantRequest) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(request.tenant.timezone)


def _rows(tenant: Tenant, wanted: CallFilter) -> Iterator[bytes]:
    """Runs after the view has returned, so it enters the scope itself, and only while it queries: a scope held across a `yield`
    would leak into whoever asks for the next piece."""
    zone = zoneinfo.ZoneInfo(tenant.timezone)
    yield _csv([EXPORT_COLUMNS])
    batches = export_calls(wanted)
    while True:
        with tenant_scope(tenant):
            batch = next(batches, None)
        if batch is None:
            return
        yield _csv([_cells(call, zone) for call in batch])


def _csv(rows: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cells(call: Call, zone: zoneinfo.ZoneInfo) -> tuple[str, ...]:
    values = (
        call.pk, call.created_at.isoformat(), call.created_at.astimezone(zone).isoformat(), call.direction, call.from_number,
        call.to_number, call.agent.name if call.agent else "", call.agent_version.number if call.agent_version else "",
        call.path, call.state, call.outcome, call.end_reason, call.fault, call.duration_s, call.turn_count,
        call.turn_latency_p95_ms, call.barge_in_count, call.tool_ok_count, call.tool_failed_count, call.cost, call.currency,
        " ".join(call.flags), call.carrier_sid,
    )  # fmt: skip
    return tuple(_cell("" if value is None else str(value)) for value in values)


def _cell(text: str) -> str:
    """A caller chooses the text of a SIP address: spreadsheets must not run it as a formula (OWASP, CSV injection)."""
    return f"'{text}" if text[:1] in "=+-@\t\r" and text and not _PLAIN_CELL.match(text) else text

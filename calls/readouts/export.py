"""Calls as rows of a file, CSV or JSON, batch by batch: the same for a streamed export and for a job. Computes text; reads in batches."""

from __future__ import annotations

import csv
import io
import json
import re
import zoneinfo
from collections.abc import Iterable, Iterator
from typing import Any

from calls.models import Call
from calls.readouts.listing import CallFilter, export_calls
from tenants.models import Tenant
from tenants.scope import tenant_scope

COLUMNS = (
    "call_id", "time_utc", "time_local", "direction", "caller", "called", "agent", "version", "path", "state", "outcome",
    "end_reason", "fault", "duration_s", "turns", "turn_latency_p95_ms", "barge_ins", "tools_ok", "tools_failed", "cost",
    "currency", "flags", "carrier_sid", "tags", "reviewed_utc", "review_reason",
)  # fmt: skip
_PLAIN_CELL = re.compile(r"^\+?\d*$")
_LISTS = frozenset({"flags", "tags"})


def write_export(tenant: Tenant, wanted: CallFilter, *, form: str, limit: int | None) -> Iterator[tuple[bytes, int]]:
    """(bytes, calls in them) pieces of the file. The scope is held only while a batch is read: one held across a `yield` would leak
    into whoever asks for the next piece."""
    zone = zoneinfo.ZoneInfo(tenant.timezone)
    yield (_csv([COLUMNS]) if form == "csv" else b"["), 0
    batches = export_calls(tenant, wanted, limit=limit)
    is_first = True
    while True:
        with tenant_scope(tenant):
            batch = next(batches, None)
        if batch is None:
            break
        rows = [_values(call, zone) for call in batch]
        yield (_csv(map(_cells, rows)) if form == "csv" else _json(rows, is_first=is_first)), len(rows)
        is_first = False
    if form != "csv":
        yield b"\n]\n", 0


def _values(call: Call, zone: zoneinfo.ZoneInfo) -> dict[str, Any]:
    values = (
        call.pk, call.created_at.isoformat(), call.created_at.astimezone(zone).isoformat(), call.direction, call.from_number,
        call.to_number, call.agent.name if call.agent else None, call.agent_version.number if call.agent_version else None,
        call.path, call.state, call.outcome, call.end_reason, call.fault, call.duration_s, call.turn_count,
        call.turn_latency_p95_ms, call.barge_in_count, call.tool_ok_count, call.tool_failed_count, call.cost, call.currency,
        call.flags, call.carrier_sid, call.tags, call.reviewed_at.isoformat() if call.reviewed_at else None, call.review_reason,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _csv(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cells(values: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        _cell(
            ", ".join(value)
            if name == "tags"
            else " ".join(value)
            if name in _LISTS
            else ""
            if value is None
            else str(value)
        )
        for name, value in values.items()
    )


def _cell(text: str) -> str:
    """A caller chooses the text of a SIP address: spreadsheets must not run it as a formula (OWASP, CSV injection)."""
    return f"'{text}" if text[:1] in "=+-@\t\r" and text and not _PLAIN_CELL.match(text) else text


def _json(rows: list[dict[str, Any]], *, is_first: bool) -> bytes:
    texts = [json.dumps(row, default=str, ensure_ascii=False) for row in rows]  # money as text: JSON knows only floats
    return (("\n" if is_first else ",\n") + ",\n".join(texts)).encode()

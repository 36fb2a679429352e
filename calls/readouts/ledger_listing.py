"""The ledger as a list: filters, keyset pages and capped counts that hold at millions of lines (decision 11); reads only."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from calls.models import LedgerEntry
from calls.readouts.listing import COUNT_LIMIT, EXPORT_BATCH, Count, Cursor
from calls.vocabulary import LedgerState

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFilter:
    """What the list is narrowed to; empty fields do not narrow. `since` is inclusive, `until` is not."""

    since: dt.datetime | None = None
    until: dt.datetime | None = None
    layer: str = ""
    kind: str = ""  # adjustment | lost: the two that are rare and worth a look
    call_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerPage:
    """One page, newest first, with the places of its neighbours (None where there is none)."""

    entries: tuple[LedgerEntry, ...]
    older: Cursor | None
    newer: Cursor | None


def list_entries(wanted: LedgerFilter, *, cursor: Cursor | None = None, size: int = PAGE_SIZE) -> LedgerPage:
    """One page; one query."""
    rows = _matching(wanted).select_related("call", "rate_card")
    if cursor is not None and cursor.newer:
        after = Q(occurred_at__gte=cursor.key) & (Q(occurred_at__gt=cursor.key) | Q(pk__gt=cursor.call_id))
        found = list(rows.filter(after).order_by("occurred_at", "id")[: size + 1])
        more, entries = len(found) > size, tuple(reversed(found[:size]))
        return LedgerPage(entries=entries, older=_at(entries, -1), newer=_at(entries, 0, newer=True) if more else None)
    if cursor is not None:
        rows = rows.filter(Q(occurred_at__lte=cursor.key) & (Q(occurred_at__lt=cursor.key) | Q(pk__lt=cursor.call_id)))
    found = list(rows.order_by("-occurred_at", "-id")[: size + 1])
    entries = tuple(found[:size])
    return LedgerPage(
        entries=entries,
        older=_at(entries, -1) if len(found) > size else None,
        newer=_at(entries, 0, newer=True) if cursor is not None else None,
    )


def count_entries(wanted: LedgerFilter) -> Count:
    """Counts no further than the limit."""
    found = _matching(wanted).order_by().values("pk")[: COUNT_LIMIT + 1].count()
    return Count(min(found, COUNT_LIMIT), found > COUNT_LIMIT)


def export_entries(wanted: LedgerFilter, *, limit: int | None) -> Iterator[list[LedgerEntry]]:
    """Batches, newest first. Each `next()` runs one query and must happen inside the tenant's scope."""
    cursor: Cursor | None = None
    left = limit
    while left is None or left > 0:
        page = list_entries(wanted, cursor=cursor, size=EXPORT_BATCH if left is None else min(EXPORT_BATCH, left))
        if page.entries:
            yield list(page.entries)
        left = None if left is None else left - len(page.entries)
        cursor = page.older
        if cursor is None:
            return


def _matching(wanted: LedgerFilter) -> QuerySet[LedgerEntry]:
    rows: QuerySet[LedgerEntry] = LedgerEntry.objects.all()
    if wanted.since:
        rows = rows.filter(occurred_at__gte=wanted.since)
    if wanted.until:
        rows = rows.filter(occurred_at__lt=wanted.until)
    if wanted.layer:
        rows = rows.filter(layer=wanted.layer)
    if wanted.kind == "adjustment":
        rows = rows.filter(state=LedgerState.ADJUSTMENT)
    elif wanted.kind == "lost":
        rows = rows.filter(usage_lost=True)
    if wanted.call_id:
        rows = rows.filter(call_id=wanted.call_id)
    return rows


def _at(entries: tuple[LedgerEntry, ...], index: int, *, newer: bool = False) -> Cursor | None:
    return Cursor(entries[index].occurred_at, entries[index].pk, newer) if entries else None

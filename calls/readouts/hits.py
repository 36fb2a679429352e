"""Finds calls by facets and words in the search rows, newest first, without ever reading more of them than it needs; reads only.

The stretches of time get longer the further they lie back, and a later one is looked at only while calls are still wanted (an Append below
a LIMIT is lazy). So a word of every second call costs a day's worth of hits, and a rare one a handful of index look-ups. Every condition is
answered by the one GIN index: row level security would keep it from being used (`@@` is not leakproof), hence the explicit tenant.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from tenants.scope import every_tenant

DAYS = (1, 6, 24, 150, 550)  # the stretches, newest first; what lies before them is one more
LONGEST_BY_DAY = 40  # beyond it a stretch is named by its months
SHORTEST_BEGINNING = 4  # a shorter word is looked for as it is: too many words begin like it
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a call must have. `words` is what a person typed; the last one may be the beginning of a word."""

    tenant_id: uuid.UUID
    facets: tuple[str, ...] = ()
    words: str = ""
    since: dt.datetime | None = None  # inclusive
    until: dt.datetime | None = None  # exclusive


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    created_at: dt.datetime
    call_id: uuid.UUID


def fold(text: str) -> str:
    """Text as it is compared: without case and accents, in any language."""
    plain = unicodedata.normalize("NFKD", text.replace("\0", " ").casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def find_hits(
    wanted: Wanted, *, limit: int, beyond: Hit | None = None, newer: bool = False, now: dt.datetime
) -> list[Hit]:
    """At most `limit` hits on the far side of `beyond`: older ones newest first, or with `newer` newer ones oldest first."""
    stretches = _split_up(wanted, beyond=beyond, now=now) if newer else _split_down(wanted, beyond=beyond, now=now)
    branches: list[str] = []
    parameters: list[Any] = []
    order = "ASC" if newer else "DESC"
    for first, last in stretches:
        text, values = _condition(wanted, first=first, last=last)
        if beyond is not None:
            text += f" AND (created_at, call_id) {'>' if newer else '<'} (%s, %s)"
            values += [beyond.created_at, beyond.call_id]
        branches.append(
            f"(SELECT created_at, call_id FROM calls_callsearch WHERE {text} "  # noqa: S608 # conditions of ours, values apart
            f"ORDER BY created_at {order}, call_id {order} LIMIT %s)"
        )
        parameters += [*values, limit]
    if not branches:
        return []
    rows = _ask(f"{' UNION ALL '.join(branches)} LIMIT %s", [*parameters, limit])
    return sorted((Hit(*row) for row in rows), reverse=not newer)


def _ask(sql: str, parameters: Sequence[Any]) -> list[Any]:
    with (
        every_tenant(
            reason="a full-text search names its tenant itself, since row security would keep its index unused"
        ),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql, parameters)
        rows: list[Any] = cursor.fetchall()
    return rows


def _condition(wanted: Wanted, *, first: dt.datetime | None, last: dt.datetime | None) -> tuple[str, list[Any]]:
    parts = ["tenant_id = %s", "facets @> %s::text[]"]
    values: list[Any] = [wanted.tenant_id, [f"tenant:{wanted.tenant_id}", *wanted.facets]]
    if wanted.words:
        parts.append(f"words @@ {_tsquery(wanted.words)}")
        values.append(fold(wanted.words))
    if first is not None:
        parts.append("created_at >= %s")
        values.append(first)
    if last is not None:
        parts.append("created_at < %s")
        values.append(last)
    if first is not None and last is not None:
        parts.append("facets && %s::text[]")
        values.append(_name_times(first, last))
    return " AND ".join(parts), values


def _tsquery(words: str) -> str:
    """All words, in any order. Empty for signs alone, which nothing matches."""
    last = words.split()[-1] if words.split() else ""
    if len(last) >= SHORTEST_BEGINNING and last.isalnum() and not words[-1].isspace():
        return "(plainto_tsquery('simple', %s)::text || ':*')::tsquery"
    return "plainto_tsquery('simple', %s)"


def _name_times(first: dt.datetime, last: dt.datetime) -> list[str]:
    """The days or months (UTC, as calls.models.facets names them) that the stretch touches."""
    start, end = first.astimezone(dt.UTC), last.astimezone(dt.UTC)
    if end - start <= LONGEST_BY_DAY * _DAY:
        return [f"day:{day}" for day in range((start - EPOCH) // _DAY, (end - EPOCH) // _DAY + 1)]
    months = range(start.year * 12 + start.month - 1, end.year * 12 + end.month)
    return [f"month:{month}" for month in months]


def _split_down(
    wanted: Wanted, *, beyond: Hit | None, now: dt.datetime
) -> list[tuple[dt.datetime | None, dt.datetime | None]]:
    """Stretches from the newest moment that counts back to the oldest."""
    moment = dt.timedelta(microseconds=1)
    tops = [now + _DAY]  # clocks differ
    if wanted.until is not None:
        tops.append(wanted.until)
    if beyond is not None:
        tops.append(beyond.created_at + moment)
    last = min(tops)
    found: list[tuple[dt.datetime | None, dt.datetime | None]] = []
    for days in DAYS:
        first = last - days * _DAY
        if wanted.since is not None and first <= wanted.since:
            break
        found.append((first, last))
        last = first
    if wanted.since is None or wanted.since < last:
        found.append((wanted.since, last))
    return found


def _split_up(
    wanted: Wanted, *, beyond: Hit | None, now: dt.datetime
) -> list[tuple[dt.datetime | None, dt.datetime | None]]:
    """Stretches from `beyond` on to the newest moment that counts."""
    bottoms = [moment for moment in (wanted.since, beyond.created_at if beyond else None) if moment is not None]
    first = max(bottoms) if bottoms else EPOCH
    top = min(wanted.until or now + _DAY, now + _DAY)
    found: list[tuple[dt.datetime | None, dt.datetime | None]] = []
    for days in DAYS:
        last = first + days * _DAY
        if last >= top:
            break
        found.append((first, last))
        first = last
    if first < top:
        found.append((first, top))
    return found

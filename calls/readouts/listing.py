"""The calls list: filters, keyset pages and counts that hold at a million rows (decision 11); reads only, within the scope's tenant."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from agents.models import Agent
from calls.models import Call
from calls.vocabulary import CallState
from tenants.models import Number

PAGE_SIZE = 50
COUNT_LIMIT = 10_000  # architecture.md decision 11: counts up to "10,000+"
EXPORT_LIMIT = 5_000  # decision 11: above this an export is a job
EXPORT_BATCH = 500

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_CALL_SID = re.compile(r"^CA[0-9a-fA-F]{32}$")  # twilio.md §0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """What the list is narrowed to; empty fields do not narrow. `since` is inclusive, `until` is not."""

    state: str = ""  # live | ended
    outcome: str = ""
    flag: str = ""
    number_id: uuid.UUID | None = None
    agent_id: uuid.UUID | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    search: str = ""  # digits of the caller's number, or a whole call SID

    @property
    def is_empty(self) -> bool:
        return self == CallFilter()


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place between two rows. `newer` tells in which direction the page lies."""

    created_at: dt.datetime
    call_id: uuid.UUID
    newer: bool = False

    def encode(self) -> str:
        micros = (self.created_at - _EPOCH) // dt.timedelta(microseconds=1)
        text = f"{'n' if self.newer else 'o'}{micros}|{self.call_id.hex}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor | None:
        """None for anything that we did not hand out: a broken link shows the first page."""
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            moment, _, call_id = raw[1:].partition("|")
            created_at = _EPOCH + dt.timedelta(microseconds=int(moment))
            return cls(created_at, uuid.UUID(hex=call_id), newer=raw[:1] == "n")
        except (ValueError, OverflowError, binascii.Error):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPage:
    """One page, newest first, with the places of its neighbours (None where there is none)."""

    calls: tuple[Call, ...]
    older: Cursor | None
    newer: Cursor | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many calls match; when `is_capped`, at least that many."""

    value: int
    is_capped: bool


def list_calls(wanted: CallFilter, *, cursor: Cursor | None = None, size: int = PAGE_SIZE) -> CallPage:
    """One page of matching calls; one query."""
    rows = _matching(wanted).select_related("number", "agent", "agent_version")
    if cursor is not None and cursor.newer:
        found = list(rows.filter(_after(cursor)).order_by("created_at", "id")[: size + 1])
        more, calls = len(found) > size, tuple(reversed(found[:size]))
        return CallPage(calls=calls, older=_at(calls, -1), newer=_at(calls, 0, newer=True) if more else None)
    if cursor is not None:
        rows = rows.filter(_before(cursor))
    found = list(rows.order_by("-created_at", "-id")[: size + 1])
    calls = tuple(found[:size])
    return CallPage(
        calls=calls,
        older=_at(calls, -1) if len(found) > size else None,
        newer=_at(calls, 0, newer=True) if cursor is not None else None,
    )


def count_calls(wanted: CallFilter) -> Count:
    """Counts no further than the limit, so that the query stays cheap."""
    found = _matching(wanted).order_by().values("pk")[: COUNT_LIMIT + 1].count()
    return Count(min(found, COUNT_LIMIT), found > COUNT_LIMIT)


def export_calls(wanted: CallFilter, *, limit: int = EXPORT_LIMIT) -> Iterator[list[Call]]:
    """Batches of matching calls, newest first. Each `next()` runs one query and must happen inside the tenant's scope."""
    cursor: Cursor | None = None
    left = limit
    while left > 0:
        page = list_calls(wanted, cursor=cursor, size=min(EXPORT_BATCH, left))
        if page.calls:
            yield list(page.calls)
        left -= len(page.calls)
        cursor = page.older
        if cursor is None:
            return


def list_numbers() -> list[Number]:
    """The tenant's numbers, for choices."""
    return list(Number.objects.order_by("e164"))


def list_agents() -> list[Agent]:
    """The tenant's agents without their drafts, for choices."""
    return list(Agent.objects.only("id", "name", "tenant_id").order_by("name"))


def _matching(wanted: CallFilter) -> QuerySet[Call]:
    rows: QuerySet[Call] = Call.objects.all()
    if wanted.state == "live":
        rows = rows.exclude(state=CallState.ENDED)
    elif wanted.state == "ended":
        rows = rows.filter(state=CallState.ENDED)
    if wanted.outcome:
        rows = rows.filter(outcome=wanted.outcome)
    if wanted.flag:
        rows = rows.filter(flags__contains=[wanted.flag])
    if wanted.number_id:
        rows = rows.filter(number_id=wanted.number_id)
    if wanted.agent_id:
        rows = rows.filter(agent_id=wanted.agent_id)
    if wanted.since:
        rows = rows.filter(created_at__gte=wanted.since)
    if wanted.until:
        rows = rows.filter(created_at__lt=wanted.until)
    if _CALL_SID.match(wanted.search):
        rows = rows.filter(carrier_sid=wanted.search)
    elif wanted.search:
        digits = re.sub(r"\D", "", wanted.search)
        rows = rows.filter(from_number__contains=digits) if digits else rows.none()
    return rows


def _before(cursor: Cursor) -> Q:
    # The first condition bounds the index scan; the second settles equal moments.
    return Q(created_at__lte=cursor.created_at) & (Q(created_at__lt=cursor.created_at) | Q(pk__lt=cursor.call_id))


def _after(cursor: Cursor) -> Q:
    return Q(created_at__gte=cursor.created_at) & (Q(created_at__gt=cursor.created_at) | Q(pk__gt=cursor.call_id))


def _at(calls: tuple[Call, ...], index: int, *, newer: bool = False) -> Cursor | None:
    return Cursor(calls[index].created_at, calls[index].pk, newer) if calls else None

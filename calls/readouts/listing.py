"""The calls list: filters, orders, keyset pages, counts that hold at a million rows (decision 11); reads only, in the tenant's scope."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Q, QuerySet, Value
from django.utils import timezone

from agents.models import Agent
from calls.models import Call, Tag
from calls.readouts.hits import Hit, Wanted, find_hits
from tenants.models import Number, Tenant

PAGE_SIZE = 50
COUNT_LIMIT = 10_000  # architecture.md decision 11: counts up to "10,000+"
MATCH_LIMIT = 500  # with a filter or words: what a person can go through; `since` and `until` narrow further
EXPORT_LIMIT = 5_000  # decision 11: above this an export is a job
EXPORT_BATCH = 500
FEWEST_DIGITS = 3

ORDERS: dict[str, str] = {
    "time": "created_at",
    "duration": "duration_s",
    "latency": "turn_latency_p95_ms",
    "cost": "cost",
}

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_CALL_SID = re.compile(r"^CA[0-9a-fA-F]{32}$")  # twilio.md §0.1
_DIGITS = re.compile(r"^[\d\s+()./-]+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    """What the list is narrowed to; empty fields do not narrow. `since` is inclusive, `until` is not."""

    state: str = ""  # live | ended
    outcome: str = ""
    reason: str = ""
    fault: str = ""
    flag: str = ""
    tag: str = ""
    path: str = ""
    direction: str = ""
    reviewed: str = ""  # yes | no
    number_id: uuid.UUID | None = None
    agent_id: uuid.UUID | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    search: str = ""  # words, the last digits of the caller's number, or a whole call SID

    @property
    def is_empty(self) -> bool:
        return self == CallFilter()

    @property
    def facets(self) -> tuple[str, ...]:
        """As calls.models.facets names them."""
        named = {
            "state": self.state, "outcome": self.outcome, "reason": self.reason, "fault": self.fault, "flag": self.flag,
            "tag": self.tag.lower(), "path": self.path, "direction": self.direction, "reviewed": self.reviewed,
            "number": self.number_id, "agent": self.agent_id,
        }  # fmt: skip
        return tuple(f"{name}:{value}" for name, value in named.items() if value)

    @property
    def digits(self) -> str:
        """The last digits of a caller's number, when that is what was typed. A national number's leading noughts are not in E.164."""
        if not _DIGITS.match(self.search):
            return ""
        digits = re.sub(r"\D", "", self.search)
        return digits.lstrip("0") or digits

    @property
    def words(self) -> str:
        return "" if self.digits or _CALL_SID.match(self.search) else self.search

    @property
    def is_matched(self) -> bool:
        """Whether the search rows answer it; the rest is answered by the calls' own indexes."""
        return bool(self.words or (self.facets and not self.search))


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place between two rows. `newer` tells in which direction the page lies; `key` is the order's value, a time unless told."""

    key: dt.datetime | Decimal | int
    call_id: uuid.UUID
    newer: bool = False

    def encode(self) -> str:
        key = (
            f"t{(self.key - _EPOCH) // dt.timedelta(microseconds=1)}"
            if isinstance(self.key, dt.datetime)
            else f"v{self.key}"
        )
        text = f"{'n' if self.newer else 'o'}{key}|{self.call_id.hex}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor | None:
        """None for anything that we did not hand out: a broken link shows the first page."""
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            value, _, call_id = raw[2:].partition("|")
            is_time = raw[1] == "t"
            key = _EPOCH + dt.timedelta(microseconds=int(value)) if is_time else Decimal(value)
            if isinstance(key, Decimal) and not key.is_finite():
                return None
            return cls(key, uuid.UUID(hex=call_id), newer=raw[0] == "n")
        except (ValueError, IndexError, OverflowError, InvalidOperation, binascii.Error):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPage:
    """One page with the places of its neighbours (None where there is none). `is_cut`: only the newest matches were put in order."""

    calls: tuple[Call, ...]
    older: Cursor | None
    newer: Cursor | None
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """How many calls match; when `is_capped`, at least that many."""

    value: int
    is_capped: bool


def list_calls(
    tenant: Tenant, wanted: CallFilter, *, order: str = "time", cursor: Cursor | None = None, size: int = PAGE_SIZE
) -> CallPage:
    """One page of matching calls, largest first by the order's column."""
    if cursor is not None and isinstance(cursor.key, dt.datetime) is not (order == "time"):
        cursor = None  # of another order
    if not wanted.is_matched:
        return _page(_matching(wanted), wanted, order=order, cursor=cursor, size=size)
    if order == "time":
        return _matched_page(tenant, wanted, cursor=cursor, size=size)
    hits = _find(tenant, wanted, limit=MATCH_LIMIT + 1)
    newest = Call.objects.filter(pk__in=[hit.call_id for hit in hits[:MATCH_LIMIT]])
    page = _page(newest, wanted, order=order, cursor=cursor, size=size)
    return replace(page, is_cut=len(hits) > MATCH_LIMIT)


def count_calls(tenant: Tenant, wanted: CallFilter) -> Count:
    """Counts no further than a limit, so that the query stays cheap."""
    if wanted.is_matched:
        found, limit = len(_find(tenant, wanted, limit=MATCH_LIMIT + 1)), MATCH_LIMIT
    else:
        limit = COUNT_LIMIT
        found = _matching(wanted).order_by().values("pk")[: limit + 1].count()
    return Count(min(found, limit), found > limit)


def export_calls(tenant: Tenant, wanted: CallFilter, *, limit: int | None = EXPORT_LIMIT) -> Iterator[list[Call]]:
    """Batches of matching calls, newest first; all of them without a limit. Each `next()` must happen inside the tenant's scope."""
    cursor: Cursor | None = None
    left = limit
    while left is None or left > 0:
        page = list_calls(tenant, wanted, cursor=cursor, size=EXPORT_BATCH if left is None else min(EXPORT_BATCH, left))
        if page.calls:
            yield list(page.calls)
        if left is not None:
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


def list_tags() -> list[str]:
    """The tenant's tags, for choices."""
    return list(Tag.objects.values_list("name", flat=True))


def _find(tenant: Tenant, wanted: CallFilter, *, limit: int, cursor: Cursor | None = None) -> list[Hit]:
    beyond = None
    if cursor is not None and isinstance(cursor.key, dt.datetime):
        beyond = Hit(cursor.key, cursor.call_id)
    asked = Wanted(
        tenant_id=tenant.pk, facets=wanted.facets, words=wanted.words, since=wanted.since, until=wanted.until
    )
    is_newer = cursor is not None and cursor.newer
    return find_hits(asked, limit=limit, beyond=beyond, newer=is_newer, now=timezone.now())


def _matched_page(tenant: Tenant, wanted: CallFilter, *, cursor: Cursor | None, size: int) -> CallPage:
    hits = _find(tenant, wanted, limit=size + 1, cursor=cursor)
    found = _with_names(Call.objects).in_bulk([hit.call_id for hit in hits[:size]])
    calls = tuple(found[hit.call_id] for hit in hits[:size] if hit.call_id in found)
    return _frame(calls, "time", cursor=cursor, has_more=len(hits) > size)


def _page(rows: QuerySet[Call], wanted: CallFilter, *, order: str, cursor: Cursor | None, size: int) -> CallPage:
    field = ORDERS[order]
    key: Any = F(field)
    if order != "time":
        rows = rows.filter(**{f"{field}__isnull": False})  # as the order's own index has it
    elif wanted.digits:
        # Else the planner may walk all calls by time in the hope of meeting the few of this caller soon.
        key = ExpressionWrapper(F(field) + Value(dt.timedelta(), output_field=DurationField()), DateTimeField())
    rows = _with_names(rows)
    is_newer = cursor is not None and cursor.newer
    if cursor is not None:
        rows = rows.filter(_after(field, cursor) if is_newer else _before(field, cursor))
    rows = rows.order_by(key.asc(), "id") if is_newer else rows.order_by(key.desc(), "-id")
    found = list(rows[: size + 1])
    return _frame(tuple(found[:size]), order, cursor=cursor, has_more=len(found) > size)


def _frame(calls: tuple[Call, ...], order: str, *, cursor: Cursor | None, has_more: bool) -> CallPage:
    field = ORDERS[order]

    def at(index: int, *, newer: bool = False) -> Cursor | None:
        return Cursor(getattr(calls[index], field), calls[index].pk, newer) if calls else None

    if cursor is not None and cursor.newer:
        calls = tuple(sorted(calls, key=lambda call: (getattr(call, field), call.pk), reverse=True))
        return CallPage(calls=calls, older=at(-1), newer=at(0, newer=True) if has_more else None)
    return CallPage(
        calls=calls, older=at(-1) if has_more else None, newer=at(0, newer=True) if cursor is not None else None
    )


def _with_names(rows: Any) -> QuerySet[Call]:
    named: QuerySet[Call] = rows.select_related("number", "agent", "agent_version").defer(
        "agent__draft", "agent_version__spec"
    )
    return named


def _matching(wanted: CallFilter) -> QuerySet[Call]:
    """What needs no search row: days, a caller's digits, a call SID; further filters only beside the latter two, which leave few."""
    rows: QuerySet[Call] = Call.objects.all()
    if wanted.since:
        rows = rows.filter(created_at__gte=wanted.since)
    if wanted.until:
        rows = rows.filter(created_at__lt=wanted.until)
    if _CALL_SID.match(wanted.search):
        rows = rows.filter(carrier_sid=wanted.search)
    elif len(wanted.digits) >= FEWEST_DIGITS:
        begins = wanted.digits[::-1]
        rows = rows.filter(caller_reversed__gte=begins, caller_reversed__lt=f"{begins}:")  # ":" follows "9"
    elif wanted.search:
        return rows.none()
    if wanted.facets:
        rows = rows.filter(search__facets__contains=list(wanted.facets))
    return rows


def _before(field: str, cursor: Cursor) -> Q:
    # The first condition bounds the index scan; the second settles equal values.
    key = cursor.key
    return Q(**{f"{field}__lte": key}) & (Q(**{f"{field}__lt": key}) | Q(pk__lt=cursor.call_id))


def _after(field: str, cursor: Cursor) -> Q:
    key = cursor.key
    return Q(**{f"{field}__gte": key}) & (Q(**{f"{field}__gt": key}) | Q(pk__gt=cursor.call_id))

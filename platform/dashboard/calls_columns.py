"""The columns the calls list can show: which there are, which stand there unless chosen otherwise; draws nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

SCREEN = "calls"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `order` names the sort that its head switches to (calls.readouts.listing.ORDERS)."""

    key: str
    label: str | Promise
    hint: str | Promise = ""
    is_number: bool = False
    is_fixed: bool = False
    is_usual: bool = True
    order: str = ""


COLUMNS: tuple[Column, ...] = (
    Column("time", _("Time"), is_fixed=True, order="time"),
    Column("caller", _("Caller and number"), is_fixed=True),
    Column("agent", _("Agent and path")),
    Column("outcome", _("Outcome")),
    Column("duration", _("Duration"), is_number=True, order="duration"),
    Column("turns", _("Turns"), is_number=True),
    Column(
        "latency",
        _("p95 latency"),
        _("End of the caller's speech to the first agent audio played; 95 of 100 turns were faster"),
        is_number=True,
        order="latency",
    ),
    Column("barge_ins", _("Barge-ins"), _("Times the caller spoke over the agent"), is_number=True, is_usual=False),
    Column("tools", _("Tools"), _("Tool runs: succeeded / failed"), is_number=True),
    Column("cost", _("Cost"), is_number=True, order="cost"),
    Column("flags", _("Flags and tags")),
    Column("reviewed", _("Reviewed"), is_usual=False),
    Column(
        "greeting",
        _("Greeting after"),
        _("The carrier's start to the first audio we sent"),
        is_number=True,
        is_usual=False,
    ),
    Column("sid", _("Call SID"), is_usual=False),
)
_KEYS = {column.key: column for column in COLUMNS}


def choose(wanted: Iterable[str]) -> tuple[Column, ...]:
    """The columns to show: the fixed ones, then those wanted, in their order; the usual ones when nothing known is wanted."""
    named = [_KEYS[key] for key in dict.fromkeys(wanted) if key in _KEYS and not _KEYS[key].is_fixed]
    fixed = tuple(column for column in COLUMNS if column.is_fixed)
    if not named:
        named = [column for column in COLUMNS if column.is_usual and not column.is_fixed]
    return (*fixed, *named)


def keep_known(wanted: Iterable[str]) -> list[str]:
    """The keys of movable columns among these; empty when they are the usual ones."""
    keys = [key for key in dict.fromkeys(wanted) if key in _KEYS and not _KEYS[key].is_fixed]
    usual = [column.key for column in COLUMNS if column.is_usual and not column.is_fixed]
    return [] if keys == usual else keys

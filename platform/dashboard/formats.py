"""Durations and places in time as the screens write them, in templates and in sentences alike."""

from __future__ import annotations

from decimal import Decimal

from django.utils import formats
from django.utils.translation import gettext


def duration(seconds: int | None) -> str:
    """Seconds as 1:42 or 1:02:03."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def clock(ms: int | None) -> str:
    """A place on the call's clock: 0:12.4."""
    if ms is None:
        return "–"
    tenths = int(ms) // 100
    return f"{duration(tenths // 10)}.{tenths % 10}"


def latency(ms: int | None) -> str:
    """A latency with its unit: 820 ms below ten seconds, seconds above."""
    if ms is None:
        return "–"
    if ms < 10_000:
        return gettext("%(ms)s ms") % {"ms": formats.number_format(ms, use_l10n=True, force_grouping=True)}
    return gettext("%(seconds)s s") % {"seconds": formats.number_format(Decimal(ms) / 1000, 1)}

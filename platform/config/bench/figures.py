"""Percentiles, rows and the printed table of the bench; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `met` is None where a run measured nothing it may be judged by."""

    what: str
    seen: str
    bar: str
    met: bool | None


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed; not a number without any."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def render(rows: Sequence[Row]) -> str:
    """A table for people and for the README."""
    verdicts = {True: "met", False: "MISSED", None: "not measured"}
    lines = ["| What | Seen | Bar | |", "|---|---|---|---|"]
    lines += [f"| {row.what} | {row.seen} | {row.bar} | {verdicts[row.met]} |" for row in rows]
    return "\n".join(lines)

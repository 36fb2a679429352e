"""One thing that preflight found: where, what, and how to mend it; values only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"  # the vendor or the path would refuse it, or a caller would suffer: not published
    WARNING = "warning"  # works, and will surprise somebody


@dataclass(frozen=True, slots=True)
class Finding:
    """`field` is the path in the agent, as `realtime.voice` or `tools[2].url`; the texts are for people, translated."""

    field: str
    message: str
    mend: str
    severity: Severity


Findings = Iterator[Finding]


def error(field: str, message: str, mend: str) -> Finding:
    return Finding(field, message, mend, Severity.ERROR)


def warning(field: str, message: str, mend: str) -> Finding:
    return Finding(field, message, mend, Severity.WARNING)

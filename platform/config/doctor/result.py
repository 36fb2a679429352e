"""What a check says: one line, and the mend when it failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report. `mend` says what to do when the verdict is not ok."""

    name: str
    verdict: Verdict
    detail: str
    mend: str = ""

    def __str__(self) -> str:
        line = f"{self.verdict.value:7} {self.name}: {self.detail}"
        return f"{line}\n        mend: {self.mend}" if self.mend and self.verdict is not Verdict.OK else line


Check = Callable[[], Iterator[Finding]]


def ok(name: str, detail: str) -> Finding:
    return Finding(name, Verdict.OK, detail)


def warning(name: str, detail: str, *, mend: str) -> Finding:
    return Finding(name, Verdict.WARNING, detail, mend)


def failed(name: str, detail: str, *, mend: str) -> Finding:
    return Finding(name, Verdict.FAILED, detail, mend)

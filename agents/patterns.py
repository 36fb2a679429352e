"""Finds regular expressions that could hang the process that runs them; reads the pattern, never runs it.

Python's engine backtracks: a repeat inside a repeat (`(a+)+`) takes exponential time on text that almost fits, and every call of the
process would fall silent meanwhile. The check is a heuristic that rather refuses a harmless pattern; it names how to write it instead.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field

MAX_PATTERN_CHARS = 500
MAX_OPEN_REPEATS = (
    6  # `*`, `+`, `{n,}` in one pattern: in the worst case the time grows with the text's length to this power
)
MAX_OPTIONALS = 20  # `?` and `{n,m}`: in the worst case the time doubles with each
MAX_COUNTED = 10  # `{n}` above this counts as open

_QUANTIFIER = re.compile(r"(?:[*+?]|\{(\d*)(,?)(\d*)\})[?+]?")
_GROUP_HEAD = re.compile(
    r"\((?:\?(?:P<\w+>|<?[=!]|[aiLmsux]*(?:-[imsx]+)?:|>|P=\w+(?=\))|\(\w+\)|[aiLmsux]+(?=\))|#[^)]*))?"
)


@dataclass(slots=True)
class _Group:
    """One open parenthesis: what was seen inside so far."""

    open_repeats: int = 0
    optionals: int = 0
    branches: int = 1
    starts: list[str] = field(default_factory=list)  # first atom of each branch, as written
    at_start: bool = True

    @property
    def varies(self) -> bool:
        return self.open_repeats > 0 or self.optionals > 0

    def note_atom(self, atom: str) -> None:
        if self.at_start:
            self.starts.append(atom.lower())
            self.at_start = False

    def absorb(self, inner: _Group, times: int) -> None:
        self.open_repeats += inner.open_repeats * times
        self.optionals += inner.optionals * times

    def branches_differ(self) -> bool:
        """No two branches can begin with the same character, so the engine never tries a second one in vain."""
        if self.branches == 1:
            return True
        plain = {start for start in self.starts if len(start) == 1 and start not in ".^$("}
        return len(plain) == self.branches


def find_pattern_fault(pattern: str) -> str | None:
    """Why this pattern may not be used, as an English sentence without a full stop; None when it may."""
    if len(pattern) > MAX_PATTERN_CHARS:
        return f"the pattern is longer than {MAX_PATTERN_CHARS} characters"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # `[[` and the like will mean something else one day
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError, FutureWarning) as error:
        return f"not a regular expression: {error}"
    return _find_repeat_fault(pattern)


def _find_repeat_fault(pattern: str) -> str | None:
    """Walks the text of a pattern that compiles, so brackets are known to close."""
    stack = [_Group()]
    position = 0
    while position < len(pattern):
        char = pattern[position]
        if char == "(":
            stack[-1].note_atom("(")
            stack.append(_Group())
            head = _GROUP_HEAD.match(pattern, position)
            position = head.end() if head is not None else position + 1
            continue
        if char == "|":
            stack[-1].branches += 1
            stack[-1].at_start = True
            position += 1
            continue
        closed: _Group | None = None
        if char == ")":
            closed = stack.pop()
            end = position + 1
        else:
            end = _end_of_atom(pattern, position)
            stack[-1].note_atom(pattern[position:end])
        quantifier = _QUANTIFIER.match(pattern, end)
        least, most = (1, 1) if quantifier is None else _read_bounds(quantifier)
        position = end if quantifier is None else quantifier.end()
        is_open = most is None or most > MAX_COUNTED
        if closed is not None and is_open:
            if closed.varies:
                return "a repeat inside a repeat, such as (a+)+, can hang; repeat a single character or class instead"
            if not closed.branches_differ():
                return (
                    "repeated alternatives that may begin alike, such as (a|ab)*, can hang; let each begin differently"
                )
        if closed is not None and most is not None:
            stack[-1].absorb(closed, most)
        if most is None or (is_open and most != least):
            stack[-1].open_repeats += 1
        elif most != least:
            stack[-1].optionals += 1
    whole = stack[0]
    if whole.open_repeats > MAX_OPEN_REPEATS or whole.optionals > MAX_OPTIONALS:
        return f"more than {MAX_OPEN_REPEATS} open repeats (* or +) or {MAX_OPTIONALS} optional parts can hang; write several patterns"
    return None


def _end_of_atom(pattern: str, position: int) -> int:
    if pattern[position] == "\\":
        return position + 2
    if pattern[position] != "[":
        return position + 1
    end = position + 1
    if pattern[end] == "^":
        end += 1
    if pattern[end] == "]":  # a first bracket is literal
        end += 1
    while pattern[end] != "]":
        end += 2 if pattern[end] == "\\" else 1
    return end + 1


def _read_bounds(quantifier: re.Match[str]) -> tuple[int, int | None]:
    """Least and most repeats; None for no upper bound."""
    sign = quantifier.group()[0]
    if sign != "{":
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
    low, comma, high = quantifier.groups()
    least = int(low or 0)
    if not comma:
        return least, least
    return least, int(high) if high else None

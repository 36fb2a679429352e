"""Regular expressions that could hang a process are found by reading them, and ordinary ones are left alone."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.patterns import find_pattern_fault


@pytest.mark.parametrize(
    "pattern",
    [
        "refund",
        r"\b(?:guarantee|promise)\w*\s+(?:a\s+)?(?:full\s+)?refund",
        r"\d{1,3}(?:\.\d{1,3}){3}",
        r"^[A-Z]{2}\d{2}[ ]?(?:\d{4}[ ]?){3}\d{2}$",
        r"(?i:credit)\s*card",
        r"(?P<word>idiot|fool)",
        r"(?:a|b)+",
        r"[(a+)+]",
        r"[^]()+*]+x",
        r"[]()+*]+x",
        r"\(a+\)+",
        r"(?#note a+)abc",
        r"(?=.*secret)x",
        r"a{,3}b{2,}c{4}",
        r"(abc)+",
        r"(ab){40}",
        "",
        "a|b|",
        r"x\\+",
    ],
)
def test_ordinary_patterns_may_be_used(pattern: str) -> None:
    assert find_pattern_fault(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"(a+)+$", "repeat inside a repeat"),
        (r"(?:a*)*b", "repeat inside a repeat"),
        (r"(?P<x>\w+\s?){2,}!", "repeat inside a repeat"),
        (r"((ab)*c)+", "repeat inside a repeat"),
        (r"(a?){40}b", "repeat inside a repeat"),
        (r"(a+){30}", "repeat inside a repeat"),
        (r"([a-z]+)*\d", "repeat inside a repeat"),
        (r"(a|ab)*c", "begin alike"),
        (r"(a|A)+", "begin alike"),
        (r"(a|)*", "begin alike"),
        (r"(?:\w|\d)+", "begin alike"),
        (r"(.|b)+", "begin alike"),
        (r"((a)|b)+", "begin alike"),
        (r"(a+){4}(b+){4}", "open repeats"),
        (r".*a.*b.*c.*d.*e.*f.*g", "open repeats"),
        ("a?" * 21 + "a" * 21, "optional parts"),
        ("[[a]", "nested set"),
        ("(", "not a regular expression"),
        ("a{99999999999}", "not a regular expression"),
        ("x" * 501, "longer than"),
    ],
)
def test_patterns_that_could_hang_are_refused_with_a_mend(pattern: str, words: str) -> None:
    fault = find_pattern_fault(pattern)
    assert fault is not None
    assert words in fault


@given(st.text(alphabet="ab()|*+?{}[]^\\.$,:=!<>P2 ", max_size=24))
def test_any_text_gets_a_verdict(pattern: str) -> None:
    find_pattern_fault(pattern)


@given(st.from_regex(r"[ab.]{1,2}[*+?]?(\([ab]{1,2}[*+?]?(\|[ab][*+?]?)?\)[*+?]?){1,2}[ab]?", fullmatch=True))
def test_what_is_let_through_ends_soon_on_hostile_text(pattern: str) -> None:
    if find_pattern_fault(pattern) is None:
        started = time.process_time()
        re.compile(pattern + "!").search("ab" * 20 + "a" * 40)
        assert time.process_time() - started < 1.0

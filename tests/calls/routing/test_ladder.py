"""The next rung, for every ladder and every lack."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from calls.routing.ladder import Means, find_rung, index_of
from calls.vocabulary import Cause, Fault, Step

LADDERS = st.lists(st.sampled_from([str(step) for step in Step]), max_size=8)
MEANS = st.builds(
    Means,
    has_agent=st.booleans(),
    person_e164=st.sampled_from(["", "+15550001111"]),
    dialled=st.sampled_from([frozenset(), frozenset({"+15550001111"})]),
)


@given(ladder=LADDERS, start=st.integers(0, 9), means=MEANS)
def test_every_rung_is_taken_or_skipped_with_its_reason(ladder: list[str], start: int, means: Means) -> None:
    move = find_rung(ladder, start=start, means=means)
    end = len(ladder) if move.step is None else move.index
    assert [str(step) for step, _cause, _fault in move.skipped] == ladder[start:end]
    if move.step is not None:
        assert ladder[move.index] == move.step
        assert move.index >= start


@given(ladder=LADDERS, start=st.integers(0, 9), means=MEANS)
def test_voicemail_and_goodbye_always_work(ladder: list[str], start: int, means: Means) -> None:
    move = find_rung(ladder, start=start, means=means)
    if {"voicemail", "goodbye"} & set(ladder[start:]):
        assert move.step is not None
    assert all(step not in (Step.VOICEMAIL, Step.GOODBYE) for step, _cause, _fault in move.skipped)


@given(ladder=LADDERS, means=MEANS)
def test_moving_on_ends(ladder: list[str], means: Means) -> None:
    start = 0
    for _ in range(len(ladder) + 1):
        move = find_rung(ladder, start=start, means=means)
        if move.step is None:
            return
        start = move.index + 1
    raise AssertionError("a rung came twice")


def test_each_lack_is_named() -> None:
    ladder = ["streams", "person", "sip", "voicemail"]
    bare = find_rung(ladder, start=0, means=Means(has_agent=False))
    assert bare.skipped == (
        (Step.STREAMS, Cause.NO_AGENT, Fault.US),
        (Step.PERSON, Cause.NO_CONTACT, Fault.US),
        (Step.SIP, Cause.NO_AGENT, Fault.US),
    )
    tried = Means(has_agent=True, person_e164="+1555", dialled=frozenset({"+1555"}))
    assert find_rung(ladder, start=1, means=tried).skipped[0] == (Step.PERSON, Cause.PERSON_FAILED, Fault.PERSON)


def test_a_step_that_is_no_rung_leaves_the_place() -> None:
    assert index_of(["streams", "voicemail"], Step.VOICEMAIL, default=0) == 1
    assert index_of(["streams"], Step.VOICEMAIL, default=0) == 0

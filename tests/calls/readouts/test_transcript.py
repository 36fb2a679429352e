"""The transcript's order and what of it was heard; rows are never saved here."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from calls.models import Turn
from calls.readouts.transcript import order_turns, read_transcript, split_turn


def turn(sequence: int, item: str, after: str = "", role: str = "agent", **fields: object) -> Turn:
    return Turn(sequence=sequence, item_id=item, previous_item_id=after, role=role, **{"status": "complete", **fields})


def items(turns: list[Turn]) -> list[str]:
    return [one.item_id for one in order_turns(turns)]


def test_late_transcription_stands_where_the_caller_spoke() -> None:
    """The caller's item got its sequence after the answer, because its transcription came late."""
    assert items([turn(0, "greeting"), turn(1, "answer", "question"), turn(2, "question", "greeting", "caller")]) == [
        "greeting", "question", "answer",
    ]  # fmt: skip


def test_piece_after_a_tool_call_stands_by_its_sequence() -> None:
    turns = [turn(0, "a"), turn(1, "b", "tool_item"), turn(2, "c", "b"), turn(3, "d", "another_tool_item")]
    assert items(turns) == ["a", "b", "c", "d"]


def test_rebuilt_session_goes_on_after_the_first() -> None:
    assert items([turn(0, "a"), turn(1, "b", "a"), turn(2, "x"), turn(3, "y", "x")]) == ["a", "b", "x", "y"]


def test_items_that_name_each_other_lose_no_words() -> None:
    assert sorted(items([turn(0, "a", "b"), turn(1, "b", "a"), turn(2, "c", "c")])) == ["a", "b", "c"]


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 12)), max_size=12))
def test_every_turn_is_shown_exactly_once(links: list[tuple[int, int]]) -> None:
    turns = [turn(sequence, f"i{item}", f"i{after}") for sequence, (item, after) in enumerate(links)]
    assert sorted(one.sequence for one in order_turns(turns)) == list(range(len(turns)))


def test_words_that_were_cut_are_kept_apart() -> None:
    line = split_turn(turn(0, "a", status="interrupted", generated="One two three four.", heard="One two"))
    assert (line.heard, line.unheard, line.is_final) == ("One two", "three four.", True)


def test_heard_words_that_are_no_beginning_hide_nothing_of_what_was_generated() -> None:
    line = split_turn(turn(0, "a", status="interrupted", generated="One two three.", heard="Something else"))
    assert (line.heard, line.unheard) == ("Something else", "One two three.")


def test_complete_turn_was_heard_whole_and_open_one_is_still_coming() -> None:
    assert split_turn(turn(0, "a", generated="All of it.", heard="All of")).unheard == ""
    line = split_turn(turn(0, "a", status="open", generated="All of it."))
    assert (line.heard, line.unheard, line.is_final) == ("", "All of it.", False)


def test_caller_is_always_heard() -> None:
    (line,) = read_transcript([turn(0, "a", role="caller", status="interrupted", generated="Hello", heard="")])
    assert (line.heard, line.unheard, line.is_caller) == ("Hello", "", True)


def test_playout_is_what_the_model_did_not_take() -> None:
    assert split_turn(turn(0, "a", model_latency_ms=400, turn_latency_ms=640)).playout_ms == 240
    assert split_turn(turn(0, "a", turn_latency_ms=640)).playout_ms is None


def test_turn_begins_when_it_was_heard_not_when_it_was_written() -> None:
    """The answer was generated while the commentary still played."""
    answer = turn(0, "a", status="interrupted", started_ms=8_500, ended_ms=11_400, heard_ms=1_700)
    assert split_turn(answer).from_ms == 9_700
    assert split_turn(turn(0, "a", status="open", started_ms=8_500)).from_ms == 8_500
    assert split_turn(turn(0, "a", role="caller", started_ms=5_000, ended_ms=7_000)).from_ms == 5_000

"""The playout queue in pure arithmetic: what is played when, marks, clear, and the buffer's end (twilio.md §1.5)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emulators.twilio.playout import SILENCE, Playout

A, B, C = b"a" * 800, b"b" * 800, b"c" * 800


def test_chunks_play_one_after_the_other_in_order_of_arrival() -> None:
    playout = Playout()
    playout.enqueue(A, now=100, source="MZ")
    playout.enqueue(B, now=150, source="MZ")
    playout.enqueue(C, now=5000, source="MZ")
    assert [piece.start for piece in playout.history] == [100, 900, 5000]
    assert [piece.offset for piece in playout.history] == [0, 800, 1600]
    assert playout.read(880, 920) == b"a" * 20 + b"b" * 20
    assert playout.read(1690, 1710) == b"b" * 10 + bytes([SILENCE]) * 10
    assert playout.read(2000, 2160) is None
    assert playout.read(4990, 5010) == bytes([SILENCE]) * 10 + b"c" * 10


def test_mark_is_due_after_all_audio_before_it_and_at_once_on_an_empty_queue() -> None:
    playout = Playout()
    assert playout.mark("empty", now=7).due == 7
    playout.enqueue(A, now=10, source="MZ")
    playout.mark("after", now=20)
    assert [mark.name for mark in playout.take_due(809)] == ["empty"]
    assert playout.next_due() == 810
    assert [mark.name for mark in playout.take_due(810)] == ["after"]


def test_clear_cuts_the_playing_piece_drops_the_queue_and_flushes_all_marks() -> None:
    playout = Playout()
    for audio in (A, B, C):
        playout.enqueue(audio, now=0, source="MZ")
        playout.mark(audio[:1].decode(), now=0)
    playout.take_due(800)
    flushed = playout.clear(now=1000, source="MZ")
    assert [mark.name for mark in flushed] == ["b", "c"]
    (clear,) = playout.clears
    assert (clear.played, clear.received, clear.piece_played) == (1000, 2400, 200)
    assert clear.piece is playout.history[1]
    assert playout.next_due() is None
    assert playout.enqueue(A, now=1000, source="MZ") is not None
    assert playout.read(990, 1010) == b"b" * 10 + b"a" * 10


def test_what_was_played_of_one_item_is_told_by_its_place_in_the_stream() -> None:
    playout = Playout()
    for audio in (A, B, C):
        playout.enqueue(audio, now=0, source="MZ")
    playout.enqueue(A, now=0, source="MZother")
    playout.clear(now=1000, source="MZ")
    assert playout.played_between("MZ", 0, 500, now=5000) == 500
    assert playout.played_between("MZ", 500, 1600, now=5000) == 500
    assert playout.played_between("MZ", 1600, 2400, now=5000) == 0
    assert playout.played_between("MZ", 0, 2400, now=5000) == playout.clears[0].played


def test_clear_on_silence_has_nothing_playing() -> None:
    playout = Playout()
    playout.enqueue(A, now=0, source="MZ")
    playout.clear(now=5000, source="MZ")
    assert playout.clears[0].piece is None
    assert playout.clears[0].played == 800


def test_tail_keeps_playing_after_clear() -> None:
    playout = Playout()
    playout.enqueue(A, now=0, source="MZ")
    playout.clear(now=100, source="MZ", tail=80)
    assert playout.history[0].played(10_000) == 180
    assert playout.clears[0].played == 180


def test_audio_beyond_the_buffer_is_discarded_whole() -> None:
    playout = Playout()
    assert playout.enqueue(A, now=0, source="MZ", limit=1000) is not None
    assert playout.enqueue(B, now=0, source="MZ", limit=1000) is None
    assert playout.enqueue(B, now=700, source="MZ", limit=1000) is not None
    assert playout.discarded == [(0, 800)]
    assert playout.received("MZ") == 1600


operations = st.lists(
    st.tuples(st.sampled_from(["media", "mark", "clear", "wait"]), st.integers(min_value=1, max_value=2000)),
    max_size=60,
)


@given(operations)
def test_nothing_is_heard_twice_or_lost_whatever_happens(steps: list[tuple[str, int]]) -> None:
    """Against a sample-by-sample carrier that really keeps a queue of bytes."""
    playout, now = Playout(), 0
    queue = bytearray()
    line = bytearray()
    marks: list[tuple[str, int]] = []  # (name, bytes of the queue still before it)
    returned: list[str] = []
    model_returned: list[str] = []
    for number, (kind, size) in enumerate(steps):
        if kind == "media":
            audio = bytes([number % 200]) * size
            playout.enqueue(audio, now=now, source="MZ")
            queue += audio
        elif kind == "mark":
            playout.mark(str(number), now=now)
            marks.append((str(number), len(queue)))
        elif kind == "clear":
            returned += [mark.name for mark in playout.clear(now=now, source="MZ")]
            queue.clear()
            model_returned += [name for name, _ in marks]
            marks = []
        else:
            now += size
            line += bytes(queue[:size]).ljust(size, bytes([SILENCE]))
            del queue[:size]
            marks = [(name, max(0, before - size)) for name, before in marks]
        returned += [mark.name for mark in playout.take_due(now)]
        model_returned += [name for name, before in marks if before == 0]
        marks = [(name, before) for name, before in marks if before]
        assert returned == model_returned
    assert (playout.read(0, now) if now else None) in {
        bytes(line),
        None if line.strip(bytes([SILENCE])) else bytes(line),
        None,
    }
    heard = bytearray([SILENCE]) * now
    for start, audio in playout.heard(now=now):
        heard[start : start + len(audio)] = audio
    assert bytes(heard) == bytes(line)

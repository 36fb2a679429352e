"""Heard time, pacing and marks, held against a carrier that plays in virtual time."""

from __future__ import annotations

import random
from statistics import mean

import pytest

from calls.session import commands as do
from calls.session import events as ev
from calls.session.plan import Limits
from tests.calls.session.script import Call


def barge_in(call: Call, seed: int) -> None:
    """One turn with two items, cut at a random moment, maybe after generation finished."""
    pick = random.Random(seed)
    response_id = call.begin()
    call.speak(response_id, "One moment please.", ms=pick.randrange(300, 1500), phase="commentary")
    if pick.random() < 0.5:
        call.run(pick.uniform(0, 300))
    call.speak(response_id, "Your order is on its way.", ms=pick.randrange(500, 6000), phase="final_answer")
    finished = pick.random() < 0.5
    if finished:
        call.end(response_id)
    call.run(pick.uniform(50, 5000))
    call.interrupt()
    if not finished:
        call.end(response_id, "cancelled", reason="turn_detected")
    call.run(700)
    call.feed(ev.SpeechStopped(item_id="user_x", audio_end_ms=1))
    call.feed(ev.CallerTurnCommitted(item_id=f"user_{seed}"))
    call.run(pick.uniform(100, 900))


@pytest.mark.parametrize("delay_ms", [0.0, 80.0])
def test_truncation_is_what_the_carrier_really_played(delay_ms: float) -> None:
    call = Call(delay_ms=delay_ms)
    call.greet()
    for seed in range(300):
        barge_in(call, seed)

    errors = [abs(error) for error in call.errors_ms]
    assert len(errors) > 150
    assert mean(errors) <= 0.5  # the fraction that an integer cannot say
    assert max(errors) < 1


def test_truncation_stays_close_when_we_are_late_to_look() -> None:
    call = Call(delay_ms=80, late_ms=12)
    call.greet()
    for seed in range(300):
        barge_in(call, seed)

    errors = [abs(error) for error in call.errors_ms]
    assert mean(errors) <= 12
    assert max(errors) <= 40


def test_truncation_follows_a_carrier_whose_clock_is_slow() -> None:
    call = Call(delay_ms=20, rate=0.97)
    call.greet()
    for seed in range(100):
        barge_in(call, seed)

    assert mean(abs(error) for error in call.errors_ms) <= 8


def test_output_is_split_marked_and_paced() -> None:
    call = Call()
    call.greet()
    item_id = call.reply(ms=5000)
    call.run(6000)

    pieces = [(at, c) for at, c in call.done if isinstance(c, do.Play) and c.item_id == item_id]
    assert [piece.start for _, piece in pieces] == [0, *[piece.end for _, piece in pieces][:-1]]
    assert pieces[-1][1].end == 40_000
    assert max(piece.end - piece.start for _, piece in pieces) == 960
    assert len({piece.mark for _, piece in pieces}) == len(pieces)
    assert call.carrier.deepest_ms <= 401
    assert call.carrier.gaps_ms <= 0.1


def test_pacing_leaves_no_gap_over_a_slow_line() -> None:
    call = Call(delay_ms=150)
    call.greet()
    call.reply(ms=8000)
    call.run(12_000)

    assert call.carrier.gaps_ms <= 0.1
    assert call.carrier.deepest_ms <= 540  # before the first round trip is known, half of it comes on top


def test_small_deltas_are_gathered_while_enough_is_at_the_carrier() -> None:
    call = Call()
    call.greet()
    response_id = call.begin()
    before = len(call.all(do.Play))
    for _ in range(100):
        call.feed(ev.ModelAudio(response_id=response_id, item_id="item_x", content_index=0, size=160))
        call.run(5)
    call.run(3000)
    call.end(response_id)

    assert len(call.all(do.Play)) - before < 30
    assert call.session.parts.playback.idle


def test_the_first_piece_goes_at_once_however_small() -> None:
    call = Call()
    call.greet()
    response_id = call.begin()

    played = call.feed(ev.ModelAudio(response_id=response_id, item_id="item_x", content_index=0, size=80))

    assert [(c.start, c.end) for c in played if isinstance(c, do.Play)] == [(0, 80)]


def test_a_probe_goes_before_the_first_piece_of_each_utterance() -> None:
    call = Call(delay_ms=60)
    call.start()
    assert call.last(do.SendMark).mark == "g1.1:1"
    call.run(200)
    assert call.session.parts.playback.round_trip_ms == pytest.approx(120)

    call.reply(ms=500)

    order = [type(c).__name__ for _, c in call.done if isinstance(c, do.SendMark | do.Play)]
    assert order[:3] == ["SendMark", "SendMark", "Play"]


def test_before_any_mark_returned_the_two_delays_cancel() -> None:
    call = Call(delay_ms=80)
    call.feed(ev.ModelReady(session_id="s", model="m"), ev.StreamStarted(stream_sid="MZ1"))
    call.reply(ms=3000)
    call.run(70)

    call.interrupt()
    call.run(500)

    assert call.last(do.TruncateItem).audio_end_ms == 70
    assert abs(call.errors_ms[0]) < 1


def test_a_carrier_that_stalls_is_not_credited_with_playing() -> None:
    call = Call(returns_marks=False)
    call.start()
    call.reply(ms=3000)
    call.run(1500)

    call.interrupt()

    assert call.last(do.TruncateItem).audio_end_ms <= 120


def test_a_carrier_that_forgets_its_marks_does_not_hold_the_call_up() -> None:
    call = Call(returns_marks=False)
    call.start()
    item_id = call.reply(ms=1000)
    call.run(6000)

    assert call.turn(item_id).status == "complete"
    assert call.events("peer_error")[-1]["problem"] == "marks did not come back"
    assert call.session.parts.playback.idle


@pytest.mark.parametrize("name", ["", "g1.1:", "g1.1:x", "g1.1:99999", "g0.1:1", "g2.1:1", "done:item"])
def test_foreign_marks_say_nothing(name: str) -> None:
    call = Call()
    call.start()
    item_id = call.reply(ms=2000)
    call.run(100)

    call.feed(ev.MarkReturned(name=name))

    part = call.session.parts.playback.parts[item_id, 0]
    assert part.heard == 0


def test_a_mark_that_was_lost_is_covered_by_the_next() -> None:
    call = Call(returns_marks=False)
    call.start()
    item_id = call.reply(ms=360)
    marks = [c.mark for c in call.all(do.Play)]
    call.run(360)

    call.feed(ev.MarkReturned(name=marks[-1]))
    call.feed(ev.MarkReturned(name=marks[0]))

    assert call.turn(item_id).status == "complete"


def test_audio_after_its_end_is_noted_and_dropped() -> None:
    call = Call()
    call.start()
    response_id = call.begin()
    item_id = call.speak(response_id, ms=200)
    late = ev.ModelAudio(response_id=response_id, item_id=item_id, content_index=0, size=800)

    call.feed(late)
    call.run(500)
    call.feed(late)

    assert [data["problem"] for data in call.events("peer_error")] == ["audio after its end"] * 2
    assert call.turn(item_id).generated_ms == 200


def test_the_end_of_an_unknown_part_changes_nothing() -> None:
    call = Call()
    call.start()
    response_id = call.begin()

    assert call.feed(ev.ModelAudioDone(response_id=response_id, item_id="item_x", content_index=0)) == []


def test_audio_is_given_back_when_it_was_heard() -> None:
    call = Call()
    call.start()
    item_id = call.reply(ms=1000)
    call.run(900)
    assert not call.all(do.DropAudio)

    call.run(200)

    assert call.all(do.DropAudio) == [do.DropAudio(item_id=item_id, content_index=0)]
    assert call.session.parts.playback.parts == {}


def test_the_lead_is_a_setting() -> None:
    call = Call(limits=Limits(lead_ms=2000, piece_ms=100))
    call.start()
    call.reply(ms=5000)

    assert len(call.all(do.Play)) == 20


def test_no_probe_is_sent_into_a_full_queue() -> None:
    call = Call()
    call.start()
    call.reply(ms=1000)
    call.session.ctx.out = out = []

    call.session.parts.playback.probe()

    assert out == []


def test_a_carrier_that_answers_no_bare_mark_teaches_the_round_trip_by_its_first_piece() -> None:
    call = Call(delay_ms=80, answers_probes=False)
    call.greet()
    assert call.session.parts.playback.round_trip_ms == pytest.approx(160)
    for seed in range(100):
        barge_in(call, seed)

    assert mean(abs(error) for error in call.errors_ms) <= 0.5


def test_a_mark_that_is_back_too_soon_teaches_nothing() -> None:
    call = Call(returns_marks=False)
    call.start()
    call.reply(ms=360)
    call.run(10)

    call.feed(ev.MarkReturned(name=call.all(do.Play)[0].mark))

    assert call.session.parts.playback.round_trip_ms == 0

"""The caller speaks over the agent: the carrier is cleared first, and the model remembers exactly what was heard (§7.5, §9.3)."""

from __future__ import annotations

import msgspec

from agents.spec import Realtime, TurnDetection
from calls.session import commands as do
from calls.session import events as ev
from tests.calls.session.script import RECEPTION, Call


def make_call(**fields: object) -> Call:
    call = Call(agent=msgspec.structs.replace(RECEPTION, **fields))
    call.greet()
    call.caller_says("Where is my order?")
    return call


def test_speech_during_generation_clears_first_and_truncates_within_what_was_received() -> None:
    call = make_call()
    response_id = call.begin()
    item_id = call.speak(response_id, "It left our house this morning.", ms=2000, done=False)
    call.run(500)

    cut = call.interrupt()

    assert isinstance(cut[0], do.ClearPlayback)
    assert [c for c in cut if isinstance(c, do.TruncateItem)] == [
        do.TruncateItem(
            event_id=call.last(do.TruncateItem).event_id, item_id=item_id, content_index=0, audio_end_ms=500
        )
    ]
    assert not [c for c in cut if isinstance(c, do.CancelResponse)]
    assert call.events("barge_in")[-1] == {
        "generating": True,
        "cut": [{"item_id": item_id, "part": 0, "heard_ms": 500}],
    }


def test_speech_after_generation_clears_and_truncates_without_cancelling() -> None:
    call = make_call()
    item_id = call.reply("It left our house this morning and arrives tomorrow.", ms=4000)
    call.run(1000)

    cut = call.interrupt()

    assert isinstance(cut[0], do.ClearPlayback)
    assert call.last(do.TruncateItem).audio_end_ms == 1000
    assert not call.all(do.CancelResponse)
    assert call.events("barge_in")[-1]["generating"] is False
    turn = call.turn(item_id)
    assert (turn.status, turn.heard, turn.heard_ms, turn.generated_ms) == ("interrupted", "It left our", 1000, 4000)
    assert turn.generated == "It left our house this morning and arrives tomorrow."


def test_marks_that_a_clear_returns_do_not_count_as_heard() -> None:
    call = make_call()
    item_id = call.reply(ms=4000)
    call.run(1000)
    stale = [c.mark for c in call.all(do.Play) if c.item_id == item_id]
    call.interrupt()

    for mark in stale:
        call.feed(ev.MarkReturned(name=mark))

    assert call.turn(item_id).heard_ms == 1000


def test_commentary_that_was_heard_is_left_alone_and_the_answer_is_truncated() -> None:
    call = make_call()
    response_id = call.begin()
    first = call.speak(response_id, "One moment.", ms=800, phase="commentary")
    second = call.speak(response_id, "Your order left this morning.", ms=3000, phase="final_answer")
    call.run(1800)

    call.interrupt()

    assert [(c.item_id, c.audio_end_ms) for c in call.all(do.TruncateItem)] == [(second, 1000)]
    assert not call.all(do.DeleteItem)
    assert call.turn(first).status == "complete"
    assert (call.turn(first).phase, call.turn(second).phase) == ("commentary", "final_answer")
    assert call.turn(second).status == "interrupted"


def test_an_item_of_which_nothing_was_heard_is_deleted() -> None:
    call = make_call()
    response_id = call.begin()
    first = call.speak(response_id, "One moment.", ms=2000)
    second = call.speak(response_id, "Your order left this morning.", ms=3000)
    call.run(1000)

    call.interrupt()

    assert [c.item_id for c in call.all(do.TruncateItem)] == [first]
    assert [c.item_id for c in call.all(do.DeleteItem)] == [second]
    assert call.turn(second).status == "unheard"
    assert call.turn(second).heard == ""


def test_a_later_part_of_a_heard_item_is_truncated_never_deleted() -> None:
    call = make_call()
    response_id = call.begin()
    item_id = call.speak(response_id, "One moment.", ms=800)
    for size in (8000, 8000):
        call.feed(ev.ModelAudio(response_id=response_id, item_id=item_id, content_index=1, size=size))
    call.feed(ev.ModelAudio(response_id=response_id, item_id=item_id, content_index=2, size=8000))
    call.run(1300)

    call.interrupt()

    assert [(c.content_index, c.audio_end_ms) for c in call.all(do.TruncateItem)] == [(1, 500), (2, 0)]
    assert not call.all(do.DeleteItem)


def test_an_unheard_item_with_two_parts_is_deleted_once() -> None:
    call = make_call()
    response_id = call.begin()
    call.speak(response_id, "One moment.", ms=2000)
    call.feed(ev.ModelAudio(response_id=response_id, item_id="item_x", content_index=0, size=8000))
    call.feed(ev.ModelAudioDone(response_id=response_id, item_id="item_x", content_index=0))
    call.feed(ev.ModelAudio(response_id=response_id, item_id="item_x", content_index=1, size=8000))
    call.run(500)

    call.interrupt()

    assert [c.item_id for c in call.all(do.DeleteItem)] == ["item_x"]


def test_late_audio_and_words_of_a_cut_response_are_dropped() -> None:
    call = make_call()
    response_id = call.begin()
    item_id = call.speak(response_id, "It left", ms=1000, done=False)
    call.run(500)
    call.interrupt()
    played = len(call.all(do.Play))

    call.feed(ev.ModelAudio(response_id=response_id, item_id=item_id, content_index=0, size=1600))
    call.feed(ev.AgentText(response_id=response_id, item_id=item_id, content_index=0, text=" our house"))
    call.end(response_id, "cancelled", reason="turn_detected")
    call.run(2000)

    assert len(call.all(do.Play)) == played
    assert call.turn(item_id).generated == "It left"
    assert [c.item_id for c in call.all(do.DropAudio)].count(item_id) == 2


def test_an_item_without_audio_is_deleted_when_its_cut_response_ends() -> None:
    call = make_call()
    response_id = call.begin()
    call.feed(ev.AgentItemAdded(response_id=response_id, item_id="item_x"))
    call.feed(ev.AgentText(response_id=response_id, item_id="item_x", content_index=0, text="It"))

    cut = call.interrupt()
    assert not [c for c in cut if isinstance(c, do.ClearPlayback | do.DeleteItem | do.TruncateItem)]
    call.end(response_id, "cancelled", reason="turn_detected")

    assert [c.item_id for c in call.all(do.DeleteItem)] == ["item_x"]
    assert call.turn("item_x").status == "unheard"


def test_speech_into_silence_clears_nothing() -> None:
    call = make_call()
    call.reply(ms=500)
    call.run(1000)

    call.interrupt()

    assert not call.all(do.ClearPlayback)
    assert not call.events("barge_in")


def test_speech_when_all_received_audio_was_heard_still_tells_the_model_how_much() -> None:
    call = make_call()
    response_id = call.begin()
    item_id = call.speak(response_id, "It left", ms=600, done=False)
    call.run(1500)

    call.interrupt()

    assert call.last(do.TruncateItem).audio_end_ms == 600
    assert call.turn(item_id).status == "interrupted"


def test_what_the_round_trip_lets_through_to_the_end_is_not_cut() -> None:
    call = Call(delay_ms=80)
    call.greet()
    item_id = call.reply("Yes.", ms=500)
    call.run(500)

    call.interrupt()

    assert not call.all(do.TruncateItem)
    assert call.turn(item_id).status == "complete"


def test_without_server_interruption_the_session_cancels() -> None:
    call = make_call(realtime=Realtime(turn_detection=TurnDetection(interrupt_response=False)))
    response_id = call.begin()
    call.speak(response_id, ms=2000, done=False)
    call.run(500)

    cut = call.interrupt()

    assert isinstance(cut[0], do.ClearPlayback)
    assert [c.response_id for c in cut if isinstance(c, do.CancelResponse)] == [response_id]


def test_an_agent_that_may_not_be_interrupted_is_not() -> None:
    call = make_call(barge_in=False)
    item_id = call.reply(ms=2000)
    call.run(500)

    call.caller_says("But")
    call.run(3000)

    assert not call.all(do.ClearPlayback)
    assert not call.all(do.TruncateItem)
    assert call.turn(item_id).status == "complete"


def test_a_second_barge_in_works_on_the_next_playback() -> None:
    call = make_call()
    call.reply(ms=2000)
    call.run(500)
    call.caller_says("No, the other one.")
    call.reply(ms=3000)
    call.run(700)

    call.interrupt()

    assert [c.audio_end_ms for c in call.all(do.TruncateItem)] == [500, 700]
    assert [c.mark.split(":")[0] for c in call.all(do.Play)][-1] == "g1.2"


def test_a_lost_truncation_is_noted_and_the_call_goes_on() -> None:
    call = make_call()
    call.reply(ms=2000)
    call.run(500)
    call.interrupt()

    call.feed(
        ev.ModelErrored(
            code="invalid_value",
            message="Audio content of 400ms is already shorter than 500ms",
            event_id=call.last(do.TruncateItem).event_id,
        )
    )

    assert call.events("peer_error")[-1]["problem"] == "invalid_value"
    assert call.session.phase == "live"


def test_a_part_that_ends_after_all_of_it_was_heard_is_complete() -> None:
    call = make_call()
    response_id = call.begin()
    item_id = call.speak(response_id, "Yes.", ms=400, done=False)
    call.run(1000)
    assert call.turn(item_id).status == "open"

    call.feed(ev.ModelAudioDone(response_id=response_id, item_id=item_id, content_index=0))

    assert call.turn(item_id).status == "complete"


def test_nothing_is_deleted_in_a_session_that_is_gone() -> None:
    call = make_call()
    response_id = call.begin()
    call.feed(ev.AgentItemAdded(response_id=response_id, item_id="item_x"))
    call.interrupt()

    call.feed(ev.ModelLost(cause="model_lost"))

    assert not call.all(do.DeleteItem)

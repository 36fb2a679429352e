"""The transcript: generated and heard text, order of record, late and failed transcripts, latency (product 5.4.2, 5.4.3)."""

from __future__ import annotations

from calls.session import commands as do
from calls.session import events as ev
from calls.session.turns import cut_text
from tests.calls.session.script import Call


def test_heard_text_ends_at_a_word() -> None:
    assert cut_text("It left our house", 500, 1000) == "It left"
    assert cut_text("It left our house", 1000, 1000) == "It left our house"
    assert cut_text("It left our house", 412, 1000) == "It left"
    assert cut_text("It left our house", 100, 1000) == ""
    assert cut_text("It left", 0, 1000) == ""
    assert cut_text("It left", 10, 0) == ""
    assert cut_text("Unbrokenword", 500, 1000) == ""


def test_a_conversation_is_recorded_in_the_order_of_the_items() -> None:
    call = Call()
    call.greet()
    call.feed(ev.SpeechStarted(item_id="user_a", audio_start_ms=0))
    call.feed(ev.SpeechStopped(item_id="user_a", audio_end_ms=900))
    call.feed(ev.CallerTurnCommitted(item_id="user_a", previous_item_id="item_2"))
    answer = call.reply("Yes.", ms=500)
    call.run(800)

    turns = call.turns()
    assert [turns[i].role for i in sorted(turns)] == ["agent", "caller", "agent"]
    assert call.turn("user_a").previous_item_id == "item_2"
    assert call.turn(answer).previous_item_id == "item_0"
    assert call.turn(answer).agent == "Reception"


def test_a_late_transcript_fills_in_its_own_turn() -> None:
    call = Call()
    call.greet()
    call.feed(ev.SpeechStarted(item_id="user_a", audio_start_ms=0), ev.CallerTurnCommitted(item_id="user_a"))
    call.reply()
    call.feed(ev.SpeechStarted(item_id="user_b", audio_start_ms=0), ev.CallerTurnCommitted(item_id="user_b"))
    call.feed(ev.CallerTranscript(item_id="user_b", text="second", final=True))
    call.feed(ev.CallerTranscript(item_id="user_a", text="fir", final=False))
    call.feed(ev.CallerTranscript(item_id="user_a", text="st", final=False))
    call.run(300)
    assert call.turn("user_a").generated == "first"

    call.feed(ev.CallerTranscript(item_id="user_a", text="First.", final=True))

    first, second = call.turn("user_a"), call.turn("user_b")
    assert (first.generated, first.heard, first.status) == ("First.", "First.", "complete")
    assert (second.generated, second.status) == ("second", "complete")
    assert first.sequence < second.sequence


def test_a_transcript_of_an_item_never_seen_makes_its_turn() -> None:
    call = Call()
    call.greet()

    call.feed(ev.CallerTranscript(item_id="user_z", text="Hello", final=True))
    call.feed(ev.CallerTranscriptFailed(item_id="user_y"))

    assert call.turn("user_z").generated == "Hello"
    assert call.turn("user_y").status == "failed"


def test_a_failed_transcript_leaves_a_failed_turn() -> None:
    call = Call()
    call.greet()
    call.feed(ev.SpeechStarted(item_id="user_a", audio_start_ms=0), ev.CallerTurnCommitted(item_id="user_a"))

    call.feed(ev.CallerTranscriptFailed(item_id="user_a", detail="audio_unintelligible"))

    assert call.turn("user_a").status == "failed"
    assert call.events("peer_error")[-1]["detail"] == "audio_unintelligible"


def test_words_are_written_at_least_every_quarter_second() -> None:
    call = Call()
    call.greet()
    response_id = call.begin()
    written = []
    for word in ["one", "two", "three", "four", "five", "six", "seven", "eight"]:
        call.feed(ev.AgentText(response_id=response_id, item_id="item_x", content_index=0, text=f"{word} "))
        call.run(100)
        written.append(call.turn("item_x").generated if len(call.turns()) > 1 else "")

    assert written[2].startswith("one two three")
    assert written[7].startswith("one two three four five six")


def test_revisions_rise_by_one_and_sequences_have_no_gap() -> None:
    call = Call()
    call.greet()
    for _ in range(3):
        call.caller_says("Hello?")
        call.reply(ms=3000)
        call.run(700)
    call.feed(ev.CallerHungUp())

    revisions: dict[int, list[int]] = {}
    for turn in call.all(do.RecordTurn):
        revisions.setdefault(turn.sequence, []).append(turn.revision)
    assert sorted(revisions) == list(range(7))
    assert all(seen == list(range(1, len(seen) + 1)) for seen in revisions.values())


def test_latency_runs_from_the_end_of_speech_to_sound_and_to_the_ear() -> None:
    call = Call(delay_ms=50)
    call.greet()
    call.caller_says("Hello?")
    call.run(400)
    first = call.reply(ms=600)
    call.run(2000)
    second = call.reply(ms=600)
    call.run(1000)

    assert call.turn(first).model_latency_ms == 400
    assert call.turn(first).turn_latency_ms == 450
    assert call.turn(second).model_latency_ms is None


def test_turns_without_sound_are_unheard() -> None:
    call = Call()
    call.greet()
    response_id = call.begin()
    call.feed(ev.AgentItemAdded(response_id=response_id, item_id="item_x"))
    call.feed(ev.AgentItemAdded(response_id=response_id, item_id="item_x", phase="commentary"))
    call.feed(ev.AgentItemAdded(response_id=response_id, item_id="item_empty"))
    call.feed(ev.AgentText(response_id=response_id, item_id="item_x", content_index=0, text="Silent."))
    call.end(response_id)

    assert (call.turn("item_x").status, call.turn("item_x").phase) == ("unheard", "commentary")
    assert "item_empty" not in {turn.item_id for turn in call.turns().values()}


def test_sound_without_an_announced_item_makes_its_turn() -> None:
    call = Call()
    call.greet()
    response_id = call.begin()
    call.feed(ev.ModelAudio(response_id=response_id, item_id="item_x", content_index=0, size=800))
    call.end(response_id)
    call.run(300)

    turn = call.turn("item_x")
    assert (turn.status, turn.heard_ms, turn.response_id) == ("complete", 100, response_id)


def test_two_parts_of_one_item_are_one_turn() -> None:
    call = Call()
    call.greet()
    response_id = call.begin()
    for index, text in enumerate(["Hello", "there"]):
        call.feed(ev.AgentText(response_id=response_id, item_id="item_x", content_index=index, text=text))
        call.feed(ev.ModelAudio(response_id=response_id, item_id="item_x", content_index=index, size=4000))
    call.end(response_id)
    call.run(600)
    assert call.turn("item_x").status == "open"
    call.run(1000)

    turn = call.turn("item_x")
    assert (turn.heard, turn.heard_ms, turn.status) == ("Hello there", 1000, "complete")


def test_a_hang_up_closes_every_turn_with_what_was_heard() -> None:
    call = Call()
    call.greet()
    call.caller_says("Hello?")
    item_id = call.reply("It left our house this morning.", ms=4000)
    call.run(2000)
    call.feed(ev.SpeechStopped(item_id="user_none", audio_end_ms=0))

    call.feed(ev.CallerHungUp())

    turn = call.turn(item_id)
    assert (turn.status, turn.heard_ms, turn.heard) == ("interrupted", 2000, "It left our")


def test_a_caller_who_hangs_up_while_speaking_leaves_a_closed_turn() -> None:
    call = Call()
    call.greet()
    call.interrupt()
    call.run(300)

    call.feed(ev.CallerHungUp())

    turn = list(call.turns().values())[-1]
    assert (turn.role, turn.status) == ("caller", "failed")  # nobody knows what was said
    assert turn.ended_ms == 3300


def test_words_that_never_sounded_are_unheard_at_the_end() -> None:
    call = Call()
    call.greet()
    response_id = call.begin()
    call.feed(ev.AgentText(response_id=response_id, item_id="item_x", content_index=0, text="Almost"))

    call.feed(ev.CallerHungUp())

    assert call.turn("item_x").status == "unheard"


def test_a_caller_who_begins_twice_in_one_item_has_one_turn() -> None:
    call = Call()
    call.greet()
    for _ in range(2):
        call.feed(ev.SpeechStarted(item_id="user_a", audio_start_ms=0))

    assert [turn.item_id for turn in call.turns().values()].count("user_a") == 1


def test_latency_to_the_ear_counts_what_is_still_played_before() -> None:
    call = Call()
    call.greet()
    call.feed(ev.LocalAudioReady(item_id="line-1", size=8000))
    call.feed(ev.SpeechStopped(item_id="user_a", audio_end_ms=0))
    call.run(100)
    item_id = call.reply(ms=400)
    call.run(2000)

    assert (call.turn(item_id).model_latency_ms, call.turn(item_id).turn_latency_ms) == (100, 1000)


def test_a_transcript_that_is_there_before_its_turn_is_committed_is_kept() -> None:
    call = Call()
    call.greet()
    call.feed(ev.CallerTranscript(item_id="user_a", text="Hello", final=True))
    call.feed(ev.CallerTurnCommitted(item_id="user_a"))

    assert call.turn("user_a").status == "complete"
    assert not call.session.parts.turns.awaited

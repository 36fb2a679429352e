"""One response at a time: wants are coalesced, refusals matched, failures answered, silence of the model noticed (§4.6–4.8, §6.3)."""

from __future__ import annotations

import msgspec
import pytest

from agents.spec import Realtime, TurnDetection
from calls.session import commands as do
from calls.session import events as ev
from calls.session.failures import CONTINUE, NEUTRAL
from calls.session.plan import Limits
from tests.calls.session.script import RECEPTION, Call

ACTIVE = "conversation_already_has_active_response"


def make_call(**fields: object) -> Call:
    call = Call(agent=msgspec.structs.replace(RECEPTION, **fields))
    call.greet()
    return call


def refuse(call: Call, event_id: str, code: str = ACTIVE) -> None:
    call.feed(ev.ModelErrored(code=code, message="Conversation already has an active response", event_id=event_id))


def press(call: Call, digit: str = "1") -> None:
    """Makes the session owe speech of its own accord."""
    call.feed(ev.DigitPressed(digit=digit))
    call.run(1100)


def test_a_turn_of_the_caller_is_answered_by_the_model_itself() -> None:
    call = make_call()
    asked = len(call.asked())

    call.caller_says("Hello?")
    call.reply()
    call.run(2000)

    assert len(call.asked()) == asked


def test_without_automatic_responses_the_session_asks() -> None:
    call = make_call(realtime=Realtime(turn_detection=TurnDetection(create_response=False)))
    asked = len(call.asked())

    call.caller_says("Hello?")

    assert len(call.asked()) == asked + 1


def test_a_want_waits_for_the_active_response_and_is_coalesced() -> None:
    call = make_call()
    asked = len(call.asked())
    call.caller_says("Hello?")
    response_id = call.begin()
    call.speak(response_id)
    press(call)
    press(call)
    assert len(call.asked()) == asked

    call.end(response_id)

    assert len(call.asked()) == asked + 1


def test_nothing_is_asked_for_while_the_caller_speaks() -> None:
    call = make_call()
    asked = len(call.asked())
    call.interrupt()
    press(call)
    assert len(call.asked()) == asked

    call.feed(ev.SpeechStopped(item_id="user_9", audio_end_ms=1))

    assert len(call.asked()) == asked + 1


def test_the_callers_own_turn_serves_a_plain_want() -> None:
    call = make_call()
    asked = len(call.asked())
    call.interrupt()
    press(call)
    call.run(500)

    call.feed(ev.CallerTurnCommitted(item_id="user_9"))
    call.reply()
    call.run(3000)

    assert len(call.asked()) == asked


def test_a_want_too_fresh_for_the_callers_turn_is_kept() -> None:
    call = make_call()
    asked = len(call.asked())
    call.interrupt()
    press(call)

    call.feed(ev.CallerTurnCommitted(item_id="user_9"))
    call.reply()

    assert len(call.asked()) == asked + 1


def test_a_want_that_was_renewed_just_now_is_kept() -> None:
    call = make_call()
    asked = len(call.asked())
    call.interrupt()
    press(call)
    call.run(2000)
    press(call)

    call.feed(ev.CallerTurnCommitted(item_id="user_9"))
    call.reply()

    assert len(call.asked()) == asked + 1


def test_a_refused_create_is_sent_again_once_after_the_active_response() -> None:
    call = make_call()
    asked = len(call.asked())
    press(call)
    own = call.asked()[-1].event_id
    response_id = call.begin()  # made by voice detection at the same instant
    refuse(call, own)
    assert len(call.asked()) == asked + 1

    call.end(response_id)
    assert len(call.asked()) == asked + 2
    second = call.begin()
    refuse(call, call.asked()[-1].event_id)
    call.end(second)

    assert len(call.asked()) == asked + 2


def test_a_create_refused_before_we_heard_of_the_active_response_waits_for_it() -> None:
    call = make_call()
    asked = len(call.asked())
    press(call)
    refuse(call, call.asked()[-1].event_id)
    assert len(call.asked()) == asked + 1

    response_id = call.begin()
    call.end(response_id)

    assert len(call.asked()) == asked + 2


def test_a_create_refused_for_another_reason_is_left_to_the_watchdog() -> None:
    call = make_call()
    asked = len(call.asked())
    press(call)
    refuse(call, call.asked()[-1].event_id, "invalid_value")
    assert len(call.asked()) == asked + 1

    call.run(8000)

    assert len(call.asked()) == asked + 2


def test_a_create_under_way_when_the_caller_speaks_is_cancelled_when_it_starts() -> None:
    call = make_call()
    press(call)
    call.interrupt()
    assert not call.all(do.CancelResponse)

    response_id = call.begin()
    call.speak(response_id, ms=400)

    assert [c.response_id for c in call.all(do.CancelResponse)] == [response_id]
    assert not [c for c in call.all(do.Play) if c.item_id not in ("item_2",)]


def test_an_interruption_while_a_want_is_under_way_is_forgotten_when_it_was_refused() -> None:
    call = make_call()
    press(call)
    call.interrupt()
    refuse(call, call.asked()[-1].event_id)
    call.feed(ev.CallerTurnCommitted(item_id="user_9"))
    call.reply()

    assert not call.all(do.CancelResponse)


def test_cancelling_what_is_over_is_ignored() -> None:
    call = make_call()

    call.feed(
        ev.ModelErrored(code="response_cancel_not_active", message="Cancellation failed: no active response found")
    )

    assert not call.events("peer_error")


def test_speech_over_an_uninterruptible_agent_is_answered_afterwards() -> None:
    call = make_call(barge_in=False)
    asked = len(call.asked())
    call.caller_says("Hello?")
    response_id = call.begin()
    call.speak(response_id, ms=2000)
    call.caller_says("And another thing.")
    assert len(call.asked()) == asked

    call.end(response_id)

    assert len(call.asked()) == asked + 1


def test_a_turn_that_the_model_could_not_answer_itself_is_answered_afterwards() -> None:
    call = make_call()
    press(call)
    response_id = call.begin()
    call.feed(ev.SpeechStopped(item_id="user_9", audio_end_ms=0), ev.CallerTurnCommitted(item_id="user_9"))
    asked = len(call.asked())
    refuse(call, "")
    call.speak(response_id)
    assert len(call.asked()) == asked

    call.end(response_id)

    assert len(call.asked()) == asked + 1


def test_a_second_response_at_once_is_noted() -> None:
    call = make_call()
    first, second = call.begin(), call.begin()
    assert call.events("peer_error")[-1]["problem"] == "second active response"

    call.end(first)
    assert not call.session.parts.sequencer.idle
    call.end(second)
    assert call.session.parts.sequencer.idle


@pytest.mark.parametrize(
    "event",
    [
        ev.ResponseEnded(response_id="resp_x", status="completed"),
        ev.AgentItemAdded(response_id="resp_x", item_id="item_x"),
        ev.ModelAudio(response_id="resp_x", item_id="item_x", content_index=0, size=80),
        ev.AgentText(response_id="resp_x", item_id="item_x", content_index=0, text="x"),
        ev.ToolCalled(response_id="resp_x", item_id="item_x", call_id="call_x", name="x", arguments="{}"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_belongs_to_no_response_is_noted_and_passed_over(event: ev.Event) -> None:
    call = make_call()

    call.feed(event)

    assert call.events("peer_error")[-1]["problem"] == "unknown response"
    assert not call.all(do.RunTool)


def test_notes_about_a_peer_that_talks_nonsense_are_bounded() -> None:
    call = make_call()
    for _ in range(200):
        call.feed(ev.ModelErrored(code="invalid_value", message="no"))

    assert len(call.events("peer_error")) == 50


# --- failures ------------------------------------------------------------------------------------------------------


def test_a_rate_limit_is_waited_out_once() -> None:
    call = make_call()
    call.caller_says("Hello?")
    asked = len(call.asked())
    response_id = call.begin()
    call.end(response_id, "failed", error_code="rate_limit_exceeded", error_message="Rate limit reached")
    assert len(call.asked()) == asked

    call.run(1600)

    assert len(call.asked()) == asked + 1
    call.reply()
    call.run(2000)
    assert call.session.phase == "live"


def test_a_second_rate_limit_in_a_row_goes_down_the_ladder_with_a_sentence() -> None:
    call = make_call()
    call.caller_says("Hello?")
    for _ in range(2):
        call.end(call.begin(), "failed", error_code="rate_limit_exceeded")
        call.run(1600)

    leave = call.last(do.Leave)
    assert (leave.next, leave.cause, leave.fault) == ("ladder", "model_quota", "model")
    assert leave.say


def test_a_failed_said_line_is_said_again() -> None:
    call = Call()
    call.start()
    call.end(call.begin(), "failed", error_code="server_error", error_message="oops")

    assert [c.instructions for c in call.asked()] == ['Say exactly: "Good morning."'] * 2


def test_two_server_errors_in_a_row_go_down_the_ladder() -> None:
    call = make_call()
    call.caller_says("Hello?")
    call.end(call.begin(), "failed", error_code="server_error")
    call.end(call.begin(), "failed", error_code="")

    assert call.last(do.Leave).cause == "model_failed"


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("insufficient_quota", "model_quota"),
        ("model_not_found", "model_refused"),
        ("invalid_api_key", "model_refused"),
    ],
)
def test_what_will_not_mend_itself_goes_down_the_ladder_at_once(code: str, cause: str) -> None:
    call = make_call()
    call.caller_says("Hello?")

    call.end(call.begin(), "failed", error_code=code, error_message="You exceeded your current quota")

    leave = call.last(do.Leave)
    assert (leave.next, leave.cause, leave.fault) == ("ladder", cause, "model")
    assert leave.say


def test_a_permanent_error_outside_a_response_goes_down_the_ladder() -> None:
    call = make_call()

    call.feed(ev.ModelErrored(code="insufficient_quota", message="quota"))

    assert call.last(do.Leave).cause == "model_quota"


def test_a_failure_of_what_was_cut_needs_no_answer() -> None:
    call = make_call()
    response_id = call.begin()
    call.interrupt()
    asked = len(call.asked())

    call.end(response_id, "failed", error_code="server_error")
    call.feed(ev.SpeechStopped(item_id="user_9", audio_end_ms=1))

    assert len(call.asked()) == asked


def test_a_filtered_response_is_followed_by_a_neutral_line() -> None:
    call = make_call()
    response_id = call.begin()
    call.speak(response_id, "Well,", ms=300)

    call.end(response_id, "incomplete", reason="content_filter")

    assert NEUTRAL in call.asked()[-1].instructions


def test_a_capped_response_goes_on_but_not_for_ever() -> None:
    call = make_call()
    call.caller_says("Tell me everything.")
    for _ in range(4):
        response_id = call.begin()
        call.speak(response_id, ms=400)
        call.end(response_id, "incomplete", reason="max_output_tokens")

    assert [c.instructions for c in call.asked()].count(CONTINUE) == 2


def test_a_capped_response_that_was_cut_does_not_go_on() -> None:
    call = make_call()
    response_id = call.begin()
    call.speak(response_id, ms=400)
    call.interrupt()
    asked = len(call.asked())

    call.end(response_id, "incomplete", reason="max_output_tokens")
    call.feed(ev.SpeechStopped(item_id="user_9", audio_end_ms=1))

    assert len(call.asked()) == asked


# --- watchdog ------------------------------------------------------------------------------------------------------


def test_a_silent_model_is_asked_again_and_then_left() -> None:
    call = make_call()
    call.caller_says("Hello?")
    asked = len(call.asked())
    call.run(7900)
    assert len(call.asked()) == asked

    call.run(200)
    assert len(call.asked()) == asked + 1
    call.run(8000)

    leave = call.last(do.Leave)
    assert (leave.next, leave.cause, leave.fault) == ("ladder", "model_silent", "model")
    assert leave.say


def test_a_stalled_response_is_cancelled_before_it_is_asked_again() -> None:
    call = make_call()
    call.caller_says("Hello?")
    response_id = call.begin()
    asked = len(call.asked())
    call.run(8100)
    assert call.last(do.CancelResponse).response_id == response_id
    assert len(call.asked()) == asked

    call.end(response_id, "cancelled", reason="client_cancelled")
    assert len(call.asked()) == asked + 1
    call.reply()
    call.run(9000)

    assert call.session.phase == "live"


def test_a_silent_greeting_is_asked_for_again_in_its_own_words() -> None:
    call = Call(limits=Limits(watchdog_ms=3000))
    call.start()
    call.run(3100)

    assert [c.instructions for c in call.asked()] == ['Say exactly: "Good morning."'] * 2
    call.run(3000)
    assert call.last(do.Leave).cause == "model_silent"


def test_sound_makes_good_for_an_earlier_silence() -> None:
    call = make_call()
    for _ in range(3):
        call.caller_says("Hello?")
        call.run(8100)
        call.reply()
        call.run(2000)

    assert not call.all(do.Leave)


def test_a_response_that_stalls_after_its_first_words_is_noticed() -> None:
    call = make_call()
    call.caller_says("Hello?")
    response_id = call.begin()
    call.speak(response_id, "Well,", ms=500, done=False)
    press(call)
    asked = len(call.asked())
    call.run(9000)
    assert call.last(do.CancelResponse).response_id == response_id
    call.run(8000)

    assert len(call.asked()) == asked
    assert len(call.all(do.CancelResponse)) == 1
    assert call.last(do.Leave).cause == "model_silent"


def test_the_watchdog_rests_while_the_caller_speaks() -> None:
    call = make_call()
    call.interrupt()
    call.run(60_000)

    assert not call.events("watchdog")


def test_a_response_without_a_word_is_asked_again() -> None:
    call = make_call()
    call.caller_says("Hello?")
    asked = len(call.asked())
    call.end(call.begin())
    call.run(8100)

    assert len(call.asked()) == asked + 1


def test_usage_is_recorded_for_every_response_and_transcription() -> None:
    call = make_call()
    call.caller_says("Hello?")
    call.reply()

    usages = call.all(do.RecordUsage)
    assert [usage.kind for usage in usages] == ["response", "transcription", "response"]
    assert [usage.sequence for usage in usages] == [0, 1, 2]
    assert usages[0].model == "gpt-realtime-2.1"
    assert usages[1].model == "gpt-4o-mini-transcribe"
    assert usages[1].usage == {"type": "duration", "seconds": 1}

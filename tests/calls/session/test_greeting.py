"""The first words and the disclosure that must be heard before the recording."""

from __future__ import annotations

import msgspec

from calls.session import commands as do
from calls.session import events as ev
from calls.session.plan import HistoryItem, Resume
from tests.calls.session.script import RECEPTION, Call

RECORDED = msgspec.structs.replace(RECEPTION, recording=True, disclosure="This call is recorded.")


def test_the_greeting_waits_for_both_the_stream_and_the_model() -> None:
    for first, second in (
        (ev.StreamStarted(stream_sid="MZ1"), ev.ModelReady(session_id="s", model="m")),
        (ev.ModelReady(session_id="s", model="m"), ev.StreamStarted(stream_sid="MZ1")),
    ):
        call = Call()
        call.feed(first)
        assert not call.asked()

        call.feed(second)

        assert [c.instructions for c in call.asked()] == ['Say exactly: "Good morning."']
        assert not call.asked()[0].tools_allowed


def test_quotes_do_not_end_the_line_early() -> None:
    call = Call(agent=msgspec.structs.replace(RECEPTION, greeting='Welcome to "Acme".'))
    call.start()

    assert call.asked()[0].instructions == "Say exactly: \"Welcome to 'Acme'.\""


def test_an_agent_that_lets_the_caller_speak_first_says_nothing() -> None:
    call = Call(agent=msgspec.structs.replace(RECEPTION, speaks_first="caller"))
    call.start()

    assert not call.asked()


def test_a_caller_who_speaks_first_is_told_about_the_recording() -> None:
    call = Call(agent=msgspec.structs.replace(RECORDED, speaks_first="caller"))
    call.start()

    assert call.asked()[0].instructions == 'Say exactly: "This call is recorded."'


def test_recording_starts_when_the_disclosure_was_heard() -> None:
    call = Call(agent=RECORDED)
    call.start()
    assert call.asked()[0].instructions == 'Say exactly: "This call is recorded. Good morning."'
    call.reply(ms=2000)
    call.run(1990)
    assert not call.all(do.StartRecording)

    call.run(20)

    assert len(call.all(do.StartRecording)) == 1
    assert call.events("disclosure_heard") == [{"text": "This call is recorded."}]
    call.feed(ev.RecordingStarted(recording_sid="RE1"), ev.RecordingFailed(detail="no"))
    assert [data["state"] for data in call.events("recording")] == ["started", "failed"]


def test_a_disclosure_that_was_cut_is_said_again_before_recording() -> None:
    call = Call(agent=RECORDED)
    call.start()
    call.reply(ms=2000)
    call.run(500)
    call.caller_says("Hello?")
    call.reply("How can I help?", ms=500)
    call.run(600)
    assert not call.all(do.StartRecording)
    assert call.asked()[-1].instructions == 'Say exactly: "This call is recorded."'

    call.reply("This call is recorded.", ms=900)
    call.run(1000)

    assert len(call.all(do.StartRecording)) == 1


def test_a_caller_who_always_talks_over_the_disclosure_is_not_recorded() -> None:
    call = Call(agent=RECORDED)
    call.start()
    for _ in range(6):
        call.reply(ms=1000)
        call.run(300)
        call.caller_says("Hello?")
        call.reply("Yes?", ms=200)
        call.run(300)

    assert [c.instructions for c in call.asked()].count('Say exactly: "This call is recorded."') == 2
    assert not call.all(do.StartRecording)


def test_without_a_disclosure_recording_starts_at_once() -> None:
    call = Call(agent=msgspec.structs.replace(RECEPTION, recording=True))
    call.start()

    assert len(call.all(do.StartRecording)) == 1
    assert not call.events("disclosure_heard")


def test_a_greeting_whose_end_is_told_after_it_was_heard_counts() -> None:
    call = Call(agent=RECORDED)
    call.start()
    response_id = call.begin()
    call.speak(response_id, ms=600)
    call.run(2000)
    assert not call.all(do.StartRecording)

    call.end(response_id)

    assert len(call.all(do.StartRecording)) == 1


def test_a_caller_who_speaks_before_the_greeting_gets_an_answer_instead() -> None:
    call = Call()
    call.feed(ev.StreamStarted(stream_sid="MZ1"))
    call.feed(ev.ModelReady(session_id="s", model="m"))
    call.interrupt()
    response_id = call.begin()
    call.end(response_id, "cancelled")
    call.feed(ev.CallerTurnCommitted(item_id="u"))
    asked = len(call.asked())
    call.reply()
    call.run(1500)

    assert len(call.asked()) == asked


def test_a_resumed_call_is_neither_greeted_nor_recorded_twice() -> None:
    resume = Resume(
        cause="process_lost",
        attempt=1,
        agent="Reception",
        history=(HistoryItem(kind="agent", text="Good morning."),),
        recording=True,
        disclosed=True,
    )
    call = Call(agent=RECORDED, resume=resume)
    call.start()
    call.reply()
    call.run(2000)

    assert all("Good morning" not in c.instructions for c in call.asked())
    assert not call.all(do.StartRecording)


def test_a_resumed_call_that_was_never_disclosed_is_told() -> None:
    resume = Resume(
        cause="process_lost", attempt=1, agent="Reception", history=(HistoryItem(kind="caller", text="Hello?"),)
    )
    call = Call(agent=RECORDED, resume=resume)
    call.start()
    call.reply("Sorry.", ms=400)
    call.run(500)

    assert call.asked()[-1].instructions == 'Say exactly: "This call is recorded."'


def test_a_call_that_was_never_greeted_is_greeted_after_a_resume() -> None:
    call = Call(resume=Resume(cause="process_lost", attempt=1, agent="Reception"))
    call.start()

    assert [c.instructions for c in call.asked()] == ['Say exactly: "Good morning."']

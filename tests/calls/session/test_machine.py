"""The table: what may happen when, and that nothing happens after the end."""

from __future__ import annotations

import msgspec
import pytest

from agents.spec import Contact, Guardrail, HttpCall, ToolSpec
from calls.session import commands as do
from calls.session import events as ev
from calls.session.machine import CallSession, IllegalEvent
from calls.session.plan import CallPlan, Limits
from calls.vocabulary import Cause
from tests.calls.session.script import RECEPTION, Call

AGENT = msgspec.structs.replace(
    RECEPTION,
    tools=(
        ToolSpec(name="slow", http=HttpCall(url="https://tools.example/")),
        ToolSpec(name="transfer_to_person", kind="builtin"),
    ),
    contacts=(Contact(name="Mary", e164="+15550000001"),),
    guardrails=(Guardrail(name="judge", kind="judge", question="?"),),
)

EVERY_EVENT: tuple[ev.Event, ...] = (
    ev.StreamStarted(stream_sid="MZ1"),
    ev.CallerAudio(ms=1000),
    ev.MarkReturned(name="g1.1:1"),
    ev.DigitPressed(digit="1"),
    ev.CallerHungUp(),
    ev.StreamLost(code=1006),
    ev.LocalAudioReady(item_id="line-1", size=800),
    ev.ModelReady(session_id="s", model="m"),
    ev.ModelLost(cause="model_lost"),
    ev.ModelUpdated(),
    ev.SpeechStarted(item_id="u", audio_start_ms=0),
    ev.SpeechStopped(item_id="u", audio_end_ms=0),
    ev.CallerTurnCommitted(item_id="u"),
    ev.CallerTranscript(item_id="u", text="Hello", final=True),
    ev.CallerTranscriptFailed(item_id="u"),
    ev.ResponseStarted(response_id="r"),
    ev.AgentItemAdded(response_id="r", item_id="i"),
    ev.ModelAudio(response_id="r", item_id="i", content_index=0, size=800),
    ev.ModelAudioDone(response_id="r", item_id="i", content_index=0),
    ev.AgentText(response_id="r", item_id="i", content_index=0, text="Hello"),
    ev.ToolCalled(response_id="r", item_id="f", call_id="c", name="slow", arguments="{}"),
    ev.ResponseEnded(response_id="r", status="completed"),
    ev.ModelErrored(code="invalid_value", message="no"),
    ev.ToolFinished(call_id="c", output="", status="succeeded"),
    ev.TimerFired(name="pump"),
    ev.RecordingStarted(recording_sid="RE1"),
    ev.RecordingFailed(detail="no"),
    ev.EndRequested(reason="supervisor_ended"),
    ev.MoveRequested(),
    ev.PlayoutStarted(response_id="r1"),
    ev.PlayoutStopped(response_id="r1"),
    ev.PlayoutCleared(response_id="r1"),
    ev.ItemTruncated(item_id="i1", content_index=0, audio_end_ms=100),
    ev.ConversationTail(item_id="i1"),
    ev.ReferAnswered(ok=True),
    ev.NoteAdded(text="Offer a discount."),
)
NAMES = [type(event).__name__ for event in EVERY_EVENT]


def make_live() -> Call:
    call = Call(agent=AGENT)
    call.greet()
    return call


def make_closing() -> Call:
    call = make_live()
    call.caller_says("A person, please.")
    response_id = call.begin()
    call.speak(response_id, "I connect you.", ms=300)
    for call_id, name in (("call_t", "transfer_to_person"), ("c", "slow")):
        call.feed(
            ev.ToolCalled(
                response_id=response_id, item_id=call_id, call_id=call_id, name=name, arguments='{"contact": "Mary"}'
            )
        )
    call.end(response_id)
    call.run(400)
    assert call.session.phase == "closing"
    return call


def test_every_event_is_listed() -> None:
    assert {type(event) for event in EVERY_EVENT} == set(ev.AnyEvent.__args__)


@pytest.mark.parametrize("event", EVERY_EVENT, ids=NAMES)
def test_before_the_stream_only_a_bug_raises(event: ev.Event) -> None:
    session = CallSession(CallPlan(agent=AGENT.name, agents={AGENT.name: AGENT}))
    ours = (ev.LocalAudioReady, ev.ToolFinished, ev.RecordingStarted, ev.RecordingFailed, ev.ReferAnswered)
    if isinstance(event, ours):
        with pytest.raises(IllegalEvent, match=f"{type(event).__name__} is not allowed in phase waiting"):
            session.handle(event, 0)
    else:
        session.handle(event, 0)
        assert session.phase in ("waiting", "live", "ended")


@pytest.mark.parametrize("event", EVERY_EVENT, ids=NAMES)
def test_during_the_call_only_a_second_stream_is_a_bug(event: ev.Event) -> None:
    call = make_live()
    if isinstance(event, ev.StreamStarted):
        with pytest.raises(IllegalEvent, match="StreamStarted is not allowed in phase live"):
            call.feed(event)
    else:
        call.feed(event)


@pytest.mark.parametrize("event", EVERY_EVENT, ids=NAMES)
def test_while_leaving_nothing_changes_the_exit(event: ev.Event) -> None:
    call = make_closing()
    if isinstance(event, ev.StreamStarted):
        with pytest.raises(IllegalEvent):
            call.feed(event)
        return

    commands = call.feed(event)

    allowed = (do.RecordTurn, do.RecordUsage, do.RecordToolRun, do.RecordEvent, do.Finish, do.CancelTimer, do.SetTimer)
    assert all(isinstance(command, allowed) for command in commands)
    assert len(call.all(do.Leave)) == 1


@pytest.mark.parametrize("event", EVERY_EVENT, ids=NAMES)
def test_after_the_end_every_event_is_ignored(event: ev.Event) -> None:
    call = make_live()
    call.feed(ev.CallerHungUp())

    assert call.feed(event) == []
    assert call.session.phase == "ended"


def test_a_hang_up_is_the_last_word() -> None:
    call = make_live()
    call.caller_says("Hello?")
    response_id = call.begin()
    call.speak(response_id, ms=1000, done=False)
    call.run(300)

    finished = call.feed(ev.CallerHungUp())

    assert finished[-1] == do.Finish(reason="caller_hung_up", fault="none")
    assert call.events("ended") == [{"reason": "caller_hung_up", "fault": "none", "caller_audio_ms": 0}]
    lost = call.last(do.RecordUsage)
    assert (lost.source_id, lost.usage, lost.estimated_audio_ms) == (response_id, None, 1000)
    assert not call.session.ctx.timers


def test_a_socket_that_goes_away_is_the_carriers_fault() -> None:
    call = make_live()

    assert call.feed(ev.StreamLost(code=1006))[-1] == do.Finish(reason="stream_lost", fault="carrier")


def test_a_caller_who_never_came_ends_without_a_record_of_words() -> None:
    call = Call()
    call.feed(ev.EndRequested(reason="reaped"))

    assert call.last(do.Finish).reason == "reaped"
    assert not call.all(do.RecordTurn)


def test_an_exit_nobody_closes_is_closed_by_the_clock() -> None:
    call = make_closing()
    call.run(5100)

    assert call.last(do.Finish).reason == "transfer"
    assert call.session.phase == "ended"


def test_a_tool_that_answers_while_leaving_is_still_on_the_record() -> None:
    call = make_closing()
    call.feed(ev.ToolFinished(call_id="c", output="done", status="succeeded"))

    assert call.last(do.RecordToolRun).status == "succeeded"


def test_a_response_that_ends_while_leaving_is_still_billed() -> None:
    call = make_live()
    call.caller_says("Hello?")
    response_id = call.begin()
    call.feed(ev.ModelErrored(code="insufficient_quota", message=""))
    assert call.session.phase == "closing"

    call.end(response_id, "failed")
    call.end(response_id, "failed")
    call.feed(ev.ResponseEnded(response_id="resp_j", status="completed", job="judge:1:x", usage={"total_tokens": 3}))

    usages = [c.source_id for c in call.all(do.RecordUsage)]
    assert usages.count(response_id) == 1
    assert usages[-1] == "resp_j"


def test_a_timer_that_lost_a_race_says_nothing() -> None:
    call = make_live()

    assert call.feed(ev.TimerFired(name="cap_of_another_session")) == []


def test_time_never_runs_backwards() -> None:
    call = make_live()
    call.session.handle(ev.NoteAdded(text="x"), 1.0)

    assert call.session.ctx.now > 1


def test_a_supervisor_ends_the_call_politely() -> None:
    call = make_live()
    call.feed(ev.EndRequested(reason="supervisor_ended"))
    assert "goodbye" in call.asked()[-1].instructions
    call.reply("Goodbye.", ms=500)
    call.run(600)

    assert call.last(do.Leave) == do.Leave(next="hang_up", reason="supervisor_ended")
    assert call.feed(ev.StreamLost())[-1] == do.Finish(reason="supervisor_ended", fault="")


def test_the_live_board_sees_each_change_once() -> None:
    call = Call(agent=AGENT)
    assert call.session.state == "connecting"
    call.greet()
    call.caller_says("Hello?")
    call_id = call.call_tool("slow")
    call.feed(ev.ToolFinished(call_id=call_id, output="", status="succeeded"))
    call.reply()
    call.run(1500)
    call.feed(ev.ModelLost(cause="model_lost"))

    assert [c.state for c in call.all(do.SetState)] == [
        "thinking",
        "speaking",
        "listening",
        "thinking",
        "tool",
        "thinking",
        "speaking",
        "listening",
        "connecting",
    ]


def test_caller_audio_is_only_counted() -> None:
    call = make_live()

    assert call.feed(ev.CallerAudio(ms=1000)) == []
    assert call.session.ctx.caller_audio_ms == 1000


def test_what_is_done_is_not_done_twice() -> None:
    call = make_closing()
    parts = call.session.parts
    call.session.ctx.out = out = []

    parts.builtins.hand_off_overdue()
    parts.digits.collection_over()
    parts.leaving.overdue()
    parts.leaving.fall(Cause.MODEL_SILENT)
    parts.tools.refuse(parts.tools.runs["call_t"], "too late")

    assert out == []


# --- lingering -----------------------------------------------------------------------------------------------------


def make_parting() -> tuple[Call, str]:
    """The caller hangs up while the agent speaks and his own last words are not transcribed yet."""
    call = Call(agent=AGENT, limits=Limits(linger_ms=1500))
    call.greet()
    for job in [c.job for c in call.all(do.CreateResponse) if c.job]:
        call.feed(ev.ResponseEnded(response_id=f"r-{job}", status="completed", job=job, text="no"))
    call.feed(ev.SpeechStarted(item_id="user_a", audio_start_ms=0), ev.CallerTurnCommitted(item_id="user_a"))
    response_id = call.begin()
    call.speak(response_id, "Well, let me", ms=1000, done=False)
    call.run(300)
    call.feed(ev.CallerHungUp())
    return call, response_id


def test_the_last_transcript_and_the_last_bill_are_waited_for() -> None:
    call, response_id = make_parting()
    assert call.last(do.CancelResponse).response_id == response_id
    assert call.turn("user_a").status == "failed"
    assert not call.all(do.Finish)

    call.end(response_id, "cancelled", reason="client_cancelled")
    assert not call.all(do.Finish)
    call.feed(ev.CallerTranscript(item_id="user_a", text="Never mind.", final=True))

    assert call.last(do.Finish) == do.Finish(reason="caller_hung_up", fault="none")
    assert (call.turn("user_a").generated, call.turn("user_a").status) == ("Never mind.", "complete")
    assert [usage.status for usage in call.all(do.RecordUsage) if usage.source_id == response_id] == ["cancelled"]


def test_waiting_for_the_last_words_has_an_end() -> None:
    call, response_id = make_parting()
    call.run(1600)

    assert call.last(do.Finish).reason == "caller_hung_up"
    assert [usage.status for usage in call.all(do.RecordUsage) if usage.source_id == response_id] == ["lost"]


def test_a_failed_transcript_is_not_waited_for() -> None:
    call, response_id = make_parting()
    call.end(response_id, "cancelled")
    call.feed(ev.CallerTranscriptFailed(item_id="user_a"))

    assert call.session.phase == "ended"


def test_a_judge_is_waited_for_too() -> None:
    call = Call(agent=AGENT, limits=Limits(linger_ms=1500))
    call.greet()
    job = next(c.job for c in call.all(do.CreateResponse) if c.job)
    call.feed(ev.ResponseStarted(response_id="resp_j", job=job))
    call.feed(ev.StreamLost(code=1006))
    assert not call.all(do.Finish)

    call.feed(
        ev.ResponseEnded(response_id="resp_j", status="completed", job=job, text="yes", usage={"total_tokens": 3})
    )

    assert call.last(do.Finish).reason == "stream_lost"
    assert call.last(do.RecordUsage).usage == {"total_tokens": 3}


def test_nothing_is_waited_for_when_all_is_told() -> None:
    call = Call(limits=Limits(linger_ms=1500))
    call.greet()
    call.feed(ev.CallerHungUp())

    assert call.session.phase == "ended"


def test_a_tool_that_answers_after_the_caller_has_gone_is_on_the_record_only() -> None:
    call, _ = make_parting()
    call.feed(ev.ToolFinished(call_id="call_x", output="", status="succeeded"))
    call.feed(ev.NoteAdded(text="Too late."))

    assert not call.all(do.AddToolOutput)
    assert not call.all(do.AddMessage)

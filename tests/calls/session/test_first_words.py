"""A greeting, a barge-in and a goodbye: the shortest call that goes through every part of the session."""

from agents.spec import AgentSpec
from calls.session import commands as do
from calls.session import events as ev
from calls.session.machine import CallSession
from calls.session.plan import CallPlan


def make_session() -> CallSession:
    session = CallSession(
        CallPlan(agent="Reception", agents={"Reception": AgentSpec(name="Reception", instructions="")})
    )
    session.handle(ev.ModelReady(session_id="sess_1", model="gpt-realtime-2.1"), 0)
    session.handle(ev.StreamStarted(stream_sid="MZ1"), 10)
    session.handle(ev.ResponseStarted(response_id="resp_1"), 100)
    return session


def test_speech_of_the_caller_clears_before_it_truncates() -> None:
    session = make_session()
    played = session.handle(ev.ModelAudio(response_id="resp_1", item_id="item_1", content_index=0, size=8000), 200)
    marks = [command.mark for command in played if isinstance(command, do.Play)]
    session.handle(ev.MarkReturned(name=marks[0]), 320)

    cut = session.handle(ev.SpeechStarted(item_id="item_2", audio_start_ms=300), 350)

    assert isinstance(cut[0], do.ClearPlayback)
    assert [c.audio_end_ms for c in cut if isinstance(c, do.TruncateItem)] == [150]

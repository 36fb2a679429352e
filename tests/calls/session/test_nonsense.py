"""Peers that keep no rule at all: any event at any time is answered without an exception, and heard time stays within bounds."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.spec import Contact, Guardrail, HandOff, HttpCall, ToolPolicy, ToolSpec
from calls.session import commands as do
from calls.session import events as ev
from calls.session.plan import Limits
from calls.vocabulary import Cause
from tests.calls.session.script import RECEPTION, Call

TOOLS = ("end_call", "transfer_to_person", "hand_off", "send_digits", "collect_digits", "wait", "take_message")
AGENT = msgspec.structs.replace(
    RECEPTION,
    tools=(
        ToolSpec(name="lookup", http=HttpCall(url="https://tools.example/"), policy=ToolPolicy.CONFIRM, filler="Hm."),
        *(ToolSpec(name=name, kind="builtin") for name in TOOLS),
    ),
    contacts=(Contact(name="Mary", e164="+15550000001"),),
    hand_offs=(HandOff(agent="Reception"),),
    guardrails=(Guardrail(name="word", pattern="forbid+en"), Guardrail(name="judge", kind="judge", question="?")),
    recording=True,
    disclosure="Recorded.",
)

ids = st.sampled_from(["a", "b", "c", ""])
texts = st.sampled_from(["", "yes", "no", "Well, then. ", "x" * 120, "forbidden"])
responses = st.sampled_from(["r", "r", "r", "s", ""])
items = st.sampled_from(["i", "i", "j", "k", "u", ""])
marks = st.builds("g1.{}:{}".format, st.integers(0, 3), st.integers(0, 12)) | st.text(max_size=5)
arguments = st.sampled_from(
    ["", "{}", "[]", "{", '{"contact": "mary"}', '{"agent": "Reception"}', '{"digits": "1w2"}', '{"max_digits": 2}']
)
numbers = st.integers(-10, 5000)
jobs = st.sampled_from(["", "", "judge:1:judge", "judge:x"])
events: st.SearchStrategy[ev.Event] = st.one_of(
    st.builds(ev.CallerAudio, ms=numbers),
    st.builds(ev.MarkReturned, name=marks),
    st.builds(ev.DigitPressed, digit=st.sampled_from(["1", "#", "", "•", "11"])),
    st.builds(ev.ModelReady, session_id=ids, model=ids),
    st.builds(
        ev.ModelLost,
        cause=st.sampled_from(["model_lost", "model_unreachable", "?", *Cause]),
        code=numbers,
        detail=texts,
    ),
    st.builds(ev.ModelUpdated),
    st.builds(ev.SpeechStarted, item_id=items, audio_start_ms=numbers),
    st.builds(ev.SpeechStopped, item_id=items, audio_end_ms=numbers),
    st.builds(ev.CallerTurnCommitted, item_id=items, previous_item_id=items | st.none()),
    st.builds(ev.CallerTranscript, item_id=items, text=texts, final=st.booleans()),
    st.builds(ev.CallerTranscriptFailed, item_id=items, detail=texts),
    st.builds(ev.ResponseStarted, response_id=responses, job=jobs),
    st.builds(ev.AgentItemAdded, response_id=responses, item_id=items, phase=texts),
    st.builds(
        ev.ModelAudio,
        response_id=responses,
        item_id=items,
        content_index=st.integers(0, 1),
        size=st.integers(0, 20_000),
    ),
    st.builds(ev.ModelAudioDone, response_id=responses, item_id=items, content_index=st.integers(0, 1)),
    st.builds(
        ev.AgentText,
        response_id=responses,
        item_id=items,
        content_index=st.integers(0, 1),
        text=texts,
        final=st.booleans(),
    ),
    st.builds(
        ev.ToolCalled,
        response_id=responses,
        item_id=items,
        call_id=ids,
        name=st.sampled_from([*TOOLS, "lookup", "?"]),
        arguments=arguments,
        complete=st.booleans(),
    ),
    st.builds(
        ev.ResponseEnded,
        response_id=responses,
        status=st.sampled_from(["completed", "cancelled", "incomplete", "failed"]),
        reason=st.sampled_from(["", "max_output_tokens", "content_filter"]),
        error_code=st.sampled_from(["", "", "", "rate_limit_exceeded", "insufficient_quota", "?"]),
        job=jobs,
        text=texts,
    ),
    st.builds(
        ev.ModelErrored,
        code=st.sampled_from(["conversation_already_has_active_response", "invalid_value", ""]),
        message=texts,
        event_id=st.sampled_from(["", "s1-1", "s1-2", "s1-3", "s1-9"]),
    ),
    st.builds(ev.NoteAdded, text=texts),
    st.builds(ev.MoveRequested),
    st.builds(ev.EndRequested, reason=texts),
)
# What makes a call lively comes more often.
speech: st.SearchStrategy[ev.Event] = st.one_of(
    st.builds(ev.ResponseStarted, response_id=responses),
    st.builds(
        ev.ModelAudio, response_id=responses, item_id=items, content_index=st.just(0), size=st.integers(0, 20_000)
    ),
    st.builds(ev.SpeechStarted, item_id=items, audio_start_ms=numbers),
    st.builds(
        ev.ToolCalled,
        response_id=responses,
        item_id=items,
        call_id=ids,
        name=st.sampled_from([*TOOLS, "lookup", "?"]),
        arguments=arguments,
    ),
)
ours: st.SearchStrategy[ev.Event] = st.one_of(
    st.builds(ev.LocalAudioReady, item_id=st.sampled_from(["tones-1-0", "line"]), size=st.integers(0, 4000)),
    st.builds(ev.ToolFinished, call_id=ids, output=texts, status=st.sampled_from(["succeeded", "failed", "?"])),
    st.builds(ev.RecordingStarted, recording_sid=ids),
    st.builds(ev.RecordingFailed, detail=texts),
)
steps = st.lists(st.tuples(events | speech | ours, st.sampled_from([0, 0, 20, 300, 4000])), max_size=60)


@given(early=st.lists(events, max_size=4), steps=steps, linger_ms=st.sampled_from([0, 1500]))
@settings(max_examples=150, deadline=None)
def test_no_event_of_a_peer_breaks_a_call(
    early: list[ev.Event], steps: list[tuple[ev.Event, int]], linger_ms: int
) -> None:
    call = Call(agent=AGENT, limits=Limits(linger_ms=linger_ms))
    call.feed(*early)
    if call.session.phase == "waiting":
        call.start()
    for event, wait_ms in steps:
        call.feed(event)
        call.run(wait_ms)
    call.feed(ev.CallerHungUp())
    call.run(6000)

    assert call.session.phase == "ended"
    assert len(call.all(do.Finish)) == 1
    assert isinstance(call.done[-1][1], do.Finish)
    assert all(truncated.audio_end_ms >= 0 for truncated in call.all(do.TruncateItem))
    outcomes = {run.call_id: run.status for run in call.all(do.RecordToolRun)}
    assert "started" not in outcomes.values()

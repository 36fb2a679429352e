"""Tool calls: run once, answered exactly once, spoken about once (openai-realtime.md §3.7; product 4.5)."""

from __future__ import annotations

import json

import msgspec
import pytest

from agents.spec import AgentSpec, HttpCall, ToolPolicy, ToolSpec
from calls.session import commands as do
from calls.session import events as ev
from tests.calls.session.script import RECEPTION, Call


def http(name: str, **fields: object) -> ToolSpec:
    return ToolSpec(name=name, http=HttpCall(url="https://tools.example/"), timeout_s=5, **fields)


LOOKUP = http("lookup_order", on_failure="Say that the order system is down.")
BOOK = http("book", policy=ToolPolicy.CONFIRM)
SLOW = http("slow", filler="One moment, I am looking that up.")
AGENT: AgentSpec = msgspec.structs.replace(RECEPTION, tools=(LOOKUP, BOOK, SLOW))


def make_call() -> Call:
    call = Call(agent=AGENT)
    call.greet()
    call.caller_says("Where is my order?")
    return call


def finish(call: Call, call_id: str, output: str = '{"state": "sent"}', status: str = "succeeded") -> None:
    call.feed(ev.ToolFinished(call_id=call_id, output=output, status=status))


def outputs(call: Call) -> list[tuple[str, str]]:
    return [(c.call_id, c.output) for c in call.all(do.AddToolOutput)]


def test_the_intent_is_on_record_before_the_tool_runs() -> None:
    call = make_call()
    call_id = call.call_tool("lookup_order", '{"order_id": "A1"}')

    order = [c for _, c in call.done if isinstance(c, do.RecordToolRun | do.RunTool)]
    assert isinstance(order[0], do.RecordToolRun)
    assert (order[0].status, order[0].revision) == ("started", 1)
    assert order[1] == do.RunTool(
        call_id=call_id, name="lookup_order", arguments='{"order_id": "A1"}', agent="Reception"
    )


def test_an_answer_is_given_and_spoken_about_once() -> None:
    call = make_call()
    asked = len(call.asked())
    call_id = call.call_tool("lookup_order")
    call.run(1000)
    finish(call, call_id)
    finish(call, call_id, "again")

    assert outputs(call) == [(call_id, '{"state": "sent"}')]
    assert len(call.asked()) == asked + 1
    assert call.last(do.RecordToolRun).status == "succeeded"
    assert call.last(do.RecordToolRun).revision == 2


def test_an_answer_during_its_own_response_waits_for_the_end() -> None:
    call = make_call()
    asked = len(call.asked())
    call_id = call.call_tool("lookup_order", says="Let me check.", end=False)
    finish(call, call_id)
    assert outputs(call)
    assert len(call.asked()) == asked

    call.end(call.session.parts.sequencer.active.response_id)

    assert len(call.asked()) == asked + 1


def test_two_calls_of_one_response_lead_to_one_answer() -> None:
    call = make_call()
    asked = len(call.asked())
    response_id = call.begin()
    for n in (1, 2):
        call.feed(
            ev.ToolCalled(
                response_id=response_id, item_id=f"item_f{n}", call_id=f"call_{n}", name="lookup_order", arguments="{}"
            )
        )
    call.end(response_id)
    finish(call, "call_1")
    assert len(call.asked()) == asked

    finish(call, "call_2")

    assert len(outputs(call)) == 2
    assert len(call.asked()) == asked + 1


def test_the_caller_may_speak_while_a_tool_runs() -> None:
    call = make_call()
    call_id = call.call_tool("lookup_order")
    call.caller_says("And hurry.")
    response_id = call.begin()
    call.speak(response_id, "Still looking.")
    finish(call, call_id)
    asked = len(call.asked())

    call.end(response_id)

    assert len(call.asked()) == asked + 1


def test_an_unknown_tool_is_answered_with_an_error() -> None:
    call = make_call()
    call_id = call.call_tool("launch_rocket")

    assert "launch_rocket" in json.loads(outputs(call)[0][1])["error"]
    assert not call.all(do.RunTool)
    assert [c.status for c in call.all(do.RecordToolRun)] == ["started", "refused"]
    assert call.last(do.RecordToolRun).call_id == call_id


def test_a_cut_call_is_not_run() -> None:
    call = make_call()
    call.call_tool("lookup_order", '{"order', complete=False)

    assert not call.all(do.RunTool)
    assert not call.all(do.RecordToolRun)


def test_a_call_id_used_twice_is_run_once() -> None:
    call = make_call()
    response_id = call.begin()
    event = ev.ToolCalled(
        response_id=response_id, item_id="item_f", call_id="call_1", name="lookup_order", arguments="{}"
    )
    call.feed(event, event)

    assert len(call.all(do.RunTool)) == 1
    assert call.events("peer_error")[-1]["problem"] == "call id used twice"


def test_a_lost_runner_is_answered_for() -> None:
    call = make_call()
    call_id = call.call_tool("lookup_order")
    call.run(11_900)  # the time-out of two attempts and the grace
    assert not outputs(call)

    call.run(200)
    finish(call, call_id)

    assert len(outputs(call)) == 1
    assert "error" in json.loads(outputs(call)[0][1])
    assert call.last(do.RecordToolRun).status == "unknown"


def test_a_failure_tells_the_model_what_to_say() -> None:
    call = make_call()
    call_id = call.call_tool("lookup_order")
    finish(call, call_id, "HTTP 500", "failed")

    assert json.loads(outputs(call)[0][1]) == {
        "error": "HTTP 500",
        "tell_the_caller": "Say that the order system is down.",
    }
    assert call.last(do.RecordToolRun).status == "failed"


def test_an_answer_that_holds_the_words_already_is_passed_on_as_it_is() -> None:
    call = make_call()
    output = '{"ok":false,"error":"HTTP 500","say":"Say that the order system is down."}'
    finish(call, call.call_tool("lookup_order"), output, "failed")

    assert outputs(call)[0][1] == output


def test_json_without_the_words_gets_them() -> None:
    call = make_call()
    finish(call, call.call_tool("lookup_order"), "[500]", "failed")

    assert json.loads(outputs(call)[0][1])["error"] == "[500]"


def test_a_status_we_do_not_know_is_a_failure() -> None:
    call = make_call()
    finish(call, call.call_tool("slow"), "?", "exploded")

    assert call.last(do.RecordToolRun).status == "failed"
    assert outputs(call)[0][1] == "?"


def test_a_report_about_no_call_of_ours_changes_nothing() -> None:
    call = make_call()
    before = len(call.done)

    finish(call, "call_none")

    assert len(call.done) == before


def test_the_watchdog_waits_for_a_running_tool_and_watches_the_answer() -> None:
    call = Call(agent=msgspec.structs.replace(AGENT, tools=(msgspec.structs.replace(LOOKUP, timeout_s=30),)))
    call.greet()
    call.caller_says("Where is my order?")
    call_id = call.call_tool("lookup_order")
    call.run(25_000)
    assert not call.events("watchdog")

    finish(call, call_id)
    call.run(8100)

    assert len(call.events("watchdog")) == 1


def test_a_filler_is_said_when_the_model_said_nothing() -> None:
    call = make_call()
    call_id = call.call_tool("slow")

    filler = call.asked()[-1]
    assert filler.instructions == 'Say exactly: "One moment, I am looking that up."'
    assert not filler.tools_allowed
    response_id = call.begin()
    call.speak(response_id)
    finish(call, call_id)
    call.end(response_id)
    assert call.asked()[-1].instructions == ""


@pytest.mark.parametrize("says", ["Let me look.", ""])
def test_a_filler_is_not_said_over_the_models_own_words_or_a_quick_answer(says: str) -> None:
    call = make_call()
    call_id = call.call_tool("slow", says=says, end=False)
    if not says:
        finish(call, call_id)
    call.end(call.session.parts.sequencer.active.response_id)

    assert not [c for c in call.asked() if "One moment" in c.instructions]


def test_a_tool_to_be_confirmed_runs_only_after_the_caller_spoke() -> None:
    call = make_call()
    call.call_tool("book", '{"day": "Monday", "hour": 9}')
    assert not call.all(do.RunTool)
    assert "confirm" in json.loads(outputs(call)[0][1])["error"]
    assert call.last(do.RecordToolRun).status == "refused"
    call.reply("Monday at nine, is that right?")
    call.run(2000)

    call.call_tool("book", '{"day": "Monday", "hour": 9}')
    assert not call.all(do.RunTool)
    call.caller_says("Yes.")
    call.call_tool("book", '{"hour": 9, "day": "Monday"}')

    assert len(call.all(do.RunTool)) == 1


def test_other_arguments_must_be_confirmed_anew() -> None:
    call = make_call()
    call.call_tool("book", '{"day": "Monday"}')
    call.caller_says("Yes.")
    call.call_tool("book", '{"day": "Tuesday"}')
    call.call_tool("book", "{broken")

    assert not call.all(do.RunTool)


def test_a_tool_that_runs_when_the_caller_hangs_up_has_an_unknown_outcome() -> None:
    call = make_call()
    done = call.call_tool("slow")
    finish(call, done)
    call.call_tool("lookup_order")

    call.feed(ev.CallerHungUp())

    runs = {c.call_id: c.status for c in call.all(do.RecordToolRun)}
    assert list(runs.values()) == ["succeeded", "unknown"]
    assert call.feed(ev.ToolFinished(call_id="call_9", output="", status="succeeded")) == []


def test_a_filler_is_not_said_to_a_caller_who_cut_in() -> None:
    call = make_call()
    call_id = call.call_tool("slow", end=False)
    response_id = call.session.parts.sequencer.active.response_id
    call.interrupt()
    call.end(response_id, "cancelled", reason="turn_detected")
    finish(call, call_id)
    call.feed(ev.SpeechStopped(item_id="user_9", audio_end_ms=0))

    assert not [c for c in call.asked() if "One moment" in c.instructions]


def test_a_filler_that_had_to_wait_is_dropped_when_the_answer_is_there() -> None:
    call = Call(agent=msgspec.structs.replace(AGENT, barge_in=False))
    call.greet()
    call.caller_says("Where is my order?")
    call_id = call.call_tool("slow", end=False)
    response_id = call.session.parts.sequencer.active.response_id
    call.interrupt()
    call.end(response_id)
    finish(call, call_id)
    call.feed(ev.SpeechStopped(item_id="user_9", audio_end_ms=0))

    assert call.asked()[-1].instructions == ""

"""The conversation outlives its model session and its process (openai-realtime.md §6.1, §6.2; product 7.1–7.3)."""

from __future__ import annotations

import json

import msgspec
import pytest

from agents.spec import AgentSpec, Guardrail, HandOff, HttpCall, ToolSpec
from calls.session import commands as do
from calls.session import events as ev
from calls.session.plan import HistoryItem, Limits, Resume
from calls.session.recovery import APOLOGY
from tests.calls.session.script import RECEPTION, Call

LOOKUP = ToolSpec(name="lookup_order", http=HttpCall(url="https://tools.example/"), idempotent=True)
BOOK = ToolSpec(name="book", http=HttpCall(url="https://tools.example/"))
AGENT: AgentSpec = msgspec.structs.replace(
    RECEPTION,
    tools=(LOOKUP, BOOK, ToolSpec(name="hand_off", kind="builtin"), ToolSpec(name="end_call", kind="builtin")),
    hand_offs=(HandOff(agent="Billing"),),
)
BILLING = AgentSpec(name="Billing", instructions="")
LOST = ev.ModelLost(cause="model_lost", code=1011, detail="keepalive ping timeout")
READY = ev.ModelReady(session_id="sess_2", model="gpt-realtime-2.1")


def make_call(**fields: object) -> Call:
    call = Call(agent=AGENT, others=(BILLING,), **fields)  # type: ignore[arg-type]  # test data
    call.greet()
    return call


def replayed(commands: list[do.Command]) -> list[tuple[str, str]]:
    told = []
    for command in commands:
        if isinstance(command, do.AddMessage):
            told.append((command.role, command.text))
        elif isinstance(command, do.AddToolExchange):
            told.append((command.name, command.output))
    return told


def test_a_lost_session_is_replaced_and_told_what_was_said() -> None:
    call = make_call()
    call.caller_says("Where is my order?")
    call_id = call.call_tool("lookup_order")
    call.feed(ev.ToolFinished(call_id=call_id, output='{"state": "sent"}', status="succeeded"))
    call.reply("It left our house this morning.", ms=2000)
    call.run(1000)
    call.interrupt()
    call.feed(ev.SpeechStopped(item_id="user_x", audio_end_ms=0))
    call.feed(ev.NoteAdded(text="Offer a discount."))

    lost = call.feed(LOST)
    assert [c for c in lost if isinstance(c, do.ConnectModel)] == [do.ConnectModel(agent="Reception")]
    assert call.session.state == "connecting"
    call.run(900)
    ready = call.feed(READY)

    assert replayed(ready) == [
        ("assistant", "Good morning."),
        ("user", "Where is my order?"),
        ("lookup_order", '{"state": "sent"}'),
        ("assistant", "It left our"),
        ("system", "Offer a discount."),
    ]
    assert call.asked()[-1].instructions == APOLOGY
    assert not call.all(do.Leave)


def test_received_audio_plays_on_while_the_model_is_away() -> None:
    call = make_call()
    response_id = call.begin()
    item_id = call.speak(response_id, "It left our house.", ms=3000, done=False)
    call.run(500)

    call.feed(LOST)
    call.run(3000)

    assert call.turn(item_id).heard_ms == 3000
    assert call.turn(item_id).status == "complete"
    lost = call.last(do.RecordUsage)
    assert (lost.source_id, lost.usage, lost.status, lost.estimated_audio_ms) == (response_id, None, "lost", 3000)


def test_what_still_plays_is_replayed_whole_and_cannot_be_truncated() -> None:
    call = make_call()
    call.reply("It left our house this morning.", ms=4000)
    call.run(500)
    call.feed(LOST)
    ready = call.feed(READY)
    assert ("assistant", "It left our house this morning.") in replayed(ready)

    call.interrupt()

    assert call.all(do.ClearPlayback)
    assert not call.all(do.TruncateItem)


def test_a_loss_in_silence_needs_no_apology() -> None:
    call = make_call()
    call.feed(LOST)
    asked = len(call.asked())
    call.feed(READY)

    assert len(call.asked()) == asked


def test_a_barge_in_while_the_model_is_away_cuts_the_carrier_only() -> None:
    call = make_call()
    call.reply(ms=4000)
    call.run(500)
    call.feed(LOST)

    call.interrupt()

    assert call.all(do.ClearPlayback)
    assert not call.all(do.TruncateItem)
    assert not call.all(do.DeleteItem)


def test_a_model_lost_before_its_first_sound_greets_when_it_is_back() -> None:
    call = Call()
    call.start()
    call.feed(LOST)
    call.feed(READY)

    assert [c.instructions for c in call.asked()] == ['Say exactly: "Good morning."'] * 2


def test_reconnecting_has_a_limit() -> None:
    call = make_call()
    for _ in range(3):
        call.feed(ev.ModelLost(cause="model_unreachable"))
        call.run(600)

    assert len(call.all(do.ConnectModel)) == 2
    leave = call.last(do.Leave)
    assert (leave.next, leave.cause, leave.fault) == ("ladder", "model_lost", "model")
    assert leave.say


def test_a_connection_that_never_answers_is_given_up() -> None:
    call = make_call()
    call.feed(LOST)
    call.run(10_600)

    assert len(call.all(do.ConnectModel)) == 2
    assert call.last(do.Leave).cause == "model_unreachable"


@pytest.mark.parametrize(("word", "dialled"), [(READY, 1), (ev.ModelLost(cause="model_unreachable"), 2)])
def test_the_late_word_of_an_attempt_that_was_given_up_does_no_harm(word: ev.Event, dialled: int) -> None:
    call = make_call()
    call.feed(LOST)
    call.run(5100)

    call.feed(word)
    call.run(1000)

    assert len(call.all(do.ConnectModel)) == dialled
    assert call.session.phase == "live"


def test_attempts_start_anew_once_the_agent_was_heard_again() -> None:
    call = make_call()
    for _ in range(4):
        call.feed(LOST)
        call.feed(READY)
        call.caller_says("Hello?")
        call.reply()
        call.run(1500)

    assert not call.all(do.Leave)


@pytest.mark.parametrize("cause", ["model_refused", "model_quota"])
def test_a_model_that_refuses_is_left_at_once(cause: str) -> None:
    call = make_call()
    call.feed(ev.ModelLost(cause=cause, code=3000, detail="invalid_request_error.invalid_api_key"))

    leave = call.last(do.Leave)
    assert (leave.next, leave.cause, leave.fault) == ("ladder", cause, "model")
    assert not call.all(do.ConnectModel)


def test_a_model_that_refuses_before_the_caller_is_there_is_left_when_he_comes() -> None:
    call = Call()
    call.feed(ev.ModelLost(cause="model_refused", code=3000))
    assert not call.all(do.Leave)

    call.feed(ev.StreamStarted(stream_sid="MZ1"))

    assert call.last(do.Leave).cause == "model_refused"
    assert call.session.phase == "closing"


def test_a_model_that_cannot_be_reached_before_the_start_is_tried_again() -> None:
    call = Call()
    call.feed(ev.ModelLost(cause="model_unreachable"))
    call.feed(READY, ev.StreamStarted(stream_sid="MZ1"))

    assert len(call.all(do.ConnectModel)) == 1
    assert len(call.asked()) == 1


def test_a_model_lost_during_the_goodbye_leaves_the_goodbye_to_the_carrier() -> None:
    call = make_call()
    call.feed(ev.EndRequested(reason="supervisor_ended"))
    call.feed(LOST)

    leave = call.last(do.Leave)
    assert (leave.next, leave.reason) == ("hang_up", "supervisor_ended")
    assert leave.say == AGENT.goodbye


def test_a_goodbye_that_is_being_played_needs_no_model() -> None:
    call = make_call()
    call.feed(ev.EndRequested(reason="supervisor_ended"))
    call.reply("Goodbye.", ms=1500)
    call.run(300)

    call.feed(LOST)
    call.run(1100)
    assert not call.all(do.Leave)
    call.run(200)

    assert call.all(do.Leave) == [do.Leave(next="hang_up", reason="supervisor_ended")]
    assert not call.all(do.ConnectModel)


# --- tools over a loss ---------------------------------------------------------------------------------------------


def test_a_tool_that_ran_over_the_loss_is_replayed_as_an_exchange() -> None:
    call = make_call()
    call.caller_says("Where is my order?")
    call_id = call.call_tool("lookup_order", '{"id": 1}')
    call.feed(LOST)
    call.feed(READY)
    call.feed(ev.ToolFinished(call_id=call_id, output="sent", status="succeeded"))

    assert not call.all(do.AddToolOutput)
    exchange = call.last(do.AddToolExchange)
    assert (exchange.call_id, exchange.arguments, exchange.output) == (call_id, '{"id": 1}', "sent")


def test_an_answer_that_came_while_the_model_was_away_is_replayed_once() -> None:
    call = make_call()
    call.caller_says("Where is my order?")
    call_id = call.call_tool("lookup_order")
    call.feed(LOST)
    call.feed(ev.ToolFinished(call_id=call_id, output="sent", status="succeeded"))
    assert not call.all(do.AddToolOutput)

    call.feed(READY)

    assert [c.output for c in call.all(do.AddToolExchange)] == ["sent"]
    assert call.asked()


def test_a_hand_off_under_way_is_completed_by_the_fresh_session() -> None:
    call = make_call()
    call.call_tool("hand_off", '{"agent": "Billing"}')

    lost = call.feed(LOST)
    call.feed(READY)

    assert [c.agent for c in lost if isinstance(c, do.ConnectModel)] == ["Billing"]
    assert call.session.ctx.agent == "Billing"
    assert call.session.ctx.connected is BILLING
    assert len(call.all(do.UseAgent)) == 1


def test_a_judge_is_forgotten_with_its_session() -> None:
    rail = Guardrail(name="advice", kind="judge", question="?")
    call = Call(agent=msgspec.structs.replace(AGENT, guardrails=(rail,)))
    call.greet()
    call.reply("Take two pills.", ms=4000)
    call.feed(LOST)
    response_id = call.begin()
    call.speak(response_id, "Too early.", ms=200)
    call.end(response_id)
    call.feed(READY)
    jobs = [c for c in call.all(do.CreateResponse) if c.job]
    call.reply("Take three pills.", ms=400)

    assert len([c for c in call.all(do.CreateResponse) if c.job]) == len(jobs) + 1


# --- renewal -------------------------------------------------------------------------------------------------------


def make_renewing() -> Call:
    call = Call(
        agent=msgspec.structs.replace(
            AGENT, max_duration_s=7200, silence=msgspec.structs.replace(AGENT.silence, after_s=0)
        ),
        others=(BILLING,),
        limits=Limits(renew_after_ms=60_000),
    )
    call.greet()
    return call


def test_a_session_is_renewed_at_a_silence_without_a_word() -> None:
    call = make_renewing()
    call.run(56_900)
    call.caller_says("Hello?")
    response_id = call.begin()
    call.speak(response_id, ms=2000)
    call.run(3000)
    assert not call.all(do.ConnectModel)
    call.end(response_id)
    assert call.all(do.ConnectModel) == [do.ConnectModel(agent="Reception")]
    asked = len(call.asked())

    ready = call.feed(READY)

    assert ("user", "Hello?") in replayed(ready)
    assert call.events("model_ready")[-1]["renewed"] is True
    assert len(call.asked()) == asked
    call.run(60_100)
    assert len(call.all(do.ConnectModel)) == 2


def test_the_age_of_a_spare_counts_towards_its_hour() -> None:
    call = make_renewing()
    call.run(60_100)
    call.feed(ev.ModelReady(session_id="sess_2", model="gpt-realtime-2.1", age_ms=45_000))
    before = len(call.all(do.ConnectModel))
    call.run(14_000)
    assert len(call.all(do.ConnectModel)) == before
    call.run(1_100)
    assert len(call.all(do.ConnectModel)) == before + 1


@pytest.mark.parametrize("event", [ev.ModelLost(cause="model_unreachable"), None])
def test_a_renewal_that_fails_is_tried_again_and_the_old_session_serves_on(event: ev.Event | None) -> None:
    call = make_renewing()
    call.run(57_100)
    assert len(call.all(do.ConnectModel)) == 1
    if event:
        call.feed(event)
    else:
        call.run(5100)
    call.caller_says("Hello?")
    call.reply()
    call.run(61_000)

    assert len(call.all(do.ConnectModel)) == 2
    assert call.session.ctx.model_ready


def test_an_old_session_lost_during_its_renewal_waits_for_the_fresh_one() -> None:
    call = make_renewing()
    call.run(57_100)
    call.feed(LOST)
    assert len(call.all(do.ConnectModel)) == 1

    call.feed(READY)

    assert call.session.ctx.model_ready


def test_a_turn_that_began_during_the_renewal_is_asked_for_again() -> None:
    call = make_renewing()
    call.run(57_100)
    call.interrupt()

    call.feed(READY)

    assert call.asked()[-1].instructions == APOLOGY


def test_a_hand_off_during_the_renewal_is_carried_over() -> None:
    call = make_renewing()
    call.run(57_100)
    call.caller_says("My bill?")
    call.call_tool("hand_off", '{"agent": "Billing"}')

    ready = call.feed(READY)

    assert [c.agent for c in ready if isinstance(c, do.UseAgent)] == ["Billing"]
    assert call.session.ctx.agent == "Billing"


def test_a_session_that_is_ready_twice_is_noted() -> None:
    call = make_call()
    call.feed(READY)

    assert call.events("peer_error")[-1]["problem"] == "ready twice"


# --- resume and move -----------------------------------------------------------------------------------------------

HISTORY = (
    HistoryItem(kind="agent", text="Good morning."),
    HistoryItem(kind="caller", text="Where is my order?"),
    HistoryItem(kind="tool", call_id="call_a", name="lookup_order", arguments="{}", output="sent"),
    HistoryItem(kind="note", text="Caller pressed 1."),
)


def test_a_resumed_call_goes_on_where_it_stopped() -> None:
    resume = Resume(
        cause="process_lost",
        attempt=1,
        agent="Billing",
        history=HISTORY,
        next_turn=4,
        next_event=9,
        next_tool_run=2,
        next_usage=3,
        elapsed_ms=40_000,
    )
    call = Call(agent=AGENT, others=(BILLING,), resume=resume)
    call.start()

    assert replayed([command for _, command in call.done]) == [
        ("assistant", "Good morning."),
        ("user", "Where is my order?"),
        ("lookup_order", "sent"),
        ("system", "Caller pressed 1."),
    ]
    assert [c.instructions for c in call.asked()] == [APOLOGY]
    assert call.events("recovery") == [{"cause": "process_lost", "attempt": 1}]
    assert call.all(do.RecordEvent)[0].sequence == 9
    assert call.all(do.RecordEvent)[0].at_ms == 40_000
    call.reply("Sorry about that.")
    assert min(call.turns()) == 4
    assert call.all(do.RecordUsage)[0].sequence == 3
    assert call.session.ctx.agent == "Billing"


def test_a_call_moved_at_a_silence_notices_nothing() -> None:
    resume = Resume(cause="deploy", attempt=1, agent="Reception", history=HISTORY[:1])
    call = Call(agent=AGENT, resume=resume)
    call.start()

    assert not call.asked()


def test_open_tools_are_run_again_only_if_that_is_safe() -> None:
    open_tools = (
        HistoryItem(kind="tool", call_id="call_a", name="lookup_order", arguments='{"id": 1}', sequence=1, revision=1),
        HistoryItem(kind="tool", call_id="call_b", name="book", arguments="{}", sequence=2, revision=1),
        HistoryItem(kind="tool", call_id="call_c", name="gone", arguments="{}"),
    )
    resume = Resume(
        cause="process_lost", attempt=1, agent="Reception", history=HISTORY, open_tools=open_tools, next_tool_run=3
    )
    call = Call(agent=AGENT, resume=resume)
    call.start()

    assert [c.call_id for c in call.all(do.RunTool)] == ["call_a"]
    told = {c.call_id: json.loads(c.output) for c in call.all(do.AddToolExchange) if c.call_id != "call_a"}
    assert set(told) == {"call_b", "call_c"}
    assert "unknown" in told["call_b"]["error"]
    states = {c.call_id: (c.sequence, c.revision, c.status) for c in call.all(do.RecordToolRun)}
    assert states == {
        "call_a": (1, 2, "started"),
        "call_b": (2, 2, "unknown"),
        "call_c": (3, 1, "unknown"),
    }
    call.reply("Sorry about that.")
    asked = len(call.asked())
    call.feed(ev.ToolFinished(call_id="call_a", output="sent", status="succeeded"))
    assert call.last(do.AddToolExchange).output == "sent"
    assert len(call.asked()) == asked + 1


def test_an_agent_that_is_gone_from_the_plan_is_replaced_by_the_first() -> None:
    call = Call(resume=Resume(cause="process_lost", attempt=1, agent="Nobody", history=HISTORY[:1]))

    assert call.session.ctx.agent == "Reception"


def test_a_call_is_moved_at_the_next_silence() -> None:
    call = make_call()
    call.caller_says("Hello?")
    call.reply(ms=2000)
    call.feed(ev.MoveRequested())
    call.feed(ev.MoveRequested())
    call.run(1990)
    assert not call.all(do.Leave)

    call.run(20)

    leave = call.last(do.Leave)
    assert (leave.next, leave.cause, leave.fault, leave.say) == ("resume", "deploy", "none", "")


def test_a_running_tool_holds_the_move_until_the_deadline() -> None:
    call = make_call()
    call.caller_says("Hello?")
    call.call_tool("lookup_order")
    call.feed(ev.MoveRequested())
    call.run(9000)
    assert not call.all(do.Leave)
    call.caller_says("Are you there?", ms=11_500)

    assert call.last(do.Leave).next == "resume"


def test_a_transfer_under_way_is_not_turned_into_a_move() -> None:
    quiet = msgspec.structs.replace(AGENT.silence, after_s=0)
    agent = msgspec.structs.replace(AGENT, max_duration_s=10, wrap_up_s=0, silence=quiet)
    call = Call(agent=agent)
    call.greet()
    call.run(7100)
    call.feed(ev.MoveRequested())
    call.reply("Goodbye.", ms=500)
    call.run(600)

    assert call.last(do.Leave).reason == "max_duration"


def test_a_move_before_the_caller_is_there_waits_for_him() -> None:
    call = Call()
    call.feed(ev.MoveRequested())
    call.run(21_000)
    assert not call.all(do.Leave)

    call.greet()

    assert call.last(do.Leave).next == "resume"

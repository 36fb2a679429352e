"""The built-in tools inside a call: end, transfer, hand off, digits, wait, message."""

from __future__ import annotations

import json

import msgspec
import pytest

from agents.spec import AgentSpec, Contact, HandOff, HttpCall, Realtime, ToolSpec, TurnDetection
from calls.session import commands as do
from calls.session import events as ev
from calls.session.digits import MASK
from tests.calls.session.script import RECEPTION, Call

NAMES = ("end_call", "transfer_to_person", "hand_off", "send_digits", "collect_digits", "wait", "take_message")
AGENT: AgentSpec = msgspec.structs.replace(
    RECEPTION,
    tools=tuple(ToolSpec(name=name, kind="builtin") for name in (*NAMES, "moonwalk")),
    contacts=(Contact(name="Mary", e164="+15550000001"),),
    hand_offs=(HandOff(agent="Billing"), HandOff(agent="Nowhere")),
)
BILLING = AgentSpec(
    name="Billing",
    instructions="You handle bills.",
    tools=(ToolSpec(name="get_bill", http=HttpCall(url="https://tools.example/")),),
    realtime=Realtime(turn_detection=TurnDetection(create_response=False)),
)


def make_call() -> Call:
    call = Call(agent=AGENT, others=(BILLING,))
    call.greet()
    call.caller_says("Hello?")
    return call


def output(call: Call) -> dict[str, object]:
    answer = json.loads(call.last(do.AddToolOutput).output)
    assert isinstance(answer, dict)
    return answer


def active(call: Call) -> str:
    response = call.session.parts.sequencer.active
    assert response
    return response.response_id


# --- end of the call -----------------------------------------------------------------------------------------------


def test_the_line_closes_only_after_the_goodbye_was_heard() -> None:
    call = make_call()
    asked = len(call.asked())
    call.call_tool("end_call", '{"reason": "all done"}', says="Goodbye then.")
    call.run(300)
    assert not call.all(do.Leave)

    call.run(200)

    assert len(call.asked()) == asked
    assert call.all(do.Leave) == [do.Leave(next="hang_up", reason="agent_ended", detail="all done")]
    assert call.session.phase == "closing"
    assert len(call.all(do.AddToolOutput)) == 1


def test_a_silent_end_is_followed_by_a_goodbye() -> None:
    call = make_call()
    call.call_tool("end_call", '{"reason": "done"}')
    assert "goodbye" in call.asked()[-1].instructions
    assert not call.all(do.Leave)

    call.reply("Goodbye!", ms=600)
    call.run(590)
    assert not call.all(do.Leave)
    call.run(20)

    assert call.last(do.Leave).next == "hang_up"


def test_a_caller_who_speaks_up_during_the_goodbye_is_heard() -> None:
    call = make_call()
    call.call_tool("end_call", '{"reason": "done"}', says="Goodbye then.")
    call.run(200)

    call.caller_says("Wait, one more thing!")
    call.reply("Of course.")
    call.run(20_000)

    assert not call.all(do.Leave)
    assert "caller spoke" in call.last(do.AddMessage).text


def test_last_words_that_never_end_are_not_waited_for_for_ever() -> None:
    call = make_call()
    call.call_tool("end_call", '{"reason": "done"}', says="Goodbye.", end=False)
    call.run(15_100)

    assert call.last(do.Leave).next == "hang_up"


# --- transfer ------------------------------------------------------------------------------------------------------


def test_a_transfer_leaves_after_the_announcement_was_heard() -> None:
    call = make_call()
    call.call_tool(
        "transfer_to_person", '{"contact": "mary", "reason": "angry", "summary": "s"}', says="I connect you."
    )
    assert not call.all(do.Leave)

    call.run(500)

    leave = call.last(do.Leave)
    assert (leave.next, leave.contact) == ("transfer", "Mary")
    assert json.loads(leave.detail) == {"reason": "angry", "summary": "s"}
    assert call.events("transfer") == [{"contact": "Mary", "state": "requested"}]


def test_a_silent_transfer_is_announced_first() -> None:
    call = make_call()
    call.call_tool("transfer_to_person", '{"contact": "Mary"}')
    assert "connecting" in call.asked()[-1].instructions
    call.reply("One moment, I connect you.", ms=800)
    call.run(900)

    assert call.last(do.Leave).next == "transfer"


def test_a_contact_that_does_not_exist_is_refused_by_name() -> None:
    call = make_call()
    call.call_tool("transfer_to_person", '{"contact": "+15551234567"}', says="I connect you.")
    call.run(5000)

    assert "Mary" in str(output(call)["error"])
    assert not call.all(do.Leave)


def test_a_transfer_is_not_taken_back_by_speech() -> None:
    call = make_call()
    call.call_tool("transfer_to_person", '{"contact": "Mary"}', says="I will connect you to Mary right now.")
    call.run(100)

    call.interrupt()

    assert call.last(do.Leave).next == "transfer"


def test_the_socket_closing_while_leaving_is_not_the_callers_end() -> None:
    call = make_call()
    call.call_tool("transfer_to_person", '{"contact": "Mary"}', says="I connect you.")
    call.run(500)

    finished = call.feed(ev.StreamLost(code=1000))

    assert finished[-1] == do.Finish(reason="transfer", fault="")
    assert call.session.phase == "ended"


# --- hand-off ------------------------------------------------------------------------------------------------------


def test_a_hand_off_goes_on_as_the_other_agent() -> None:
    call = make_call()
    call_id = call.call_tool("hand_off", '{"agent": "Billing", "reason": "a bill"}')
    assert call.last(do.UseAgent).agent == "Billing"
    assert not call.all(do.AddToolOutput)
    asked = len(call.asked())

    call.feed(ev.ModelUpdated())

    assert "Billing" in str(output(call)["status"])
    assert len(call.asked()) == asked + 1
    assert call.events("hand_off") == [{"source": "Reception", "target": "Billing", "reason": "a bill"}]
    item_id = call.reply("This is about your bill.")
    assert call.turn(item_id).agent == "Billing"
    run = [c for c in call.all(do.RecordToolRun) if c.call_id == call_id][-1]
    assert (run.agent, run.status) == ("Reception", "succeeded")
    call.call_tool("get_bill")
    assert call.last(do.RunTool).agent == "Billing"


def test_a_hand_off_leaves_turn_detection_as_it_was_connected() -> None:
    call = make_call()
    call.call_tool("hand_off", '{"agent": "Billing"}')
    call.feed(ev.ModelUpdated())
    call.reply()
    call.run(2000)
    asked = len(call.asked())

    call.caller_says("Hello?")

    assert len(call.asked()) == asked


def test_a_refused_hand_off_leaves_the_agent() -> None:
    call = make_call()
    call.call_tool("hand_off", '{"agent": "Billing"}')

    call.feed(
        ev.ModelErrored(code="unknown_parameter", message="no", event_id="other"),
        ev.ModelErrored(code="unknown_parameter", message="no", event_id=call.last(do.UseAgent).event_id),
    )

    assert "did not work" in str(output(call)["error"])
    assert call.session.ctx.agent == "Reception"


def test_a_hand_off_that_is_never_confirmed_is_given_up() -> None:
    call = make_call()
    call.call_tool("hand_off", '{"agent": "Billing"}')
    call.run(5100)

    assert "error" in output(call)
    call.feed(ev.ModelUpdated())
    assert call.session.ctx.agent == "Reception"


@pytest.mark.parametrize("agent", ["Nowhere", "Sales"])
def test_an_agent_that_is_not_at_hand_is_refused(agent: str) -> None:
    call = make_call()
    call.call_tool("hand_off", json.dumps({"agent": agent}))

    assert agent in str(output(call)["error"])


def test_one_hand_off_at_a_time() -> None:
    call = make_call()
    call.call_tool("hand_off", '{"agent": "Billing"}')
    call.call_tool("hand_off", '{"agent": "Billing"}')

    assert "under way" in str(output(call)["error"])
    assert len(call.all(do.UseAgent)) == 1


# --- small ones ----------------------------------------------------------------------------------------------------


def test_waiting_is_answered_without_a_word() -> None:
    call = make_call()
    asked = len(call.asked())
    call.call_tool("wait")
    call.run(7000)

    assert output(call) == {"status": "listening"}
    assert len(call.asked()) == asked
    assert not call.events("watchdog")


def test_a_message_is_on_the_record() -> None:
    call = make_call()
    asked = len(call.asked())
    call_id = call.call_tool("take_message", '{"text": "Call me back", "phone": "+31201234567"}')

    assert call.events("message_taken") == [
        {"call_id": call_id, "message": {"text": "Call me back", "phone": "+31201234567"}}
    ]
    assert output(call) == {"status": "noted"}
    assert len(call.asked()) == asked + 1


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("take_message", "{}"),
        ("take_message", '{"text": " "}'),
        ("take_message", "[1]"),
        ("take_message", "{broken"),
        ("moonwalk", "{}"),
        ("send_digits", '{"digits": ""}'),
        ("send_digits", '{"digits": "12e"}'),
        ("send_digits", '{"digits": 12}'),
        ("collect_digits", "{}"),
        ("collect_digits", '{"max_digits": 0}'),
        ("collect_digits", '{"max_digits": true}'),
        ("collect_digits", '{"max_digits": 4, "terminator": "9"}'),
    ],
)
def test_bad_arguments_are_answered_with_an_error(name: str, arguments: str) -> None:
    call = make_call()
    call.call_tool(name, arguments)

    assert "error" in output(call)
    assert call.last(do.RecordToolRun).status == "refused"


# --- digits out ----------------------------------------------------------------------------------------------------


def test_tones_are_played_and_then_answered() -> None:
    call = make_call()
    call_id = call.call_tool("send_digits", '{"digits": "12"}')
    assert call.last(do.MakeTones).digits == "12"
    call.run(300)
    assert not call.all(do.AddToolOutput)

    call.run(200)

    assert call.last(do.AddToolOutput) == do.AddToolOutput(
        event_id=call.last(do.AddToolOutput).event_id, call_id=call_id, output='{"sent": "12"}'
    )
    assert call.events("digits_sent") == [{"digits": "12"}]
    assert not call.all(do.TruncateItem)


def test_speech_does_not_cut_tones() -> None:
    call = make_call()
    call.call_tool("send_digits", '{"digits": "1234"}')
    call.run(100)
    call.interrupt()
    call.run(1000)

    assert not call.all(do.ClearPlayback)
    assert output(call) == {"sent": "1234"}


def test_tones_behind_speech_survive_its_cut() -> None:
    call = make_call()
    response_id = call.begin()
    item_id = call.speak(response_id, "Let me press the keys.", ms=3000)
    call.feed(
        ev.ToolCalled(
            response_id=response_id, item_id="f", call_id="call_t", name="send_digits", arguments='{"digits": "12"}'
        )
    )
    call.end(response_id)
    call.run(500)

    call.interrupt()
    call.run(1000)

    tones = call.last(do.MakeTones).item_id
    call.carrier.settle()
    assert call.carrier.played[tones, 0] == 3200
    assert [c.item_id for c in call.all(do.TruncateItem)] == [item_id]
    assert output(call) == {"sent": "12"}
    assert tones not in {turn.item_id for turn in call.turns().values()}


def test_tones_that_play_at_hang_up_make_no_turn() -> None:
    call = make_call()
    call.call_tool("send_digits", '{"digits": "1234"}')
    call.run(100)
    call.feed(ev.CallerHungUp())

    assert call.last(do.RecordToolRun).status == "unknown"
    assert all(not turn.item_id.startswith("tones") for turn in call.turns().values())


def test_other_local_audio_is_just_played() -> None:
    call = make_call()
    call.feed(ev.LocalAudioReady(item_id="line-1", size=800))
    call.run(200)

    assert call.last(do.DropAudio).item_id == "line-1"


# --- digits in -----------------------------------------------------------------------------------------------------


def press(call: Call, keys: str) -> None:
    for key in keys:
        call.feed(ev.DigitPressed(digit=call.session.mask_digit(key)))


def test_keys_are_noted_to_the_model_as_one_burst() -> None:
    call = make_call()
    call.reply()
    call.run(2000)
    asked = len(call.asked())
    press(call, "1")
    call.run(300)
    press(call, "2")
    call.run(1100)

    assert [c.text for c in call.all(do.AddMessage)] == ["Caller pressed 1 2."]
    assert call.events("digit") == [{"digit": "1"}, {"digit": "2"}]
    assert len(call.asked()) == asked + 1


def test_a_key_that_no_telephone_has_is_noted() -> None:
    call = make_call()
    call.feed(ev.DigitPressed(digit="x"))

    assert call.events("peer_error")[-1]["problem"] == "unknown key"


@pytest.mark.parametrize(("keys", "digits"), [("1234", "1234"), ("12#", "12"), ("*9", "*9")])
def test_collected_keys_go_to_the_tool_only(keys: str, digits: str) -> None:
    call = make_call()
    call.call_tool("collect_digits", '{"max_digits": 4, "terminator": "#", "purpose": "order number"}')
    press(call, keys)
    call.run(3100)

    assert output(call) == {"count": len(digits), "digits": digits}
    assert call.events("digits_collected") == [{"secret": False, "count": len(digits), "digits": digits}]
    assert not call.events("digit")
    assert not call.all(do.AddMessage)


def test_secret_keys_are_nowhere_but_with_the_driver() -> None:
    call = make_call()
    assert not call.session.secret_input
    call.call_tool("collect_digits", '{"max_digits": 16, "secret": true, "purpose": "card"}')
    assert call.session.secret_input
    assert call.session.mask_digit("4") == MASK
    press(call, "4111#")

    assert not call.session.secret_input
    reference = call.last(do.SealDigits).reference
    assert call.last(do.SealDigits).count == 4
    assert reference.startswith("secret:")
    assert output(call) == {"count": 4, "reference": reference}
    assert "4111" not in msgspec.json.encode([command for _, command in call.done]).decode()
    assert "4" not in [event.digit for _, event in call.fed if isinstance(event, ev.DigitPressed)]


def test_a_caller_who_types_nothing_is_reported() -> None:
    call = make_call()
    call.call_tool("collect_digits", '{"max_digits": 4, "secret": true}')
    call.run(20_100)

    assert "nothing" in str(output(call)["error"])
    assert call.last(do.SealDigits).count == 0
    assert call.last(do.RecordToolRun).status == "failed"


def test_one_collection_at_a_time() -> None:
    call = make_call()
    call.call_tool("collect_digits", '{"max_digits": 4}')
    call.call_tool("collect_digits", '{"max_digits": 4}')

    assert "already" in str(output(call)["error"])


@pytest.mark.parametrize("secret", [True, False])
def test_a_hang_up_during_input_throws_the_secret_away(secret: bool) -> None:
    call = make_call()
    call.call_tool("collect_digits", json.dumps({"max_digits": 4, "secret": secret}))
    press(call, "12")
    call.feed(ev.CallerHungUp())

    assert [c.count for c in call.all(do.SealDigits)] == ([0] if secret else [])


def test_the_silence_ladder_waits_while_the_caller_types() -> None:
    call = make_call()
    call.call_tool("collect_digits", '{"max_digits": 4}', says="Please type it.")
    call.run(15_000)

    assert not call.events("silence_prompt")

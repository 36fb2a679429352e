"""The silence ladder and the duration cap."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from agents.spec import SilenceLadder
from calls.session import commands as do
from calls.session import events as ev
from calls.session.plan import HistoryItem, Resume
from tests.calls.session.script import RECEPTION, Call

LADDER = SilenceLadder(after_s=5, prompts=("Are you there?", "Still there?"), goodbye="Goodbye then.")


def make_call(**fields: object) -> Call:
    return Call(agent=msgspec.structs.replace(RECEPTION, **{"silence": LADDER, **fields}))


def prompt(call: Call) -> None:
    """The caller stays silent; the prompt is said and heard."""
    call.run(5100)
    call.reply("…", ms=500)
    call.run(600)


def test_a_silent_caller_is_asked_twice_and_then_left() -> None:
    call = make_call()
    call.start()
    call.reply(ms=1000)
    call.run(1000)
    prompt(call)
    prompt(call)
    call.run(5100)
    call.reply("Goodbye then.", ms=1000)
    call.run(900)
    assert not call.all(do.Leave)
    call.run(200)

    assert [c.instructions for c in call.asked()][1:] == [
        'Say exactly: "Are you there?"',
        'Say exactly: "Still there?"',
        'Say exactly: "Goodbye then."',
    ]
    assert call.last(do.Leave) == do.Leave(next="hang_up", reason="silence")
    assert [data["step"] for data in call.events("silence_prompt")] == [1, 2, 3]


def test_the_silence_counts_from_the_end_of_playback() -> None:
    call = make_call()
    call.start()
    call.reply(ms=4000)
    call.run(8900)
    assert not call.events("silence_prompt")

    call.run(200)

    assert len(call.events("silence_prompt")) == 1


def press(call: Call) -> None:
    call.feed(ev.DigitPressed(digit="1"))
    call.run(1100)


def speak(call: Call) -> None:
    call.caller_says("Yes?")


@pytest.mark.parametrize("sign", [press, speak])
def test_a_sign_of_life_starts_the_ladder_anew(sign: Callable[[Call], None]) -> None:
    call = make_call()
    call.greet()
    prompt(call)

    sign(call)
    call.reply(ms=200)
    call.run(300)
    prompt(call)

    assert [data["step"] for data in call.events("silence_prompt")] == [1, 1]


def test_a_caller_who_speaks_during_the_goodbye_stays() -> None:
    call = make_call(silence=SilenceLadder(after_s=5, prompts=(), goodbye="Goodbye."))
    call.greet()
    call.run(5100)
    call.reply("Goodbye.", ms=1000)
    call.run(300)

    call.caller_says("I am here!")
    call.reply("Good.")
    call.run(3000)

    assert not call.all(do.Leave)


def test_a_caller_who_speaks_before_the_prompt_is_said_is_not_prompted() -> None:
    call = make_call()
    call.greet()
    call.run(5100)
    response_id = call.begin()
    call.interrupt()
    call.end(response_id, "cancelled")
    call.caller_says("I am here!")
    asked = len(call.asked())
    call.reply("Good.")
    call.run(3000)

    assert len(call.asked()) == asked


def test_a_goodbye_the_model_never_says_is_said_by_the_carrier() -> None:
    call = make_call(silence=SilenceLadder(after_s=5, prompts=(), goodbye="Goodbye."))
    call.greet()
    call.run(5100)
    call.end(call.begin())

    leave = call.last(do.Leave)
    assert (leave.next, leave.say) == ("hang_up", "Goodbye.")


def test_the_ladder_can_be_switched_off() -> None:
    call = make_call(silence=SilenceLadder(after_s=0))
    call.greet()
    call.run(60_000)

    assert not call.events("silence_prompt")


def test_the_cap_is_announced_and_kept() -> None:
    call = make_call(max_duration_s=60, wrap_up_s=20, goodbye="Time is up.", silence=SilenceLadder(after_s=0))
    call.greet()
    call.run(37_500)
    assert call.events("wrap_up") == [{"seconds": 20}]
    assert "20 seconds" in call.last(do.AddMessage).text
    call.run(20_000)
    assert call.asked()[-1].instructions == 'Say exactly: "Time is up."'
    call.reply("Time is up.", ms=800)
    call.run(900)

    assert call.last(do.Leave) == do.Leave(next="hang_up", reason="max_duration")


def test_a_caller_who_never_stops_talking_meets_the_cap_all_the_same() -> None:
    call = make_call(max_duration_s=60, wrap_up_s=0, goodbye="Time is up.")
    call.greet()
    call.interrupt()
    call.run(80_000)

    leave = call.last(do.Leave)
    assert (leave.reason, leave.say) == ("max_duration", "Time is up.")
    assert not call.events("wrap_up")


def test_time_used_before_a_resume_counts() -> None:
    resume = Resume(
        cause="process_lost", attempt=1, agent="Reception", elapsed_ms=50_000, history=(HistoryItem(kind="agent"),)
    )
    call = Call(agent=msgspec.structs.replace(RECEPTION, max_duration_s=60, wrap_up_s=20), resume=resume)
    call.start()

    assert next(c.at_ms for c in call.all(do.SetTimer) if c.name == "cap") == 10_000
    assert "wrap_up" not in {c.name for c in call.all(do.SetTimer)}


def test_an_end_that_is_final_is_not_replaced_by_a_later_one() -> None:
    call = make_call(max_duration_s=10, wrap_up_s=0, silence=SilenceLadder(after_s=0))
    call.greet()
    call.feed(ev.EndRequested(reason="supervisor_ended"))
    call.run(7_100)
    call.reply("Goodbye.", ms=500)
    call.run(600)

    assert [c.reason for c in call.all(do.Leave)] == ["supervisor_ended"]

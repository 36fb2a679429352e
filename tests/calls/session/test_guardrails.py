"""Guardrails cut before more is heard, and make the agent correct itself (product 4.6, openai-realtime.md §7.4)."""

from __future__ import annotations

import msgspec

from agents.spec import AgentSpec, Guardrail
from calls.session import commands as do
from calls.session import events as ev
from calls.session.failures import NEUTRAL
from tests.calls.session.script import RECEPTION, Call

REFUND = Guardrail(
    name="refund", pattern=r"guarantee\s+a\s+refund", correction="Never promise refunds; offer to ask a colleague."
)
ADVICE = Guardrail(name="advice", kind="judge", question="Does this give medical advice?", correction="Give no advice.")


def make_call(*rails: Guardrail) -> Call:
    agent: AgentSpec = msgspec.structs.replace(RECEPTION, guardrails=rails)
    call = Call(agent=agent)
    call.greet()
    for job in [c.job for c in call.all(do.CreateResponse) if c.job]:
        judge(call, "no", job=job)
    call.caller_says("Can I have my money back?")
    return call


def judges(call: Call) -> list[do.CreateResponse]:
    """Questions to judges, but for the one about the greeting."""
    return [c for c in call.all(do.CreateResponse) if c.job and c.input_text != "Good morning."]


def judge(call: Call, answer: str, *, job: str = "", status: str = "completed") -> None:
    job = job or judges(call)[-1].job
    response_id = call.new_id("resp_job")
    call.feed(ev.ResponseStarted(response_id=response_id, job=job))
    call.feed(ev.AgentText(response_id=response_id, item_id="item_job", content_index=0, text=answer))
    call.end(response_id, status, job=job, text=answer)


def test_forbidden_words_are_cut_before_they_are_heard() -> None:
    call = make_call(REFUND)
    response_id = call.begin()
    item_id = call.speak(response_id, "Of course, and I can", ms=1000, done=False)
    call.run(300)

    tripped = call.feed(
        ev.AgentText(response_id=response_id, item_id=item_id, content_index=0, text=" guarantee a"),
        ev.AgentText(response_id=response_id, item_id=item_id, content_index=0, text=" refund"),
    )

    kinds = [type(c) for c in tripped if not isinstance(c, do.SetTimer | do.CancelTimer | do.RecordTurn)]
    assert kinds[:2] == [do.ClearPlayback, do.CancelResponse]
    assert call.last(do.TruncateItem).audio_end_ms == 300
    assert call.last(do.CancelResponse).response_id == response_id
    trip = call.events("guardrail")[-1]
    assert (trip["name"], trip["by"], trip["heard"]) == ("refund", "pattern", "Of course,")
    assert trip["said"] == "Of course, and I can guarantee a refund"
    assert "Never promise refunds" in call.last(do.AddMessage).text


def test_the_correction_waits_for_the_cancelled_response() -> None:
    call = make_call(REFUND)
    asked = len(call.asked())
    response_id = call.begin()
    call.speak(response_id, "I guarantee a refund", ms=1000)
    assert len(call.asked()) == asked

    call.end(response_id, "cancelled", reason="client_cancelled")

    assert len(call.asked()) == asked + 1


def test_words_across_two_items_trip() -> None:
    call = make_call(REFUND)
    response_id = call.begin()
    call.speak(response_id, "I guarantee a", ms=300)
    call.speak(response_id, "refund.", ms=300)

    assert len(call.events("guardrail")) == 1


def test_a_response_trips_once() -> None:
    call = make_call(REFUND)
    response_id = call.begin()
    call.speak(response_id, "I guarantee a refund", ms=300)
    call.feed(ev.AgentText(response_id=response_id, item_id="item_y", content_index=0, text="guarantee a refund"))

    assert len(call.events("guardrail")) == 1


def test_harmless_words_pass() -> None:
    call = make_call(REFUND)
    call.reply("I will ask a colleague about a refund.")

    assert not call.events("guardrail")


def test_an_agent_that_trips_again_and_again_gets_a_fixed_line() -> None:
    call = make_call(REFUND)
    for _ in range(3):
        response_id = call.begin()
        call.speak(response_id, "I guarantee a refund", ms=300)
        call.end(response_id, "cancelled")

    assert NEUTRAL in call.asked()[-1].instructions


def test_a_judge_reads_along_and_at_the_end() -> None:
    call = make_call(ADVICE)
    response_id = call.begin()
    call.speak(response_id, "Take two of these pills every morning. " * 3, ms=6000)
    assert len(judges(call)) == 1
    question = judges(call)[0]
    assert "medical advice" in question.instructions
    assert question.input_text.startswith("Take two")
    assert not question.tools_allowed
    judge(call, "no")

    call.end(response_id)
    assert len(judges(call)) == 1
    short = call.begin()
    call.speak(short, "Rest.", ms=300)
    call.end(short)

    assert len(judges(call)) == 2


def test_a_judge_who_says_yes_cuts_even_after_generation() -> None:
    call = make_call(ADVICE)
    asked = len(call.asked())
    call.reply("Take two of these pills every morning.", ms=6000)
    call.run(1000)

    judge(call, "Yes.")

    assert call.last(do.TruncateItem).audio_end_ms == 1000
    assert not call.all(do.CancelResponse)
    assert call.events("guardrail")[-1]["by"] == "judge"
    assert len(call.asked()) == asked + 1
    assert [c.kind for c in call.all(do.RecordUsage)].count("judge") == 2  # and the greeting


def test_a_late_yes_after_all_was_heard_still_corrects() -> None:
    call = make_call(ADVICE)
    item_id = call.reply("Take two pills.", ms=600)
    call.run(2000)

    judge(call, "yes")

    assert not call.all(do.ClearPlayback)
    assert call.turn(item_id).status == "complete"
    assert call.events("guardrail")[-1]["heard"] == "Take two pills."
    assert "Give no advice." in call.last(do.AddMessage).text


def test_longer_words_are_judged_again_when_the_first_answer_is_there() -> None:
    call = make_call(ADVICE)
    response_id = call.begin()
    item_id = call.speak(response_id, "Take two of these pills every morning. " * 3, ms=400, done=False)
    call.feed(ev.AgentText(response_id=response_id, item_id=item_id, content_index=0, text="And rest a lot. " * 8))
    assert len(judges(call)) == 1
    judge(call, "no")
    assert len(judges(call)) == 2

    call.feed(ev.AgentText(response_id=response_id, item_id=item_id, content_index=0, text="Bye."))
    judge(call, "no")
    assert len(judges(call)) == 2
    call.end(response_id)

    assert judges(call)[-1].input_text.endswith("Bye.")


def test_a_judge_that_fails_silences_nobody() -> None:
    call = make_call(ADVICE)
    call.reply("Take two pills.", ms=600)

    judge(call, "", status="failed")
    judge(call, "yes", job="judge:99:unknown")
    call.run(1000)

    assert not call.events("guardrail")
    assert call.session.phase == "live"


def test_a_second_yes_about_one_response_changes_nothing() -> None:
    other = Guardrail(name="other", kind="judge", question="Is it rude?")
    call = make_call(ADVICE, other)
    call.reply("Take two pills.", ms=600)
    first, second = (command.job for command in judges(call))

    judge(call, "yes", job=first)
    judge(call, "yes", job=second)

    assert [trip["name"] for trip in call.events("guardrail")] == ["advice"]


def test_what_the_caller_cut_is_not_judged() -> None:
    call = make_call(ADVICE)
    response_id = call.begin()
    call.speak(response_id, "Take two pills.", ms=3000)
    call.run(100)
    call.interrupt()
    call.end(response_id, "cancelled", reason="turn_detected")

    assert not judges(call)


def test_a_judge_under_way_at_the_end_is_a_lost_bill() -> None:
    call = make_call(ADVICE)
    call.reply("Take two pills.", ms=600)
    call.feed(ev.ResponseStarted(response_id="resp_job", job=judges(call)[-1].job))

    call.feed(ev.CallerHungUp())

    lost = call.last(do.RecordUsage)
    assert (lost.kind, lost.source_id, lost.usage) == ("judge", "resp_job", None)


def test_a_pattern_that_does_not_compile_is_noted_once() -> None:
    call = make_call(Guardrail(name="broken", pattern="("), Guardrail(name="empty"))
    call.reply("One.")
    call.reply("Two.")

    assert [data["problem"] for data in call.events("peer_error")] == ["guardrail pattern"]


def test_a_cancelled_response_that_never_ends_does_not_silence_the_call() -> None:
    call = make_call(REFUND)
    response_id = call.begin()
    call.speak(response_id, "I guarantee a refund", ms=300)
    call.run(8100)
    assert len(call.events("watchdog")) == 1
    call.run(8000)

    assert len(call.all(do.CancelResponse)) == 1
    assert call.last(do.Leave).cause == "model_silent"


def test_an_agent_of_another_language_says_our_lines_in_its_own() -> None:
    call = Call(agent=msgspec.structs.replace(RECEPTION, languages=("nl",)))
    call.greet()
    call.end(call.begin(), "incomplete", reason="content_filter")

    assert call.asked()[-1].instructions.startswith("In the language of the conversation")

"""The script: which rule is followed, and what becomes of its texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emulators.openai.conversation import Item
from emulators.openai.planner import Circumstances, PlannedCall, PlannedMessage, Planner, Stimulus, read_stimulus
from emulators.openai.script import Script, ScriptError

TOOLS = [{"type": "function", "name": "book"}, {"type": "function", "name": "look"}]
AGENT = Circumstances(session_instructions="You are Reception.", tools=TOOLS)


def read_rules(*rules: dict[str, Any], **texts: str) -> Script:
    return Script.read({"rules": list(rules), **texts})


def said(
    script: Script, stimulus: Stimulus, circumstances: Circumstances = AGENT, planner: Planner | None = None
) -> str:
    plan = (planner or Planner()).plan(stimulus, script=script, circumstances=circumstances)
    return " | ".join(f"{step.name}({step.arguments})" if isinstance(step, PlannedCall) else step.text for step in plan)


HEARD = Stimulus(spoke_before=True, caller="I want to book Thursday at ten")


def test_the_first_rule_that_fits_is_followed() -> None:
    script = read_rules(
        {"caller": "cancel", "say": "a"}, {"caller": "book", "say": "b"}, {"caller": "book", "say": "c"}
    )
    assert said(script, HEARD) == "b"


def test_groups_fill_texts_and_arguments() -> None:
    rule = {
        "caller": r"book (?P<day>\w+) at (\w+)",
        "call": [{"name": "book", "arguments": {"when": {"day": "{day}", "hour": "at {2}"}, "people": 2}}],
        "say": "Booking {day}.",
    }
    assert (
        said(read_rules(rule), HEARD)
        == 'book({"when":{"day":"Thursday","hour":"at ten"},"people":2}) | Booking Thursday.'
    )


def test_a_rule_whose_tool_the_agent_does_not_have_is_passed_over() -> None:
    script = read_rules({"caller": "book", "call": [{"name": "refund"}]}, {"caller": "book", "say": "ok"})
    assert said(script, HEARD) == "ok"
    none = Circumstances(session_instructions="", tools=TOOLS, tool_choice="none")
    assert said(read_rules({"caller": "book", "call": [{"name": "book"}]}), HEARD, none) == Script().fallback


def test_instructions_tell_which_agent_is_speaking() -> None:
    script = read_rules(
        {"instructions": "Billing", "caller": "book", "say": "This is billing."},
        {"instructions": "Reception", "caller": "book", "say": "This is reception."},
    )
    assert said(script, HEARD) == "This is reception."
    assert said(script, HEARD, Circumstances(session_instructions="You are Billing.")) == "This is billing."


def test_a_rule_for_once_is_used_once_per_session() -> None:
    script = read_rules({"caller": "book", "say": "first", "once": True}, {"caller": "book", "say": "again"})
    planner = Planner()
    assert [said(script, HEARD, planner=planner) for _ in range(2)] == ["first", "again"]
    assert said(script, HEARD, planner=Planner()) == "first"


def test_what_was_promised_is_said_when_the_tool_has_answered() -> None:
    rule = {"caller": r"book (\w+)", "call": [{"name": "book"}], "then": "{1} at {output.slots.0.time}."}
    planner = Planner()
    (call,) = planner.plan(HEARD, script=read_rules(rule), circumstances=AGENT)
    assert isinstance(call, PlannedCall)
    answered = Stimulus(spoke_before=True, outputs=(("book", call.call_id, '{"slots": [{"time": "ten"}]}'),))
    assert said(read_rules(rule), answered, planner=planner) == "Thursday at ten."
    assert said(read_rules(rule), answered, planner=planner) == Script().after_tool


def test_results_can_be_told_by_their_content() -> None:
    script = read_rules(
        {"output_of": "book", "output": "full", "say": "No room."},
        {"output_of": "book", "say": "Booked: {output}."},
        {"output_of": "look", "say": "Found."},
    )
    assert said(script, Stimulus(spoke_before=True, outputs=(("book", "c", '{"error": "full"}'),))) == "No room."
    assert said(script, Stimulus(spoke_before=True, outputs=(("book", "c", "done"),))) == "Booked: done."
    assert said(script, Stimulus(spoke_before=True, outputs=(("look", "c", "{}"),))) == "Found."


def test_notes_greetings_and_nudges_have_their_rules() -> None:
    script = read_rules(
        {"note": r"pressed (\d)", "say": "You chose {1}."},
        {"greeting": True, "say": "Welcome."},
        {"nudge": True, "say": "Still there?"},
    )
    assert said(script, Stimulus(notes=("Caller pressed 1.",))) == "You chose 1."
    assert said(script, Stimulus()) == "Welcome."
    assert said(script, Stimulus(spoke_before=True)) == "Still there?"


@pytest.mark.parametrize(
    ("stimulus", "text"),
    [
        (Stimulus(), Script().greeting),
        (Stimulus(spoke_before=True), Script().nudge),
        (Stimulus(spoke_before=True, caller="whatever"), Script().fallback),
        (Stimulus(spoke_before=True, caller=""), Script().unheard),
        (Stimulus(spoke_before=True, notes=("A note.",)), Script().fallback),
        (Stimulus(spoke_before=True, outputs=(("look", "c", "{}"),)), Script().after_tool),
    ],
)
def test_without_a_rule_something_sensible_is_said(stimulus: Stimulus, text: str) -> None:
    assert said(Script(), stimulus) == text


@pytest.mark.parametrize("quoted", ['"Good morning."', "“Good morning.”"])
def test_a_quoted_text_after_exactly_is_said_as_it_stands(quoted: str) -> None:
    script = read_rules({"say": "rule"})
    told = Circumstances(session_instructions="", response_instructions=f"Say exactly: {quoted} and nothing else.")
    assert said(script, HEARD, told) == "Good morning."
    assert said(script, Stimulus(spoke_before=True, notes=(f"Say exactly: {quoted}",))) == "Good morning."
    opening = Circumstances(session_instructions=f"Begin by saying exactly: {quoted}")
    assert said(script, Stimulus(), opening) == "Good morning."
    assert said(script, HEARD, opening) == "rule"


def test_out_of_band_requests_have_rules_of_their_own() -> None:
    script = read_rules(
        {"out_of_band": True, "instructions": "Classify", "say": '{"label": "booking"}'}, {"say": "rule"}
    )
    classify = Circumstances(
        session_instructions="", response_instructions="Classify the call.", out_of_band=True, speaks=False
    )
    assert said(script, HEARD, classify) == '{"label": "booking"}'
    other = Circumstances(session_instructions="", response_instructions="Summarise.", out_of_band=True, speaks=False)
    assert said(script, HEARD, other) == Script().text


def test_only_reasoning_models_speak_commentary_and_phases() -> None:
    script = read_rules({"caller": "book", "commentary": "One moment.", "call": [{"name": "book"}], "say": "Done."})
    plan = Planner().plan(HEARD, script=script, circumstances=AGENT)
    assert [step.phase for step in plan if isinstance(step, PlannedMessage)] == ["commentary", "final_answer"]
    plain = Circumstances(session_instructions="", tools=TOOLS, reasons=False)
    plan = Planner().plan(HEARD, script=script, circumstances=plain)
    assert [step.phase for step in plan if isinstance(step, PlannedMessage)] == [None]


def test_tools_one_at_a_time_when_parallel_calls_are_off() -> None:
    script = read_rules({"caller": "book", "call": [{"name": "look"}, {"name": "book"}]})
    assert said(script, HEARD) == "look({}) | book({})"
    single = Circumstances(session_instructions="", tools=TOOLS, parallel_tool_calls=False)
    assert said(script, HEARD, single) == "look({})"


def test_a_forced_tool_is_called_with_the_least_its_schema_asks_for() -> None:
    parameters = {
        "type": "object",
        "properties": {"kind": {"enum": ["new", "old"]}, "count": {"type": "integer"}, "note": {"type": "string"}},
        "required": ["kind", "count"],
    }
    tools = [{"type": "function", "name": "book", "parameters": parameters}]
    forced = Circumstances(session_instructions="", tools=tools, tool_choice={"type": "function", "name": "book"})
    assert said(Script(), HEARD, forced) == 'book({"kind":"new","count":0})'
    assert said(read_rules({"say": "talk"}), HEARD, forced) == 'book({"kind":"new","count":0})'


def test_what_is_new_is_what_came_after_the_agents_last_words() -> None:
    items = [
        Item({"id": "1", "type": "message", "role": "user", "content": []}, audio=b"x", heard="old"),
        Item({"id": "2", "type": "message", "role": "assistant", "content": []}),
        Item({"id": "3", "type": "message", "role": "user", "content": []}, audio=b"x", heard="one"),
        Item({"id": "4", "type": "message", "role": "user", "content": []}, audio=b"x", heard="two"),
        Item({"id": "5", "type": "message", "role": "system", "content": [{"type": "input_text", "text": "note"}]}),
        Item({"id": "6", "type": "function_call_output", "call_id": "call_1", "output": "{}"}),
    ]
    stimulus = read_stimulus(items, names={"call_1": "look"})
    assert stimulus == Stimulus(
        spoke_before=True, caller="one two", notes=("note",), outputs=(("look", "call_1", "{}"),)
    )


def test_a_script_reads_from_yaml() -> None:
    script = Script.parse("greeting: Hi.\nrules:\n  - caller: book\n    call: [{name: book, arguments: {a: '{1}'}}]\n")
    assert script.greeting == "Hi."
    assert script.rules[0].call[0].arguments == {"a": "{1}"}
    assert script.list_fixed_texts()[0] == "Hi."


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"rule": []}, "script.rule"),
        ({"rules": "x"}, "script.rules"),
        ({"rules": [{"caler": "x"}]}, r"script.rules\[0\].caler"),
        ({"rules": [{"caller": "("}]}, r"script.rules\[0\].caller"),
        ({"rules": [{"caller": 3}]}, r"script.rules\[0\].caller"),
        ({"rules": [{"once": "yes"}]}, r"script.rules\[0\].once"),
        ({"rules": [{"call": [{"tool": "x"}]}]}, r"script.rules\[0\].call\[0\]"),
        ({"rules": [{}, 3]}, r"script.rules\[1\]"),
    ],
)
def test_a_mistake_in_a_script_is_named_by_its_place(data: dict[str, Any], place: str) -> None:
    with pytest.raises(ScriptError, match=place):
        Script.read(data)


@pytest.mark.parametrize("text", ["- a\n- b", "rules: ["])
def test_what_is_no_mapping_is_no_script(text: str) -> None:
    with pytest.raises(ScriptError, match="script"):
        Script.parse(text)


def test_the_script_of_the_documentation_loads() -> None:
    page = (Path(__file__).parents[3] / "docs" / "emulators.md").read_text()
    script = Script.parse(page.split("```yaml\n")[1].split("```")[0])
    assert [rule.call[0].name for rule in script.rules if rule.call] == ["lookup_order"]
    assert said(script, Stimulus(spoke_before=True, notes=("Caller pressed 1.",))) == "Billing it is."

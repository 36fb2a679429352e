"""Templates that a new agent may begin with can be published as they are, on every path that exists."""

from __future__ import annotations

import msgspec
import pytest

from agents.exchange import read_file, write_agent
from agents.preflight import check
from agents.spec import HttpCall, SpecError, ToolPolicy, ToolSpec, parse_agent
from agents.starters import find_starter, list_starters, make_blank

KEYS = [starter.key for starter in list_starters()]


def test_there_are_the_six_of_the_specification() -> None:
    assert KEYS == [
        "healthcare_reception",
        "real_estate",
        "salon_booking",
        "it_helpdesk",
        "sales_qualification",
        "after_hours",
    ]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("path", ["streams", "sip", "relay"])
def test_a_template_can_be_published_as_it_is(key: str, path: str) -> None:
    starter = find_starter(key)
    assert starter is not None
    spec = starter.make_spec(business="Acme")
    assert check(spec, path=path, agents={}, secret_names=[]) == ()
    assert "{" not in spec.instructions
    assert "Acme" in spec.greeting


def test_an_empty_agent_is_told_what_it_lacks() -> None:
    assert [finding.field for finding in check(make_blank("New"), path="streams")] == ["instructions"]


def test_an_exported_agent_reads_back_as_it_was() -> None:
    tool = ToolSpec(
        name="look_up",
        description="Look up",
        parameters={"type": "object", "properties": {"id": {"type": "string"}}},
        http=HttpCall(url="https://x.example/{id}", headers={"Authorization": "Bearer {secret:crm}"}),
        secret_names=("crm",),
    )
    spec = parse_agent(
        {
            "name": "R",
            "instructions": "Line one.\nLine two: 'quoted'.\n",
            "realtime": {"noise_reduction": {"kind": "off"}, "max_output_tokens": 900},
            "contacts": [{"name": "Desk", "e164": "+31201234567"}],
            "languages": ["no", "en"],
        }
    )
    used = msgspec.structs.replace(tool, policy=ToolPolicy.CONFIRM, overrides=("policy",))
    spec = msgspec.structs.replace(spec, tools=(used,))
    text = write_agent(spec, {tool.name: tool})
    assert "|" in text
    read = read_file(text, {})
    assert (read.agents[0].spec, read.tools) == (spec, (tool,))
    own = msgspec.structs.replace(tool, description="Ours")
    again = read_file(text, {"look_up": own})
    assert again.tools == ()
    assert again.agents[0].spec.tools[0].description == "Ours"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("agents: [{name: R, instruction: x}]", "agents[0].instruction: unknown key; did you mean instructions?"),
        ("agents: []", "agents: the file must hold a list"),
        ("[1, 2]", "agents: the file must hold a list"),
        ("a: [", "the file is not YAML"),
        ("a: &x [1]\nb: *x", "write the value out"),
        ("agents: [{name: R, instructions: i, realtime: {speed: fast}}]", "agents[0].realtime.speed: expected float"),
        ("agents: [{name: R, instructions: i}]\nnumbers: []", "numbers: unknown key"),
        ("x" * 400_001, "longer than"),
        ("tools: {a: b}\nagents: [{name: R, instructions: i}]", "tools: expected a list"),
    ],
)
def test_a_broken_file_is_answered_with_its_place(text: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_file(text, {})
    assert words in str(caught.value)


def test_one_agent_needs_no_frame() -> None:
    assert read_file("name: R\ninstructions: You answer.\n", {}).agents[0].spec.name == "R"

"""Declared tools and agents: the issue's file works as it stands, and every mistake is answered with its path and a mend."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from agents.builtins import BUILTINS
from agents.declare import read_agent, read_tool
from agents.spec import HandOff, SpecError, ToolPolicy, ToolSpec

CONTRACT = """
tools:
  - {name: lookup_order, kind: http, method: POST, url: "http://127.0.0.1:9/orders", description: Look up an order,
     parameters: {type: object, properties: {order_id: {type: string}}, required: [order_id]}, timeout_s: 5, idempotent: true}
agents:
  - name: Reception
    instructions: You answer the phone of a dental practice.
    greeting: Good morning, Acme Dental.
    realtime: {model: gpt-realtime-2.1, voice: marin}
    tools: [lookup_order]
    publish: true
"""


def read(text: str, **tools: ToolSpec) -> Any:
    return read_agent(yaml.safe_load(text), "tenants[0].agents[1]", tools)


def refusal_of(text: str, **tools: ToolSpec) -> str:
    with pytest.raises(SpecError) as caught:
        read("{name: R, instructions: i, " + text + "}", **tools)
    return str(caught.value)


def test_the_contract_of_the_issue_reads_as_it_stands() -> None:
    data = yaml.safe_load(CONTRACT)
    tool = read_tool(data["tools"][0], "tenants[0].tools[0]")
    declared = read_agent(data["agents"][0], "tenants[0].agents[0]", {tool.name: tool})
    assert tool.http is not None
    assert (tool.http.method, tool.http.url, tool.timeout_s, tool.idempotent) == (
        "POST",
        "http://127.0.0.1:9/orders",
        5.0,
        True,
    )
    assert declared.publish
    assert declared.spec.tools == (tool,)
    assert declared.spec.realtime.voice == "marin"


def test_secrets_of_headers_are_found_and_added_to_the_listed_ones() -> None:
    tool = read_tool(
        {
            "name": "t",
            "url": "https://x.example/",
            "headers": {"A": "Bearer {secret:crm} {secret:two}"},
            "secrets": ["one", "crm"],
        },
        "t",
    )
    assert tool.secret_names == ("one", "crm", "two")


def test_everything_about_an_agent_can_be_declared() -> None:
    declared = read(
        """
        name: Reception
        instructions: Answer.
        objective: triage
        speaks_first: caller
        languages: [nl, en]
        realtime:
          effort: minimal
          max_output_tokens: inf
          noise_reduction: {kind: off}
          turn_detection: {kind: semantic_vad, eagerness: low}
        tools:
          - end_call
          - {name: lookup, policy: confirm, filler: One moment., on_failure: Sorry., description: Look it up.}
        hand_offs: [Billing, {agent: Sales, description: offers}]
        contacts: [{name: Ann, e164: "+31201234567"}]
        guardrails: [{name: refunds, pattern: refund, correction: Say that a person decides.}]
        collect: [{name: birth_date, kind: date, required: true}]
        silence: {after_s: 6, prompts: ["Hello?"], goodbye: Bye.}
        recording: true
        disclosure: This call is recorded.
        """,
        lookup=ToolSpec(name="lookup", description="old", timeout_s=3.0),
    )
    spec = declared.spec
    assert not declared.publish
    assert spec.realtime.noise_reduction.kind == "off"
    assert spec.tools[0] == BUILTINS["end_call"]
    assert spec.tools[1] == ToolSpec(
        name="lookup",
        description="Look it up.",
        timeout_s=3.0,
        policy=ToolPolicy.CONFIRM,
        filler="One moment.",
        on_failure="Sorry.",
        overrides=("description", "filler", "on_failure", "policy"),
    )
    assert spec.hand_offs == (HandOff(agent="Billing"), HandOff(agent="Sales", description="offers"))
    assert spec.collect[0].required
    assert spec.silence.prompts == ("Hello?",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("realtime: {voce: marin}", "tenants[0].agents[1].realtime.voce: unknown key; did you mean voice?"),
        ("gretting: hi", "tenants[0].agents[1].gretting: unknown key; did you mean greeting?"),
        ("version_id: x", "tenants[0].agents[1].version_id: unknown key"),
        ("contacts: [{name: A, e164: '+3', fon: 1}]", "tenants[0].agents[1].contacts[0].fon: unknown key"),
        (
            "contacts: [{name: A, e164: +31201234567}]",
            "tenants[0].agents[1].contacts[0].e164: expected str, got int; write it in quotes",
        ),
        ("contacts: [{name: A}]", "tenants[0].agents[1].contacts[0].e164: is missing"),
        ("contacts: Ann", "tenants[0].agents[1].contacts: expected array, got str"),
        ("realtime: fast", "tenants[0].agents[1].realtime: expected object, got str"),
        ("realtime: {1: x}", "tenants[0].agents[1].realtime.1: a key must be text; write it in quotes"),
        ("realtime: {effort: huge}", "tenants[0].agents[1].realtime.effort: invalid enum value 'huge'"),
        (
            "realtime: {turn_detection: {typ: server_vad}}",
            "tenants[0].agents[1].realtime.turn_detection.typ: unknown key",
        ),
        ("realtime: {turn_detection: 3}", "tenants[0].agents[1].realtime.turn_detection: expected object, got int"),
        ("max_duration_s: ten", "tenants[0].agents[1].max_duration_s: expected int, got str"),
        (
            "tools: [lookup_ordr]",
            "tenants[0].agents[1].tools[0]: there is no tool 'lookup_ordr'; did you mean lookup_order?",
        ),
        ("tools: [7]", "tenants[0].agents[1].tools[0]: expected keys and values, got a number"),
        (
            "tools: [{policy: confirm}]",
            "tenants[0].agents[1].tools[0]: there is no tool None; known are collect_digits, end_call",
        ),
        (
            "tools: [{name: end_call, policy: maybe}]",
            "tenants[0].agents[1].tools[0].policy: invalid enum value 'maybe'",
        ),
        ("tools: [{name: end_call, url: x}]", "tenants[0].agents[1].tools[0].url: unknown key"),
        ("tools: end_call", "tenants[0].agents[1].tools: expected a list, got text"),
        ("hand_offs: {a: b}", "tenants[0].agents[1].hand_offs: expected a list, got keys and values"),
        ("hand_offs: [null]", "tenants[0].agents[1].hand_offs[0]: expected object, got null"),
        ("realtime: {transcription: {1: x}}", "tenants[0].agents[1].realtime.transcription.1: a key must be text"),
        ("1: x", "tenants[0].agents[1].1: a key must be text"),
        ("publish: maybe", "tenants[0].agents[1].publish: expected true or false"),
    ],
)
def test_a_mistake_in_an_agent_is_answered_with_its_path(text: str, message: str) -> None:
    assert refusal_of(text, lookup_order=ToolSpec(name="lookup_order")).startswith(message)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "t: expected keys and values, got nothing"),
        ([], "t: expected keys and values, got a list"),
        (True, "t: expected keys and values, got true or false"),
        ({"url": "u"}, "t.name: is missing"),
        ({"name": "x"}, "t.url: is missing"),
        ({"name": "x", "url": "u", "kind": "mcp"}, "t.kind: 'mcp' is no kind of tool here"),
        ({"name": "wait", "url": "u"}, "t.name: wait is a built-in tool; choose another name"),
        ({"name": "x", "url": "u", "methd": "GET"}, "t.methd: unknown key; did you mean method?"),
        ({"name": "x", "url": "u", "http": {}}, "t.http: unknown key"),
        ({"name": "x", "url": "u", "method": "FETCH"}, "t.method: invalid enum value 'FETCH'"),
        ({"name": "x", "url": "u", "headers": {"A": 1}}, "t.headers[...]: expected str, got int; write it in quotes"),
        ({"name": "x", "url": "u", "timeout_s": "soon"}, "t.timeout_s: expected float, got str"),
        ({"name": "x", "url": "u", "secrets": {"a": "b"}}, "t.secrets: list the names only"),
        ({"name": "x", "url": "u", "secrets": ["a b"]}, "t.secrets[0]: expected the name of a secret"),
        ({"name": "x", "url": "u", "secrets": [1]}, "t.secrets[0]: expected the name of a secret"),
        ({"name": "x", "url": "u", "secrets": "crm"}, "t.secrets: expected a list, got text"),
    ],
)
def test_a_mistake_in_a_tool_is_answered_with_its_path(data: object, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_tool(data, "t")
    assert str(caught.value).startswith(message)

"""Preflight: every combination that a vendor refuses or a caller would suffer from is found, with its field, severity and mend."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest

from agents.builtins import BUILTINS
from agents.declare import read_agent, read_tool
from agents.preflight import Finding, Severity, blocks, check, estimate_tokens
from agents.spec import (
    AgentSpec,
    Contact,
    Field,
    Guardrail,
    HandOff,
    HttpCall,
    NoiseReduction,
    Realtime,
    SilenceLadder,
    ToolSpec,
    Transcription,
    Truncation,
    TurnDetection,
)

TODAY = date(2026, 11, 21)
ANN = Contact(name="Ann", e164="+31201234567")
NAN = float("nan")


def make_agent(**values: Any) -> AgentSpec:
    return AgentSpec(**{"name": "Reception", "instructions": "Answer the phone of a dental practice.", **values})


def realtime(**values: Any) -> AgentSpec:
    return make_agent(realtime=Realtime(**values))


def turns(**values: Any) -> AgentSpec:
    return realtime(turn_detection=TurnDetection(**values))


def transcriber(**values: Any) -> AgentSpec:
    return realtime(transcription=Transcription(**values))


def silence(**values: Any) -> AgentSpec:
    return make_agent(silence=SilenceLadder(**values))


def rail(**values: Any) -> AgentSpec:
    return make_agent(guardrails=(Guardrail(**{"name": "g", "correction": "Say it otherwise.", **values}),))


def person(e164: str, name: str = "Ann") -> AgentSpec:
    return make_agent(contacts=(Contact(name=name, e164=e164),), tools=(BUILTINS["transfer_to_person"],))


def tool(**values: Any) -> AgentSpec:
    http = {"url": "https://api.example.com/orders"}
    for name in ("url", "headers", "retries", "response_path", "method"):
        if name in values:
            http[name] = values.pop(name)
    spec = {"name": "lookup", "description": "Look up an order.", "http": HttpCall(**http), **values}  # type: ignore[arg-type]  # free-form test data
    return make_agent(tools=(ToolSpec(**spec),))


def schema(*, url: str = "https://api.example.com/orders", **values: Any) -> AgentSpec:
    return tool(url=url, parameters={"type": "object", "properties": {}, **values})


def findings_of(spec: AgentSpec, path: str = "streams", **options: Any) -> list[tuple[str, str]]:
    return [(finding.severity.value, finding.field) for finding in check(spec, path=path, today=TODAY, **options)]


@pytest.mark.parametrize("path", ["streams", "sip", "relay"])
def test_a_sound_agent_passes_on_every_path(path: str) -> None:
    spec = make_agent(
        tools=(
            BUILTINS["transfer_to_person"],
            BUILTINS["hand_off"],
            BUILTINS["end_call"],
            ToolSpec(
                name="lookup_order",
                description="Look up an order.",
                parameters={
                    "type": "object",
                    "properties": {"id": {"type": "string", "pattern": "^[A-Z0-9]+$"}},
                    "required": ["id"],
                },
                http=HttpCall(
                    url="https://api.example.com/o/{id}?x=1", headers={"Authorization": "Bearer {secret:crm}"}
                ),
                secret_names=("crm",),
            ),
        ),
        contacts=(ANN,),
        hand_offs=(HandOff(agent="Billing"),),
        collect=(Field(name="birth_date", kind="date"),),
        guardrails=(
            Guardrail(name="refunds", pattern=r"\brefund", correction="Say that a person decides."),
            Guardrail(name="advice", kind="judge", question="Does it give medical advice?", correction="Do not."),
        ),
        languages=("nl", "en", "pt-BR"),
        recording=True,
        disclosure="This call is recorded.",
    )
    assert (
        check(spec, path=path, agents={"Billing": make_agent(name="Billing")}, secret_names={"crm"}, today=TODAY) == ()
    )


E, W = "error", "warning"
TABLE: list[tuple[str, AgentSpec, list[tuple[str, str]]]] = [
    # the model
    ("unknown model", realtime(model="gpt-realtime-2.2"), [(E, "realtime.model")]),
    ("beta model", realtime(model="gpt-4o-realtime-preview"), [(E, "realtime.model")]),
    ("model near its end", realtime(model="gpt-realtime"), [(W, "realtime.model")]),
    ("snapshot near its end", realtime(model="gpt-realtime-mini-2025-10-06"), [(W, "realtime.model")]),
    ("unknown voice", realtime(voice="marine"), [(E, "realtime.voice")]),
    ("custom voice", realtime(voice="voice_abc"), []),
    ("effort without thinking", realtime(model="gpt-realtime-1.5", effort="high"), [(E, "realtime.effort")]),
    ("serial tools without thinking", realtime(model="gpt-realtime-1.5", parallel_tool_calls=False), [(E, "realtime.parallel_tool_calls")]),
    ("plain model without thinking", realtime(model="gpt-realtime-1.5"), []),
    ("too slow", realtime(speed=0.2), [(E, "realtime.speed")]),
    ("too fast", realtime(speed=1.6), [(E, "realtime.speed")]),
    ("speed not a number", realtime(speed=NAN), [(E, "realtime.speed")]),
    ("slowest", realtime(speed=0.25), []),
    ("fastest", realtime(speed=1.5), []),
    ("no output", realtime(max_output_tokens=0), [(E, "realtime.max_output_tokens")]),
    ("too much output", realtime(max_output_tokens=4097), [(E, "realtime.max_output_tokens")]),
    ("little output while thinking", realtime(max_output_tokens=100), [(W, "realtime.max_output_tokens")]),
    ("little output", realtime(model="gpt-realtime-1.5", max_output_tokens=100), []),
    ("noise reduction off", realtime(noise_reduction=NoiseReduction(kind="off")), []),
    # turns
    ("threshold too high", turns(threshold=1.1), [(E, "realtime.turn_detection.threshold")]),
    ("threshold not a number", turns(threshold=NAN), [(E, "realtime.turn_detection.threshold")]),
    ("negative padding", turns(prefix_padding_ms=-1), [(E, "realtime.turn_detection.prefix_padding_ms")]),
    ("endless pause", turns(silence_duration_ms=60_000), [(E, "realtime.turn_detection.silence_duration_ms")]),
    ("negative pause", turns(silence_duration_ms=-1), [(E, "realtime.turn_detection.silence_duration_ms")]),
    ("long pause", turns(silence_duration_ms=4_000), [(W, "realtime.turn_detection.silence_duration_ms")]),
    ("short pause", turns(silence_duration_ms=150), [(W, "realtime.turn_detection.silence_duration_ms")]),
    ("semantic", turns(kind="semantic_vad", eagerness="high"), []),
    ("semantic with threshold", turns(kind="semantic_vad", threshold=0.7), [(E, "realtime.turn_detection.threshold")]),
    ("semantic with pause", turns(kind="semantic_vad", silence_duration_ms=700), [(E, "realtime.turn_detection.silence_duration_ms")]),
    ("semantic with padding", turns(kind="semantic_vad", prefix_padding_ms=500), [(E, "realtime.turn_detection.prefix_padding_ms")]),
    ("server with eagerness", turns(eagerness="low"), [(E, "realtime.turn_detection.eagerness")]),
    ("answers but no interruption", turns(interrupt_response=False), [(W, "realtime.turn_detection.interrupt_response")]),
    ("neither answers nor interruption", turns(interrupt_response=False, create_response=False), []),
    # transcription and context
    ("unknown transcriber", transcriber(model="gpt-4o-transcript"), [(E, "realtime.transcription.model")]),
    ("transcriber without conversations", transcriber(model="gpt-live-transcribe"), [(E, "realtime.transcription.model")]),
    ("unproven transcriber", transcriber(model="gpt-transcribe"), [(W, "realtime.transcription.model")]),
    ("prompt that is not taken", transcriber(model="gpt-transcribe", prompt="Acme"),
     [(E, "realtime.transcription.prompt"), (W, "realtime.transcription.model")]),
    ("odd language", transcriber(language="english"), [(E, "realtime.transcription.language")]),
    ("language of the agent", transcriber(language="en"), []),
    ("language of some callers", msgspec.structs.replace(transcriber(language="en"), languages=("en", "nl")),
     [(W, "realtime.transcription.language")]),
    ("ratio too high", realtime(truncation=Truncation(retention_ratio=1.2)), [(E, "realtime.truncation.retention_ratio")]),
    ("no context", realtime(truncation=Truncation(post_instructions=0)), [(E, "realtime.truncation.post_instructions")]),
    ("context too small", realtime(truncation=Truncation(post_instructions=10)), [(W, "realtime.truncation.post_instructions")]),
    ("context beyond the model", realtime(model="gpt-realtime-1.5", truncation=Truncation(post_instructions=28_000)),
     [(E, "realtime.truncation.post_instructions")]),
    ("same context in a larger model", realtime(truncation=Truncation(post_instructions=28_000)), []),
    # words
    ("no name", make_agent(name=" "), [(E, "name")]),
    ("no instructions", make_agent(instructions="\n"), [(E, "instructions")]),
    ("long instructions", make_agent(instructions="word " * 14_000), [(E, "instructions")]),
    ("nearly too long instructions", make_agent(instructions="word " * 11_000), [(W, "instructions")]),
    ("long instructions in another script", make_agent(instructions="\u6708" * 17_000), [(E, "instructions")]),
    ("nothing to greet with", make_agent(greeting=""), [(E, "greeting")]),
    ("caller speaks first", make_agent(greeting="", speaks_first="caller"), []),
    ("endless greeting", make_agent(greeting="Hello. " * 100), [(W, "greeting")]),
    ("recorded in secret", make_agent(recording=True), [(W, "disclosure")]),
    ("disclosed without recording", make_agent(disclosure="Recorded."), [(W, "recording")]),
    ("no language", make_agent(languages=()), [(E, "languages")]),
    ("language in words", make_agent(languages=("en", "Dutch")), [(E, "languages[1]")]),
    # time
    ("too long a call", make_agent(max_duration_s=4 * 3600 + 1), [(E, "max_duration_s")]),
    ("longest call", make_agent(max_duration_s=4 * 3600), []),
    ("no call", make_agent(max_duration_s=0, wrap_up_s=0), [(E, "max_duration_s"), (W, "wrap_up_s")]),
    ("short call", make_agent(max_duration_s=10, wrap_up_s=0), [(W, "max_duration_s")]),
    ("wrap-up before the start", make_agent(max_duration_s=60, wrap_up_s=60), [(W, "wrap_up_s")]),
    ("negative wrap-up", make_agent(wrap_up_s=-1), [(E, "wrap_up_s")]),
    ("no goodbye", make_agent(goodbye=""), [(W, "goodbye")]),
    ("ladder in every pause", silence(after_s=0.1), [(E, "silence.after_s")]),
    ("impatient", silence(after_s=1.0), [(W, "silence.after_s")]),
    ("never patient enough", silence(after_s=NAN), [(E, "silence.after_s")]),
    ("no prompts", silence(prompts=()), [(W, "silence.prompts")]),
    ("too many prompts", silence(prompts=("Hello?",) * 6), [(E, "silence.prompts")]),
    ("empty prompt", silence(prompts=("Hello?", " ")), [(E, "silence.prompts[1]")]),
    ("no last word", silence(goodbye=""), [(W, "silence.goodbye")]),
    # people
    ("transfer to nobody", make_agent(tools=(BUILTINS["transfer_to_person"],)), [(E, "contacts")]),
    ("contacts without transfer", make_agent(contacts=(ANN,)), [(W, "contacts")]),
    ("hand-off to nobody", make_agent(tools=(BUILTINS["hand_off"],)), [(E, "hand_offs")]),
    ("targets without hand-off", make_agent(hand_offs=(HandOff(agent="Billing"),)), [(W, "hand_offs")]),
    ("hand-off to itself", make_agent(tools=(BUILTINS["hand_off"],), hand_offs=(HandOff(agent="Reception"),)), [(E, "hand_offs[0].agent")]),
    ("one contact twice", make_agent(tools=(BUILTINS["transfer_to_person"],), contacts=(ANN, ANN)), [(E, "contacts[1].name")]),
    ("nameless contact", person("+31201234567", name=""), [(E, "contacts[0].name")]),
    ("no number", person("reception"), [(E, "contacts[0].e164")]),
    ("number without country", person("0201234567"), [(E, "contacts[0].e164")]),
    ("number with spaces", person("+31 20 123 4567"), [(E, "contacts[0].e164")]),
    ("too short a number", person("+3120"), [(E, "contacts[0].e164")]),
    ("bare emergency number", person("112"), [(E, "contacts[0].e164")]),
    ("emergency number", person("+31112"), [(E, "contacts[0].e164")]),
    ("police", person("+49110"), [(E, "contacts[0].e164")]),
    ("premium number", person("+319001234567"), [(E, "contacts[0].e164")]),
    ("American premium number", person("+19005551234"), [(E, "contacts[0].e164")]),
    ("shared-cost number", person("+4918012345"), [(W, "contacts[0].e164")]),
    ("number out of use", person("+15550000000"), [(W, "contacts[0].e164")]),
    ("field with spaces", make_agent(collect=(Field(name="birth date"),)), [(E, "collect[0].name")]),
    ("field twice", make_agent(collect=(Field(name="a"), Field(name="a"))), [(E, "collect[1].name")]),
    # guardrails
    ("nameless guardrail", rail(name="", pattern="x{3}"), [(E, "guardrails[0].name")]),
    ("guardrail without correction", rail(pattern="x{3}", correction=""), [(W, "guardrails[0].correction")]),
    ("judge without question", rail(kind="judge"), [(E, "guardrails[0].question")]),
    ("pattern missing", rail(), [(E, "guardrails[0].pattern")]),
    ("pattern broken", rail(pattern="("), [(E, "guardrails[0].pattern")]),
    ("pattern that hangs", rail(pattern="(a+)+$"), [(E, "guardrails[0].pattern")]),
    ("pattern that fits nothing at all", rail(pattern="x*"), [(E, "guardrails[0].pattern")]),
    ("pattern that trips on the greeting", rail(pattern="HELLO"), [(E, "guardrails[0].pattern")]),
    # tools
    ("tool twice", make_agent(tools=(BUILTINS["wait"], BUILTINS["wait"])), [(E, "tools[1].name")]),
    ("tool with a space", tool(name="look up"), [(E, "tools[0].name")]),
    ("tool without a name", tool(name=""), [(E, "tools[0].name")]),
    ("tool named as a built-in", tool(name="wait"), [(E, "tools[0].name")]),
    ("unknown built-in", make_agent(tools=(ToolSpec(name="fly", kind="builtin"),)), [(E, "tools[0].name")]),
    ("tool without words", tool(description=""), [(W, "tools[0].description")]),
    ("tool without an address", make_agent(tools=(ToolSpec(name="lookup", description="d"),)), [(E, "tools[0].url")]),
    ("tool without time", tool(timeout_s=0), [(E, "tools[0].timeout_s")]),
    ("tool with endless time", tool(timeout_s=61), [(E, "tools[0].timeout_s")]),
    ("slow tool", tool(timeout_s=30), [(W, "tools[0].timeout_s")]),
    ("stubborn tool", tool(retries=4), [(E, "tools[0].retries")]),
    ("broken response path", tool(response_path="a..b"), [(E, "tools[0].response_path")]),
    ("too many tools", make_agent(tools=tuple(tool(name=f"t{n}").tools[0] for n in range(101))), [(W, "tools")]),
    ("URL without a scheme", tool(url="api.example.com/x"), [(E, "tools[0].url")]),
    ("URL that lets the model choose the host", tool(url="https://{host}/x"), [(E, "tools[0].url")]),
    ("URL of another kind", tool(url="ftp://example.com/"), [(E, "tools[0].url")]),
    ("URL with a password", tool(url="https://u:p@example.com/"), [(E, "tools[0].url")]),
    ("URL with a secret", tool(url="https://example.com/?key={secret:crm}"), [(E, "tools[0].url")]),
    ("URL in the clear", tool(url="http://example.com/"), [(W, "tools[0].url")]),
    ("URL of this machine", tool(url="http://127.0.0.1:8080/"), [(W, "tools[0].url")]),
    ("URL of this machine by name", tool(url="https://localhost/"), [(W, "tools[0].url")]),
    ("URL of the metadata service", tool(url="http://169.254.169.254/latest"), [(W, "tools[0].url")]),
    ("URL of this machine in IPv6", tool(url="https://[::1]/"), [(W, "tools[0].url")]),
    ("URL of a mail server", tool(url="https://example.com:25/"), [(W, "tools[0].url")]),
    ("URL with an undeclared argument", tool(url="https://example.com/{id}"), [(E, "tools[0].url")]),
    ("URL with a list in it", schema(url="https://e.example/{id}", properties={"id": {"type": "array"}}), [(E, "tools[0].url")]),
    ("URL with an optional argument", schema(url="https://e.example/{id}", properties={"id": {"type": "string"}}),
     [(W, "tools[0].parameters.required")]),
    ("our header", tool(headers={"Host": "x"}), [(E, "tools[0].headers.Host")]),
    ("proxy header", tool(headers={"Proxy-Connection": "x"}), [(E, "tools[0].headers.Proxy-Connection")]),
    ("header with a space", tool(headers={"A B": "x"}), [(E, "tools[0].headers.A B")]),
    ("header with an argument", tool(headers={"X-Id": "{order_id}"}), [(E, "tools[0].headers.X-Id")]),
    ("header over two lines", tool(headers={"X-Id": "a\nb"}), [(E, "tools[0].headers.X-Id")]),
    ("header beyond Latin", tool(headers={"X-Id": "\u20ac"}), [(E, "tools[0].headers.X-Id")]),
    ("credential in the open", tool(headers={"Authorization": "Bearer abc"}), [(W, "tools[0].headers.Authorization")]),
    ("secret that is not listed", tool(headers={"X-Key": "{secret:crm}"}), [(E, "tools[0].headers.X-Key")]),
    ("secret that is listed", tool(headers={"X-Key": "{secret:crm}"}, secret_names=("crm",)), []),
    # schemas
    ("no schema", tool(parameters={"type": 3}), [(E, "tools[0].parameters")]),
    ("schema that is no JSON", schema(default={1, 2}), [(E, "tools[0].parameters")]),
    ("list of parameters", tool(parameters={"type": "array"}), [(E, "tools[0].parameters")]),
    ("parameters without a type", tool(parameters={}), [(E, "tools[0].parameters")]),
    ("alternatives at the top", schema(oneOf=[{}]), [(E, "tools[0].parameters")]),
    ("required but unknown", schema(required=["id"]), [(E, "tools[0].parameters.required")]),
    ("pattern that hangs in a schema", schema(properties={"a": {"pattern": "(a+)+"}}), [(E, "tools[0].parameters")]),
    ("pattern of names that hangs", schema(patternProperties={"(a+)+": {}}), [(E, "tools[0].parameters")]),
    ("a property called pattern", schema(properties={"pattern": {"type": "string"}}), []),
    ("fetched schema", schema(properties={"a": {"$ref": "https://example.com/s"}}), [(E, "tools[0].parameters")]),
    ("fetched schema in a list", schema(properties={"a": {"anyOf": [{"$ref": "other.json"}]}}), [(E, "tools[0].parameters")]),
    ("schema with parts", schema(properties={"a": {"$ref": "#/$defs/a"}}, **{"$defs": {"a": {"type": "string"}}}), []),
    ("endless schema", schema(properties={f"p{n}": {"type": "string", "description": "x" * 100} for n in range(200)}),
     [(E, "tools[0].parameters")]),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_each_fault_is_found_at_its_field_with_a_mend_and_nothing_else(
    spec: AgentSpec, expected: list[tuple[str, str]]
) -> None:
    found = check(spec, path="streams", today=TODAY)
    assert [(finding.severity.value, finding.field) for finding in found] == expected
    for finding in found:
        assert finding.message.strip()
        assert finding.mend.endswith((".", "?"))
        assert "%(" not in finding.message + finding.mend


@pytest.mark.parametrize(
    ("today", "severity"),
    [
        (date(2026, 10, 22), W),
        (date(2026, 10, 21), None),
        (date(2027, 1, 19), W),
        (date(2027, 1, 20), E),
        (date(2030, 1, 1), E),
    ],
)
def test_models_warn_a_quarter_before_their_end_and_are_refused_from_it(today: date, severity: str | None) -> None:
    spec = realtime(model="gpt-realtime", transcription=Transcription(model="gpt-transcribe"))
    found = [finding for finding in check(spec, path="streams", today=today) if finding.field == "realtime.model"]
    assert [finding.severity.value for finding in found] == ([severity] if severity else [])
    assert all("gpt-realtime-2.1" in finding.mend for finding in found)


@pytest.mark.parametrize(
    ("today", "severity"), [(date(2026, 11, 27), None), (date(2026, 11, 28), W), (date(2027, 2, 26), E)]
)
def test_transcribers_have_a_last_day_too(today: date, severity: str | None) -> None:
    found = check(make_agent(), path="streams", today=today)
    assert [(f.severity.value, f.field) for f in found] == (
        [(severity, "realtime.transcription.model")] if severity else []
    )


def test_sip_refuses_tuned_server_turn_detection_and_streams_does_not() -> None:
    spec = turns(threshold=0.7)
    assert findings_of(spec, "sip") == [(E, "realtime.turn_detection")]
    assert findings_of(spec, "streams") == []
    assert findings_of(turns(kind="semantic_vad"), "sip") == []


def test_relay_does_not_read_the_realtime_block() -> None:
    assert findings_of(realtime(voice="nobody"), "relay") == []


def test_hand_off_targets_are_looked_up_when_the_agents_are_known() -> None:
    spec = make_agent(tools=(BUILTINS["hand_off"],), hand_offs=(HandOff(agent="Billing"), HandOff(agent="Sales")))
    other_voice = make_agent(name="Sales", realtime=Realtime(voice="cedar"))
    assert findings_of(spec) == []
    assert findings_of(spec, agents={"Sales": make_agent(name="Sales")}) == [(E, "hand_offs[0].agent")]
    assert findings_of(spec, agents={"Sales": other_voice, "Billing": make_agent()}) == [(W, "hand_offs[1].agent")]


def test_secrets_are_looked_up_when_they_are_known() -> None:
    spec = tool(headers={"X-Key": "{secret:crm}"}, secret_names=("crm",))
    assert findings_of(spec, secret_names={"other"}) == [(E, "tools[0].headers.X-Key")]
    assert findings_of(spec, secret_names={"crm"}) == []


def test_errors_stand_before_warnings_and_block_publishing() -> None:
    found = check(make_agent(goodbye="", greeting=""), path="streams", today=TODAY)
    assert [finding.severity for finding in found] == [Severity.ERROR, Severity.WARNING]
    assert blocks(found)
    assert not blocks(found[1:])
    assert not blocks(())


def test_the_nearest_known_word_is_offered() -> None:
    [voice] = check(realtime(voice="marine"), path="streams", today=TODAY)
    assert voice == Finding("realtime.voice", "The model has no voice marine.", "Did you mean marin?", Severity.ERROR)
    [far] = check(realtime(voice="zzz"), path="streams", today=TODAY)
    assert far.mend.startswith("Use one of alloy, ash")


def test_today_is_used_when_no_date_is_given() -> None:
    assert isinstance(check(make_agent(), path="streams"), tuple)


def test_the_file_of_the_issue_can_be_published() -> None:
    lookup = read_tool(
        {
            "name": "lookup_order", "kind": "http", "method": "POST", "url": "http://127.0.0.1:9/orders", "description": "Look up an order",
            "parameters": {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
            "timeout_s": 5, "idempotent": True,
        },
        "tenants[0].tools[0]",
    )  # fmt: skip
    agent = read_agent(
        {
            "name": "Reception", "instructions": "You answer the phone of a dental practice.", "greeting": "Good morning, Acme Dental.",
            "realtime": {"model": "gpt-realtime-2.1", "voice": "marin"}, "tools": ["lookup_order"], "publish": True,
        },
        "tenants[0].agents[0]",
        {"lookup_order": lookup},
    )  # fmt: skip
    assert findings_of(agent.spec, secret_names=()) == [(W, "tools[0].url")]


def test_tokens_are_estimated_by_script() -> None:
    assert estimate_tokens("") == 0
    assert estimate_tokens("a" * 400) == 100
    assert estimate_tokens("\u6708" * 10) == 10

"""An agent as the session the model is asked for, and each command as its literal client event."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from openai.types.realtime import RealtimeSessionCreateRequest

from agents.spec import AgentSpec, Contact, NoiseReduction, Realtime, ToolSpec, Transcription, TurnDetection
from calls.session.commands import (
    AddMessage,
    AddToolExchange,
    AddToolOutput,
    CancelResponse,
    CreateResponse,
    DeleteItem,
    TruncateItem,
)
from calls.wire.realtime_session import (
    Difference,
    ToModel,
    compare_session,
    describe_hand_off,
    describe_session,
    encode,
    encode_update,
    spoils_audio,
)

LOOKUP = ToolSpec(
    name="lookup_order",
    description="Look up an order",
    parameters={"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
)
RECEPTION = AgentSpec(name="Reception", instructions="You answer the phone.", tools=(LOOKUP,))


def encoded(command: ToModel) -> list[Any]:
    return [json.loads(event) for event in encode(command)]


def test_every_field_of_the_session_is_said_aloud() -> None:
    assert json.loads(encode_update(describe_session(RECEPTION), event_id="session-1")) == {
        "type": "session.update",
        "event_id": "session-1",
        "session": {
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": "You answer the phone.",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcmu"},
                    "noise_reduction": {"type": "near_field", "strength": 1},
                    "transcription": {"model": "gpt-4o-mini-transcribe"},
                    "turn_detection": {
                        "type": "server_vad",
                        "threshold": 0.5,
                        "prefix_padding_ms": 300,
                        "silence_duration_ms": 500,
                        "idle_timeout_ms": None,
                        "create_response": True,
                        "interrupt_response": True,
                    },
                },
                "output": {"format": {"type": "audio/pcmu"}, "voice": "marin", "speed": 1.0},
            },
            "tools": [
                {
                    "type": "function",
                    "name": "lookup_order",
                    "description": "Look up an order",
                    "parameters": {
                        "type": "object",
                        "properties": {"order_id": {"type": "string"}},
                        "required": ["order_id"],
                    },
                }
            ],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "truncation": {
                "type": "retention_ratio",
                "retention_ratio": 0.8,
                "token_limits": {"post_instructions": 16000},
            },
            "tracing": None,
            "parallel_tool_calls": True,
            "reasoning": {"effort": "low"},
        },
    }


def test_a_model_that_does_not_think_is_not_told_how_hard() -> None:
    session = describe_session(AgentSpec(name="A", instructions="", realtime=Realtime(model="gpt-realtime-1.5")))
    assert "reasoning" not in session
    assert "parallel_tool_calls" not in session


def test_semantic_turns_know_no_thresholds() -> None:
    realtime = Realtime(
        turn_detection=TurnDetection(kind="semantic_vad", eagerness="high", create_response=False),
        noise_reduction=NoiseReduction(kind="off"),
        transcription=Transcription(model="gpt-transcribe", language="nl", prompt="names"),
        voice="voice_123",
    )
    audio = describe_session(AgentSpec(name="A", instructions="", realtime=realtime, barge_in=False))["audio"]
    assert audio["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "high",
        "create_response": False,
        "interrupt_response": False,
    }
    assert audio["input"]["noise_reduction"] is None
    assert audio["input"]["transcription"] == {"model": "gpt-transcribe", "language": "nl"}
    assert audio["output"]["voice"] == {"id": "voice_123"}


def test_the_vendors_own_types_know_every_field_we_send() -> None:
    def unknown(model: Any, path: str) -> list[str]:
        found = [f"{path}.{key}" for key in model.model_extra or {}]
        for name in model.model_fields_set:
            value = getattr(model, name, None)
            if hasattr(value, "model_fields_set"):
                found += unknown(value, f"{path}.{name}")
        return found

    contact = Contact(name="Front desk", e164="+31201234567")
    spec = AgentSpec(
        name="A",
        instructions="i",
        tools=(LOOKUP, ToolSpec(name="transfer_to_person", kind="builtin"), ToolSpec(name="end_call", kind="builtin")),
        contacts=(contact,),
    )
    assert unknown(RealtimeSessionCreateRequest.model_validate(describe_session(spec)), "session") == []


def test_builtins_are_described_for_the_agent_and_left_out_when_empty() -> None:
    tools = (ToolSpec(name="transfer_to_person", kind="builtin"), ToolSpec(name="end_call", kind="builtin"), LOOKUP)
    spec = AgentSpec(name="A", instructions="", tools=tools)
    assert [tool["name"] for tool in describe_session(spec)["tools"]] == ["end_call", "lookup_order"]


def test_policy_and_filler_reach_the_model_in_words() -> None:
    tool = ToolSpec(name="pay", description="Pay.", policy="confirm", filler="One moment please.")  # type: ignore[arg-type] # as parsed
    (described,) = describe_session(AgentSpec(name="A", instructions="", tools=(tool,)))["tools"]
    assert described["description"].startswith("Pay.")
    assert "One moment please." in described["description"]


def test_a_hand_off_changes_instructions_and_tools_and_nothing_else() -> None:
    assert set(describe_hand_off(RECEPTION)) == {"type", "instructions", "tools"}


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (CreateResponse("c-4"), {"type": "response.create", "event_id": "c-4"}),
        (
            CreateResponse("c-4", instructions="Say hello.", tools_allowed=False),
            {
                "type": "response.create",
                "event_id": "c-4",
                "response": {"instructions": "Say hello.", "tool_choice": "none"},
            },
        ),
        (
            CreateResponse("c-5", instructions="Judge.", job="judge", input_text="It costs 5."),
            {
                "type": "response.create",
                "event_id": "c-5",
                "response": {
                    "instructions": "Judge.",
                    "conversation": "none",
                    "output_modalities": ["text"],
                    "metadata": {"job": "judge"},
                    "input": [
                        {
                            "type": "message",
                            "role": "user",
                            "content": [{"type": "input_text", "text": "It costs 5."}],
                        }
                    ],
                    "tools": [],
                },
            },
        ),
        (
            CancelResponse("c-6", "resp_1"),
            {"type": "response.cancel", "event_id": "c-6", "response_id": "resp_1"},
        ),
        (
            TruncateItem("c-7", "item_1", 0, 1480),
            {
                "type": "conversation.item.truncate",
                "event_id": "c-7",
                "item_id": "item_1",
                "content_index": 0,
                "audio_end_ms": 1480,
            },
        ),
        (DeleteItem("c-8", "item_1"), {"type": "conversation.item.delete", "event_id": "c-8", "item_id": "item_1"}),
        (
            AddMessage("c-2", "system", "Caller pressed 1."),
            {
                "type": "conversation.item.create",
                "event_id": "c-2",
                "item": {
                    "type": "message",
                    "role": "system",
                    "content": [{"type": "input_text", "text": "Caller pressed 1."}],
                },
            },
        ),
        (
            AddMessage("c-2", "assistant", "replayed history"),
            {
                "type": "conversation.item.create",
                "event_id": "c-2",
                "item": {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "replayed history"}],
                },
            },
        ),
        (
            AddToolOutput("c-3", "call_1", '{"ok":true}'),
            {
                "type": "conversation.item.create",
                "event_id": "c-3",
                "item": {"type": "function_call_output", "call_id": "call_1", "output": '{"ok":true}'},
            },
        ),
    ],
)
def test_each_command_is_one_literal_event(command: ToModel, event: dict[str, Any]) -> None:
    assert encoded(command) == [event]


def test_a_finished_tool_call_is_replayed_as_call_and_answer() -> None:
    call, answer = encoded(AddToolExchange("c-9", "call_1", "lookup_order", '{"order_id":"A1"}', "shipped"))
    assert call["item"] == {
        "type": "function_call",
        "call_id": "call_1",
        "name": "lookup_order",
        "arguments": '{"order_id":"A1"}',
    }
    assert answer["item"] == {"type": "function_call_output", "call_id": "call_1", "output": "shipped"}
    assert (call["event_id"], answer["event_id"]) == ("c-9", "c-9.output")


def test_what_the_server_took_otherwise_is_listed_and_its_additions_are_not() -> None:
    asked = describe_session(RECEPTION)
    got = {**copy.deepcopy(asked), "id": "sess_1", "object": "realtime.session", "expires_at": 1790000000}
    got["audio"]["output"]["speed"] = 1.0000000001
    assert compare_session(asked, got) == []
    got["audio"]["output"]["voice"] = "alloy"
    assert compare_session(asked, got) == [Difference("session.audio.output.voice", "marin", "alloy")]
    assert not spoils_audio(compare_session(asked, got))
    got["audio"]["input"]["format"] = {"type": "audio/pcm", "rate": 24000}
    assert spoils_audio(compare_session(asked, got))
    got["tools"] = []
    assert any(difference.path == "session.tools" for difference in compare_session(asked, got))
    del got["audio"]
    assert spoils_audio(compare_session(asked, got)) is False
    assert compare_session(asked, got)[0].path == "session.audio"

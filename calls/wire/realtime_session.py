"""An agent as the model's session, and our commands as the model's client events; pure, and never leaves a field to a vendor default.

Schema: openai-realtime.md §3; client events: §4.1, §4.5, §4.6, §4.9. A field that the model or the kind does not know is not sent,
because one unknown field makes the server ignore the whole event (§3.2 rule 3).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from agents.builtins import for_agent
from agents.spec import MODELS, AgentSpec, NoiseReduction, ToolPolicy, ToolSpec, Transcription, TurnDetection
from calls.session.commands import (
    AddMessage,
    AddToolExchange,
    AddToolOutput,
    CancelResponse,
    CreateResponse,
    DeleteItem,
    TruncateItem,
)

PCMU = {"type": "audio/pcmu"}  # §3.3: G.711 μ-law, the carrier's own; no transcoding anywhere
PROMPTED = ("whisper-1", "gpt-4o-mini-transcribe", "gpt-4o-transcribe")  # §3.6: transcribers that take `prompt`
NOISE_STRENGTH = 1  # §3.2: the default when first enabled, said aloud

ToModel = (
    CreateResponse | CancelResponse | TruncateItem | DeleteItem | AddMessage | AddToolExchange | AddToolOutput
)  # UseAgent and ConnectModel need an agent and have functions of their own


class Difference(NamedTuple):
    """One field of a session that the server did not take as asked."""

    path: str
    asked: object
    got: object


def describe_session(spec: AgentSpec) -> dict[str, Any]:
    """The whole session for a phone call. The model name is in the socket's URL and cannot be updated (§3.2)."""
    realtime = spec.realtime
    session: dict[str, Any] = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": spec.instructions,
        "audio": {
            "input": {
                "format": PCMU,
                "noise_reduction": _describe_noise_reduction(realtime.noise_reduction),
                "transcription": _describe_transcription(realtime.transcription),
                "turn_detection": _describe_turn_detection(realtime.turn_detection, barge_in=spec.barge_in),
            },
            "output": {"format": PCMU, "voice": _describe_voice(realtime.voice), "speed": realtime.speed},
        },
        "tools": describe_tools(spec),
        "tool_choice": "auto",
        "max_output_tokens": realtime.max_output_tokens,
        "truncation": {
            "type": "retention_ratio",
            "retention_ratio": realtime.truncation.retention_ratio,
            "token_limits": {"post_instructions": realtime.truncation.post_instructions},
        },
        "tracing": None,
    }
    if MODELS.get(realtime.model, True):  # §3.2: only reasoning models take these two; unknown names are newer ones
        session["parallel_tool_calls"] = realtime.parallel_tool_calls
        session["reasoning"] = {"effort": realtime.effort}
    return session


def describe_hand_off(spec: AgentSpec) -> dict[str, Any]:
    """The diff that makes another agent speak: never format or voice (§6.3: re-sent defaults become loud static)."""
    return {"type": "realtime", "instructions": spec.instructions, "tools": describe_tools(spec)}


def describe_tools(spec: AgentSpec) -> list[dict[str, Any]]:
    """The functions the model is told of: flat, and without `strict`, which the Realtime API does not know (§3.7)."""
    builtins = for_agent(spec)
    ready = (builtins.get(tool.name) if tool.kind == "builtin" else tool for tool in spec.tools)
    return [_describe_tool(tool) for tool in ready if tool is not None]


def encode_update(session: dict[str, Any], *, event_id: str) -> bytes:
    return orjson.dumps({"type": "session.update", "event_id": event_id, "session": session})


def compare_session(asked: dict[str, Any], got: dict[str, Any]) -> list[Difference]:
    """What `session.updated` shows otherwise than asked; keys the server adds are no difference (§9.1 step 6)."""
    return _compare(asked, got, "session")


def spoils_audio(differences: list[Difference]) -> bool:
    """Whether the caller would hear static: a format is not the one asked for (§3.2 rule 4, §6.3)."""
    return any(".format" in difference.path for difference in differences)


def encode(command: ToModel) -> list[bytes]:
    """The client events that carry this command out, each with the event id under which an error comes back (§4)."""
    match command:
        case CreateResponse():
            return [_encode_create(command)]
        case CancelResponse(event_id, response_id):
            return [orjson.dumps({"type": "response.cancel", "event_id": event_id, "response_id": response_id})]
        case TruncateItem(event_id, item_id, content_index, audio_end_ms):
            return [
                orjson.dumps(
                    {
                        "type": "conversation.item.truncate",
                        "event_id": event_id,
                        "item_id": item_id,
                        "content_index": content_index,
                        "audio_end_ms": audio_end_ms,
                    }
                )
            ]
        case DeleteItem(event_id, item_id):
            return [orjson.dumps({"type": "conversation.item.delete", "event_id": event_id, "item_id": item_id})]
        case AddMessage(event_id, role, text):
            kind = "output_text" if role == "assistant" else "input_text"  # §4.3: assistant audio cannot be created
            return [
                _encode_item(event_id, {"type": "message", "role": role, "content": [{"type": kind, "text": text}]})
            ]
        case AddToolExchange(event_id, call_id, name, arguments, output):
            call = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
            answer = {"type": "function_call_output", "call_id": call_id, "output": output}
            return [_encode_item(event_id, call), _encode_item(event_id + ".output", answer)]
        case AddToolOutput(event_id, call_id, output):
            return [_encode_item(event_id, {"type": "function_call_output", "call_id": call_id, "output": output})]


def _encode_item(event_id: str, item: dict[str, Any]) -> bytes:
    return orjson.dumps({"type": "conversation.item.create", "event_id": event_id, "item": item})


def _encode_create(command: CreateResponse) -> bytes:
    response: dict[str, Any] = {}
    if command.instructions:
        response["instructions"] = command.instructions
    if not command.tools_allowed:
        response["tool_choice"] = "none"
    if command.job:  # out of band: not stored, may run beside the conversation's response (§4.6)
        message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": command.input_text}]}
        response |= {
            "conversation": "none",
            "output_modalities": ["text"],
            "metadata": {"job": command.job},
            "input": [message] if command.input_text else [],
            "tools": [],
        }
    event: dict[str, Any] = {"type": "response.create", "event_id": command.event_id}
    if response:
        event["response"] = response
    return orjson.dumps(event)


def _describe_tool(tool: ToolSpec) -> dict[str, Any]:
    description = tool.description
    if tool.kind != "builtin":  # agents.builtins words its own
        if tool.policy is ToolPolicy.CONFIRM:
            description += " Ask the caller to confirm before you call this."
        if tool.filler:
            description += f" Right before you call this, say: {tool.filler}"
    return {
        "type": "function",
        "name": tool.name,
        "description": description.strip(),
        "parameters": tool.parameters,
    }


def _describe_voice(voice: str) -> str | dict[str, str]:
    return {"id": voice} if voice.startswith("voice_") else voice  # §3.8 custom voices


def _describe_noise_reduction(noise: NoiseReduction) -> dict[str, Any] | None:
    return None if noise.kind == "off" else {"type": noise.kind, "strength": NOISE_STRENGTH}


def _describe_transcription(transcription: Transcription) -> dict[str, Any]:
    described = {"model": transcription.model}
    if transcription.language:
        described["language"] = transcription.language
    if transcription.prompt and transcription.model in PROMPTED:
        described["prompt"] = transcription.prompt
    return described


def _describe_turn_detection(turn: TurnDetection, *, barge_in: bool) -> dict[str, Any]:
    common = {
        "create_response": turn.create_response,
        "interrupt_response": turn.interrupt_response and barge_in,
    }
    if turn.kind == "semantic_vad":
        return {"type": "semantic_vad", "eagerness": turn.eagerness, **common}
    return {
        "type": "server_vad",
        "threshold": turn.threshold,
        "prefix_padding_ms": turn.prefix_padding_ms,
        "silence_duration_ms": turn.silence_duration_ms,
        "idle_timeout_ms": None,  # our own silence ladder asks "are you still there?" (§3.4: more controllable)
        **common,
    }


def _compare(asked: object, got: object, path: str) -> list[Difference]:
    if isinstance(asked, dict) and isinstance(got, dict):
        return [found for key, value in asked.items() for found in _compare(value, got.get(key), f"{path}.{key}")]
    if isinstance(asked, list) and isinstance(got, list) and len(asked) == len(got):
        pairs = enumerate(zip(asked, got, strict=True))
        return [found for index, (one, other) in pairs for found in _compare(one, other, f"{path}[{index}]")]
    if isinstance(asked, float | int) and isinstance(got, float | int):
        return [] if abs(asked - got) < 1e-6 else [Difference(path, asked, got)]  # the server echoes 0.7 as 0.69999998
    return [] if asked == got else [Difference(path, asked, got)]

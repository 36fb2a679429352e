"""How a session is configured: the defaults, and which updates the service takes (openai-realtime.md §3). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson
from openai.types.realtime.session_update_event import SessionUpdateEvent

from emulators.openai.config import Switches
from emulators.openai.models import VOICES, RealtimeModel
from emulators.openai.usage import count_text_tokens
from emulators.openai.validation import check_shape, refuse_value
from emulators.openai.wire import JsonObject, RequestError

_DEFAULT_INSTRUCTIONS = (
    "Your knowledge cutoff is 2024-09. You are a helpful, witty, and friendly AI. Act like a human, but remember that "
    "you aren't a human and that you can't do human things in the real world. Your voice and personality should be "
    "warm and engaging, with a lively and playful tone. Talk quickly."
)
_PCM: JsonObject = {"type": "audio/pcm", "rate": 24000}
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
_OUTPUT_TOKENS_MAX = 4096  # §3.2: the documented range of integers, also for models that may write more

# §3.6. The other two transcribers exist in transcription sessions only.
_TRANSCRIBERS = (
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe",
    "gpt-4o-transcribe-diarize",
    "gpt-transcribe",
    "whisper-1",
)
_NULLABLE = {"tracing", "prompt", "include", "noise_reduction", "transcription", "turn_detection"}


def make_session(model: RealtimeModel, *, session_id: str, expires_at: int, switches: Switches) -> JsonObject:
    """The session as `session.created` shows it, before the client said anything (§3.2 defaults)."""
    session: JsonObject = {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": model.id,
        "output_modalities": ["audio"],
        "instructions": _DEFAULT_INSTRUCTIONS,
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "expires_at": expires_at,
        "audio": {
            "input": {
                "format": dict(_PCM),
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": _fill_turn_detection({"type": "server_vad"}, switches=switches),
            },
            "output": {"format": dict(_PCM), "voice": switches.default_voice, "speed": 1.0},
        },
        "include": None,
    }
    if model.reasons:
        session |= {"parallel_tool_calls": True, "reasoning": {"effort": "low"}}
    return session


def check_update_shape(event: JsonObject) -> None:
    """Raises RequestError for a `session.update` that does not fit the published types (§3.2, §4.8)."""
    session = event.get("session")
    if isinstance(session, dict) and session.get("type") == "transcription":
        # §1.1: the wording is the service's.
        raise RequestError(
            "Passing a transcription session update event to a realtime session is not allowed.",
            code="invalid_value",
            param="session.type",
        )
    check_shape(event, SessionUpdateEvent, path="")


def update_session(
    current: JsonObject, patch: JsonObject, *, model: RealtimeModel, switches: Switches, spoke: bool, responding: bool
) -> JsonObject:
    """The session after the update. Raises RequestError and changes nothing when any part is refused (§3.2 rule 3)."""
    audio = patch.get("audio") or {}
    source, output = audio.get("input") or {}, audio.get("output") or {}
    if patch.get("model") not in (None, current["model"]):
        raise RequestError("Cannot update a session's model.", code="invalid_value", param="session.model")
    tools = current["tools"] if patch.get("tools") is None else patch["tools"]
    check_generation(patch, tools=tools, model=model, switches=switches, path="session")
    _check_output(output, current=current, switches=switches, spoke=spoke, responding=responding)
    _check_input(source, switches=switches)
    _check_truncation(patch.get("truncation"), model=model)
    if current["tracing"] is not None and "tracing" in patch and patch["tracing"] != current["tracing"]:
        raise RequestError(  # §3.2: cannot be modified once enabled
            "Tracing cannot be modified once enabled.", code="invalid_value", param="session.tracing"
        )
    updated = {
        **current,
        **{key: value for key, value in patch.items() if key not in ("type", "audio") and _sets(key, value)},
    }
    updated["audio"] = {
        "input": _merge_input(current["audio"]["input"], source, switches=switches),
        "output": {**current["audio"]["output"], **{key: value for key, value in output.items() if _sets(key, value)}},
    }
    _check_prompt_size(updated, switches=switches)
    return updated


def check_generation(
    options: JsonObject, *, tools: list[JsonObject], model: RealtimeModel, switches: Switches, path: str
) -> None:
    """What `session.update` and `response.create` share: modality, tools, reasoning, output limit (§3.2, §4.6)."""
    modalities = options.get("output_modalities")
    if modalities is not None and modalities not in (["audio"], ["text"]):
        raise RequestError(  # §3.2: both together is refused
            f"Invalid modalities: {modalities}. Supported combinations are: ['text'] and ['audio'].",
            code="invalid_value",
            param=f"{path}.output_modalities",
        )
    limit = options.get("max_output_tokens")
    if isinstance(limit, int) and not 1 <= limit <= _OUTPUT_TOKENS_MAX:
        raise _out_of_range(f"{path}.max_output_tokens", limit, 1, _OUTPUT_TOKENS_MAX)
    if switches.refuse_reasoning_on_plain_models and not model.reasons:
        for key in ("reasoning", "parallel_tool_calls"):
            if options.get(key) is not None:
                raise RequestError(
                    f"Unsupported parameter: '{path}.{key}' is not supported with the '{model.id}' model.",
                    code="unknown_parameter",
                    param=f"{path}.{key}",
                )
    for index, tool in enumerate(options.get("tools") or ()):
        _check_tool(tool, path=f"{path}.tools[{index}]")
    choice = options.get("tool_choice")
    named = choice["name"] if isinstance(choice, dict) and choice.get("type") == "function" else None
    if named is not None and named not in [tool.get("name") for tool in tools]:
        raise RequestError(
            f"Tool choice 'function' refers to '{named}', which is not in tools.",
            code="invalid_value",
            param=f"{path}.tool_choice",
        )
    voice = ((options.get("audio") or {}).get("output") or {}).get("voice")
    if isinstance(voice, str) and voice not in VOICES:
        raise refuse_value(f"{path}.audio.output.voice", voice, supported=VOICES)


def _check_tool(tool: JsonObject, *, path: str) -> None:
    if tool["type"] != "function":
        return
    name = tool.get("name")
    if name is None:
        raise RequestError(
            f"Missing required parameter: '{path}.name'.", code="missing_required_parameter", param=f"{path}.name"
        )
    if not _TOOL_NAME.match(name):
        raise RequestError(
            f"Invalid '{path}.name': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'.",
            code="invalid_value",
            param=f"{path}.name",
        )
    parameters = tool.get("parameters")
    if parameters is not None and (not isinstance(parameters, dict) or parameters.get("type", "object") != "object"):
        raise RequestError(
            f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"'.",
            code="invalid_value",
            param=f"{path}.parameters",
        )


def _check_output(
    output: JsonObject, *, current: JsonObject, switches: Switches, spoke: bool, responding: bool
) -> None:
    speed = output.get("speed")
    if speed is not None:
        if not 0.25 <= speed <= 1.5:  # §3.2
            raise _out_of_range("session.audio.output.speed", speed, 0.25, 1.5)
        if responding:  # §3.2: only between turns
            raise RequestError(
                "Cannot update speed while a response is in progress.",
                code="invalid_value",
                param="session.audio.output.speed",
            )
    voice = output.get("voice")
    if voice is not None and spoke and (switches.refuse_same_voice or voice != current["audio"]["output"]["voice"]):
        raise RequestError(  # §3.2, §4.8
            "Cannot update a conversation's voice if assistant audio is present.",
            code="cannot_update_voice",
            param="session.audio.output.voice",
        )


def _check_input(source: JsonObject, *, switches: Switches) -> None:
    path = "session.audio.input"
    detection = source.get("turn_detection") or {}
    if (threshold := detection.get("threshold")) is not None and not 0 <= threshold <= 1:  # §3.4
        raise _out_of_range(f"{path}.turn_detection.threshold", threshold, 0, 1)
    for key in ("prefix_padding_ms", "silence_duration_ms"):
        if (value := detection.get(key)) is not None and value < 0:
            raise _out_of_range(f"{path}.turn_detection.{key}", value, 0, None)
    if (idle := detection.get("idle_timeout_ms")) is not None and not 5000 <= idle <= 30000:  # §3.4
        raise _out_of_range(f"{path}.turn_detection.idle_timeout_ms", idle, 5000, 30000)
    transcription = source.get("transcription")
    if transcription:
        _check_transcription(transcription, path=f"{path}.transcription", switches=switches)


def _check_transcription(transcription: JsonObject, *, path: str, switches: Switches) -> None:
    model = transcription.get("model")
    allowed = [m for m in _TRANSCRIBERS if m != "gpt-transcribe" or switches.gpt_transcribe_in_voice_sessions]
    if model is not None and model not in allowed:
        raise refuse_value(f"{path}.model", model, supported=allowed)
    # §3.6: which hints belong to which transcriber.
    unfit = {"delay"} if model == "gpt-transcribe" else {"delay", "languages", "keywords"}
    if model in ("gpt-4o-transcribe-diarize", "gpt-transcribe"):
        unfit.add("prompt")
    for key in sorted(unfit & transcription.keys()):
        if transcription[key] is not None:
            raise RequestError(
                f"Unsupported parameter: '{path}.{key}' is not supported with the '{model}' model.",
                code="unknown_parameter",
                param=f"{path}.{key}",
            )


def _check_truncation(truncation: object, *, model: RealtimeModel) -> None:
    if not isinstance(truncation, Mapping):
        return
    ratio = truncation["retention_ratio"]
    if not 0 <= ratio <= 1:  # §3.5
        raise _out_of_range("session.truncation.retention_ratio", ratio, 0, 1)
    limit = (truncation.get("token_limits") or {}).get("post_instructions")
    most = model.context_tokens - model.output_tokens_max  # §3.5: may not exceed context − max output
    if limit is not None and not 0 <= limit <= most:
        raise _out_of_range("session.truncation.token_limits.post_instructions", limit, 0, most)


def _check_prompt_size(session: JsonObject, *, switches: Switches) -> None:
    tokens = count_text_tokens(session["instructions"]) + count_text_tokens(orjson.dumps(session["tools"]).decode())
    if tokens > switches.instruction_tokens_max:  # §6.1
        raise RequestError(
            f"Instructions and tools are too long: {tokens} tokens, the maximum is {switches.instruction_tokens_max}.",
            code="invalid_value",
            param="session.instructions",
        )


def _sets(key: str, value: object) -> bool:
    """Null clears what may be cleared (§3.2 rule 2) and says nothing about the rest."""
    return value is not None or key in _NULLABLE


def _merge_input(current: JsonObject, patch: JsonObject, *, switches: Switches) -> JsonObject:
    if patch and switches.merge_depth == "shallow":
        blank: JsonObject = {"transcription": None, "noise_reduction": None, "format": dict(_PCM)}
        current = {**blank, "turn_detection": _fill_turn_detection({"type": "server_vad"}, switches=switches)}
    merged = dict(current)
    for key, value in patch.items():
        if not _sets(key, value):
            continue
        if key == "turn_detection" and value is not None:
            value = _fill_turn_detection(value, switches=switches)
        elif key == "format" and value["type"] == "audio/pcm":
            value = dict(_PCM)
        elif key == "noise_reduction" and value is not None:  # §3.2: strength is 1 at first and kept when omitted
            value = {"strength": (current["noise_reduction"] or {}).get("strength", 1), **value}
        merged[key] = value
    return merged


def _fill_turn_detection(given: JsonObject, *, switches: Switches) -> JsonObject:
    """A union value is replaced as a unit (§3.2 rule 1): what is left out falls back to its default (§3.4)."""
    default: JsonObject = {"type": given["type"], "create_response": True, "interrupt_response": True}
    if given["type"] == "semantic_vad":
        default["eagerness"] = "auto"
    else:
        default |= {
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": switches.default_silence_ms,
            "idle_timeout_ms": None,
        }
    return default | {key: value for key, value in given.items() if value is not None}


def _out_of_range(path: str, value: float, least: float, most: float | None) -> RequestError:
    bounds = f"between {least} and {most}" if most is not None else f"{least} or more"
    return RequestError(f"Invalid '{path}': {value}. Expected a value {bounds}.", code="invalid_value", param=path)

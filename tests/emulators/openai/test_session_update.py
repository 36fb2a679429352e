"""Which session updates are taken and which are refused as a whole (openai-realtime.md §3.2–§3.8, §4.8)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from emulators.openai.config import DoubleConfig, Switches
from emulators.openai.double import OpenAIDouble
from emulators.sound import make_silence
from emulators.speech import CALLER_VOICE, Synthesiser

from .client import Client, Event, open_client

LOOKUP: Event = {"type": "function", "name": "lookup_order", "parameters": {"type": "object", "properties": {}}}


def audio_input(**fields: Any) -> Event:
    return {"audio": {"input": fields}}


def audio_output(**fields: Any) -> Event:
    return {"audio": {"output": fields}}


REFUSED = [
    # §3.2
    ({"temperature": 0.8}, "unknown_parameter", "session.temperature"),
    ({"modalities": ["audio"]}, "unknown_parameter", "session.modalities"),
    ({"voice": "marin"}, "unknown_parameter", "session.voice"),
    ({"input_audio_format": "g711_ulaw"}, "unknown_parameter", "session.input_audio_format"),
    ({"model": "gpt-realtime-2"}, "invalid_value", "session.model"),
    ({"output_modalities": ["audio", "text"]}, "invalid_value", "session.output_modalities"),
    ({"output_modalities": ["video"]}, "invalid_value", "session.output_modalities[0]"),
    ({"instructions": 7}, "invalid_type", "session.instructions"),
    ({"instructions": "x" * 4 * 16385}, "invalid_value", "session.instructions"),  # §6.1
    ({"max_output_tokens": 4097}, "invalid_value", "session.max_output_tokens"),
    ({"max_output_tokens": 0}, "invalid_value", "session.max_output_tokens"),
    ({"reasoning": {"effort": "extreme"}}, "invalid_value", "session.reasoning.effort"),
    (audio_output(voice="darth"), "invalid_value", "session.audio.output.voice"),
    (audio_output(speed=1.6), "invalid_value", "session.audio.output.speed"),
    # §3.3: the beta strings
    (audio_input(format="pcm16"), "invalid_type", "session.audio.input.format"),
    (audio_input(format={"type": "g711_ulaw"}), "invalid_value", "session.audio.input.format.type"),
    (audio_output(format={"type": "audio/pcm", "rate": 16000}), "invalid_value", "session.audio.output.format.rate"),
    # §3.4
    (
        audio_input(turn_detection={"threshold": 0.5}),
        "missing_required_parameter",
        "session.audio.input.turn_detection.type",
    ),
    (
        audio_input(turn_detection={"type": "server_vad", "threshold": 1.2}),
        "invalid_value",
        "session.audio.input.turn_detection.threshold",
    ),
    (
        audio_input(turn_detection={"type": "server_vad", "idle_timeout_ms": 4000}),
        "invalid_value",
        "session.audio.input.turn_detection.idle_timeout_ms",
    ),
    (
        audio_input(turn_detection={"type": "server_vad", "silence_duration_ms": 1.5}),
        "invalid_type",
        "session.audio.input.turn_detection.silence_duration_ms",
    ),
    (
        audio_input(turn_detection={"type": "server_vad", "eagerness": "high"}),
        "unknown_parameter",
        "session.audio.input.turn_detection.eagerness",
    ),
    (
        audio_input(turn_detection={"type": "semantic_vad", "threshold": 0.5}),
        "unknown_parameter",
        "session.audio.input.turn_detection.threshold",
    ),
    (
        audio_input(turn_detection={"type": "semantic_vad", "eagerness": "max"}),
        "invalid_value",
        "session.audio.input.turn_detection.eagerness",
    ),
    (
        audio_input(turn_detection={"type": "server_vad", "prefix_padding_ms": -1}),
        "invalid_value",
        "session.audio.input.turn_detection.prefix_padding_ms",
    ),
    (audio_input(noise_reduction={"type": "studio"}), "invalid_value", "session.audio.input.noise_reduction.type"),
    # §3.5
    ({"truncation": "half"}, "invalid_value", "session.truncation"),
    (
        {"truncation": {"type": "retention_ratio", "retention_ratio": 1.2}},
        "invalid_value",
        "session.truncation.retention_ratio",
    ),
    ({"truncation": {"type": "retention_ratio"}}, "missing_required_parameter", "session.truncation.retention_ratio"),
    (
        {
            "truncation": {
                "type": "retention_ratio",
                "retention_ratio": 0.8,
                "token_limits": {"post_instructions": 96001},
            }
        },
        "invalid_value",
        "session.truncation.token_limits.post_instructions",
    ),
    # §3.6
    (
        audio_input(transcription={"model": "gpt-live-transcribe"}),
        "invalid_value",
        "session.audio.input.transcription.model",
    ),
    (
        audio_input(transcription={"model": "gpt-realtime-whisper"}),
        "invalid_value",
        "session.audio.input.transcription.model",
    ),
    (
        audio_input(transcription={"model": "whisper-1", "keywords": ["Acme"]}),
        "unknown_parameter",
        "session.audio.input.transcription.keywords",
    ),
    (
        audio_input(transcription={"model": "gpt-4o-transcribe-diarize", "prompt": "x"}),
        "unknown_parameter",
        "session.audio.input.transcription.prompt",
    ),
    # §3.7
    ({"tools": [{"type": "function", "function": {"name": "x"}}]}, "unknown_parameter", "session.tools[0].function"),
    ({"tools": [LOOKUP | {"strict": True}]}, "unknown_parameter", "session.tools[0].strict"),
    ({"tools": [{"name": "x"}]}, "missing_required_parameter", "session.tools[0].type"),
    ({"tools": [{"type": "function"}]}, "missing_required_parameter", "session.tools[0].name"),
    ({"tools": [LOOKUP | {"name": "look up"}]}, "invalid_value", "session.tools[0].name"),
    ({"tools": [LOOKUP | {"parameters": {"type": "array"}}]}, "invalid_value", "session.tools[0].parameters"),
    ({"tool_choice": {"type": "function", "name": "nothing"}}, "invalid_value", "session.tool_choice"),
    ({"tool_choice": "sometimes"}, "invalid_value", "session.tool_choice"),
]


@pytest.fixture
async def client(double: OpenAIDouble) -> Any:
    async with open_client(double) as opened:
        yield opened


@pytest.mark.parametrize(
    ("change", "code", "param"), REFUSED, ids=[f"{number}-{param}" for number, (_, _, param) in enumerate(REFUSED)]
)
async def test_a_bad_update_is_refused_and_nothing_of_it_is_applied(
    client: Client, double: OpenAIDouble, change: Event, code: str, param: str
) -> None:
    before = double.sessions[0].settings
    session = {"type": "realtime", "include": ["item.input_audio_transcription.logprobs"]} | change
    error = await client.refused({"type": "session.update", "event_id": "c-1", "session": session})
    assert (error["code"], error["param"], error["event_id"]) == (code, param, "c-1")
    assert error["type"] == "invalid_request_error"
    assert double.sessions[0].settings == before


async def test_an_update_without_type_is_the_betas_and_refused(client: Client) -> None:
    error = await client.refused({"type": "session.update", "session": {"instructions": "x"}})
    assert (error["code"], error["param"]) == ("missing_required_parameter", "session.type")
    assert error["event_id"] is None


async def test_a_transcription_update_is_refused_in_a_voice_session(client: Client) -> None:
    error = await client.refused({"type": "session.update", "session": {"type": "transcription"}})
    assert error["message"].startswith(
        "Passing a transcription session update event to a realtime session is not allowed"
    )


async def test_only_what_is_given_changes_and_the_answer_is_the_whole_session(client: Client) -> None:
    update = {"type": "realtime", "tools": [LOOKUP], "audio": {"input": {"noise_reduction": {"type": "near_field"}}}}
    answer = await client.ask({"type": "session.update", "session": update}, "session.updated")
    session = answer["session"]
    assert session["instructions"] == "You answer the phone."
    assert session["tools"] == [LOOKUP]
    source = session["audio"]["input"]
    assert source["format"] == {"type": "audio/pcmu"}
    assert source["noise_reduction"] == {"type": "near_field", "strength": 1}
    assert source["turn_detection"]["silence_duration_ms"] == 300


async def test_a_union_is_replaced_as_a_unit_and_null_clears(client: Client) -> None:
    detection = {"type": "semantic_vad", "eagerness": "high"}
    changed = await client.configure(audio=audio_input(turn_detection=detection, transcription=None)["audio"])
    source = changed["audio"]["input"]
    assert source["turn_detection"] == detection | {"create_response": True, "interrupt_response": True}
    assert source["transcription"] is None
    cleared = await client.configure(audio=audio_input(turn_detection=None)["audio"], instructions="", tools=[])
    assert cleared["audio"]["input"]["turn_detection"] is None
    assert cleared["instructions"] == ""


async def test_noise_reduction_keeps_its_strength_when_it_is_left_out(client: Client) -> None:
    await client.configure(audio=audio_input(noise_reduction={"type": "near_field", "strength": 0.5})["audio"])
    session = await client.configure(audio=audio_input(noise_reduction={"type": "far_field"})["audio"])
    assert session["audio"]["input"]["noise_reduction"] == {"type": "far_field", "strength": 0.5}


async def test_the_depth_of_a_merge_is_a_switch(config: DoubleConfig) -> None:
    switches = Switches(merge_depth="shallow")  # §3.2 rule 1, §10.7
    async with OpenAIDouble(dataclasses.replace(config, switches=switches)) as double, open_client(double) as client:
        session = await client.configure(audio=audio_input(noise_reduction={"type": "near_field"})["audio"])
    assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}


async def test_plain_models_refuse_reasoning_unless_switched_off(config: DoubleConfig, double: OpenAIDouble) -> None:
    update = {"type": "session.update", "session": {"type": "realtime", "reasoning": {"effort": "low"}}}
    async with open_client(double, model="gpt-realtime-1.5") as client:
        assert "reasoning" not in client.seen[0]["session"]
        error = await client.refused(update)
        assert (error["code"], error["param"]) == ("unknown_parameter", "session.reasoning")
    switches = Switches(refuse_reasoning_on_plain_models=False)
    config = dataclasses.replace(config, switches=switches)
    async with OpenAIDouble(config) as lenient, open_client(lenient, model="gpt-realtime-1.5") as client:
        await client.ask(update, "session.updated")


async def test_gpt_transcribe_in_a_voice_session_is_a_switch(config: DoubleConfig, double: OpenAIDouble) -> None:
    transcription = {"model": "gpt-transcribe", "keywords": ["Acme"], "languages": ["en", "nl"]}  # §3.6, §10.3
    async with open_client(double) as client:
        session = await client.configure(audio=audio_input(transcription=transcription)["audio"])
        assert session["audio"]["input"]["transcription"] == transcription
    switches = Switches(gpt_transcribe_in_voice_sessions=False)
    async with OpenAIDouble(dataclasses.replace(config, switches=switches)) as strict, open_client(strict) as client:
        update = {"type": "realtime", **audio_input(transcription=transcription)}
        error = await client.refused({"type": "session.update", "session": update})
    assert (error["code"], error["param"]) == ("invalid_value", "session.audio.input.transcription.model")


@pytest.mark.parametrize("refuse_same_voice", [False, True])
async def test_the_voice_is_fixed_once_the_agent_has_spoken(config: DoubleConfig, refuse_same_voice: bool) -> None:
    switches = Switches(refuse_same_voice=refuse_same_voice)
    async with OpenAIDouble(dataclasses.replace(config, switches=switches)) as double, open_client(double) as client:
        await client.configure(audio=audio_output(voice="cedar")["audio"])
        await client.ask({"type": "response.create"}, "response.done")
        update = {"type": "realtime", "instructions": "New agent.", **audio_output(voice="marin")}
        error = await client.refused({"type": "session.update", "event_id": "c-9", "session": update})
        assert (error["code"], error["event_id"]) == ("cannot_update_voice", "c-9")
        assert double.sessions[0].settings["instructions"] == "You answer the phone."
        same = {"type": "session.update", "session": {"type": "realtime", **audio_output(voice="cedar")}}
        answer = await client.ask(same, "error" if refuse_same_voice else "session.updated")
        assert answer["type"] == ("error" if refuse_same_voice else "session.updated")


async def test_tracing_is_settled_once_it_is_on(client: Client) -> None:
    await client.configure(tracing="auto")
    error = await client.refused({"type": "session.update", "session": {"type": "realtime", "tracing": None}})
    assert (error["code"], error["param"]) == ("invalid_value", "session.tracing")


async def test_what_follows_an_update_is_done_under_the_new_settings(config: DoubleConfig) -> None:
    timing = dataclasses.replace(config.timing, session_updated_ms=50)
    async with (
        OpenAIDouble(dataclasses.replace(config, timing=timing)) as double,
        open_client(double, configured=False) as client,
    ):
        await client.send({"type": "session.update", "session": {"type": "realtime", "output_modalities": ["text"]}})
        await client.send({"type": "session.update", "session": {"type": "realtime", "instructions": "Second."}})
        await client.send({"type": "response.create"})
        done = await client.until("response.done")
    assert client.types()[1:4] == ["session.updated", "session.updated", "response.created"]
    assert done["response"]["output"][0]["content"][0]["type"] == "output_text"


async def test_telephone_sound_before_the_update_is_static_to_the_model(
    double: OpenAIDouble, synthesiser: Synthesiser
) -> None:
    """§3.2 rule 4: bytes appended before session.updated are read as 24 kHz PCM."""
    speech = synthesiser.speak("Hello, is anybody there today?", voice=CALLER_VOICE)
    async with open_client(double, configured=False) as client:
        await client.play(speech)
        await client.until("input_audio_buffer.speech_started")
        session = double.sessions[0]
        await session.record.wait_until(lambda: session.record.append_count >= len(speech) // 160)
        assert len(session.audio_in) < len(speech) / 5
        assert session.ear.clock_ms < len(speech) / 8 / 5
    assert make_silence(20) not in session.audio_in


async def test_the_pace_changes_only_between_turns(config: DoubleConfig) -> None:
    """§3.2."""
    timing = dataclasses.replace(config.timing, speech_factor=2.0)
    async with OpenAIDouble(dataclasses.replace(config, timing=timing)) as double, open_client(double) as client:
        await client.ask({"type": "response.create"}, "response.output_audio.delta")
        faster = {"type": "session.update", "session": {"type": "realtime", **audio_output(speed=1.2)}}
        error = await client.refused(faster)
        assert (error["code"], error["param"]) == ("invalid_value", "session.audio.output.speed")
        await client.ask({"type": "response.cancel"}, "response.done")
        answer = await client.ask(faster, "session.updated")
    assert answer["session"]["audio"]["output"]["speed"] == 1.2


async def test_null_says_nothing_about_what_cannot_be_cleared(client: Client) -> None:
    session = await client.configure(instructions=None, output_modalities=None, prompt=None)
    assert (session["instructions"], session["output_modalities"]) == ("You answer the phone.", ["audio"])


async def test_hosted_mcp_tools_and_custom_voices_are_taken(double: OpenAIDouble) -> None:
    """§3.7, §3.8. The published types of answers know named voices only."""
    tool = {
        "type": "mcp",
        "server_label": "crm",
        "server_url": "https://crm.example.com/mcp",
        "require_approval": "never",
    }
    async with open_client(double, strict=False) as client:
        session = await client.configure(tools=[tool], audio=audio_output(voice={"id": "voice_123"})["audio"])
        assert session["tools"] == [tool]
        assert session["audio"]["output"]["voice"] == {"id": "voice_123"}
        done = await client.ask({"type": "response.create"}, "response.done")
        assert done["response"]["audio"]["output"]["voice"] == {"id": "voice_123"}

"""Responses: one at a time, cancels and their races, overrides, limits and usage (openai-realtime.md §4.6–§4.8, §5)."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from emulators.openai.audio import InputDecoder, OutputFormat
from emulators.openai.config import DoubleConfig, Switches, Timing
from emulators.openai.double import OpenAIDouble
from emulators.openai.script import Script
from emulators.sound import decode_mulaw, measure_rms

from .client import Event, open_client

LONG = (
    "This is a long answer, so that there is time to interrupt it while it is still being generated. It goes on and on, "
    "about opening hours and holidays and everything else that nobody wanted to know at this time of the day."
)
SLOW = Timing(
    handshake_ms=0, session_updated_ms=1, response_created_ms=1, first_delta_ms=2, speech_factor=4, transcription_ms=1
)


@pytest.fixture
def slow(config: DoubleConfig) -> DoubleConfig:
    """Speaks slowly enough to be interrupted."""
    return dataclasses.replace(config, timing=SLOW)


def create(**response: Any) -> Event:
    return {"type": "response.create", "event_id": "c-5", "response": response}


async def test_a_second_response_is_refused_while_one_is_active(slow: DoubleConfig) -> None:
    async with OpenAIDouble(slow, script=Script(greeting=LONG)) as double, open_client(double) as client:
        await client.send({"type": "response.create", "event_id": "c-1"})
        first = (await client.until("response.created"))["response"]["id"]
        error = await client.refused({"type": "response.create", "event_id": "c-2"})
        assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", "c-2")
        assert error["message"].startswith(f"Conversation already has an active response in progress: {first}")
        await client.ask({"type": "response.cancel"}, "response.done")
        assert len(client.of_type("response.created")) == 1


async def test_a_cancelled_response_closes_everything_it_opened(slow: DoubleConfig) -> None:
    async with OpenAIDouble(slow, script=Script(greeting=LONG)) as double, open_client(double) as client:
        await client.send({"type": "response.create"})
        response_id = (await client.until("response.created"))["response"]["id"]
        await client.until("response.output_audio.delta")
        client.seen.clear()
        done = await client.ask({"type": "response.cancel", "response_id": response_id}, "response.done")
        closing = [event["type"] for event in client.seen if not event["type"].endswith(".delta")]
        assert closing == [
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
        ]
        response = done["response"]
        assert response["status"] == "cancelled"
        assert response["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
        assert response["output"][0]["status"] == "incomplete"
        assert 0 < response["usage"]["output_token_details"]["audio_tokens"] < 100  # §4.7: still billed
        assert LONG.startswith(response["output"][0]["content"][0]["transcript"])
        await client.ask({"type": "response.create"}, "response.created")


async def test_a_cancel_finds_nothing_before_and_after_a_response(config: DoubleConfig) -> None:
    """§6.3: cancel after done → error; cancel before response.created is a no-op and the response still comes."""
    timing = dataclasses.replace(config.timing, response_created_ms=40)
    async with OpenAIDouble(dataclasses.replace(config, timing=timing)) as double, open_client(double) as client:
        error = await client.refused({"type": "response.cancel", "event_id": "c-6"})
        assert (error["code"], error["event_id"]) == ("response_cancel_not_active", "c-6")
        assert error["message"] == "Cancellation failed: no active response found"
        await client.send({"type": "response.create"})
        assert (await client.refused({"type": "response.cancel"}))["code"] == "response_cancel_not_active"
        done = await client.until("response.done")
        assert done["response"]["status"] == "completed"
        late = {"type": "response.cancel", "response_id": done["response"]["id"]}
        assert (await client.refused(late))["code"] == "response_cancel_not_active"


async def test_an_out_of_band_response_runs_beside_the_other_and_leaves_no_trace(slow: DoubleConfig) -> None:
    script = Script.read(
        {"greeting": LONG, "rules": [{"out_of_band": True, "instructions": "Classify", "say": "booking"}]}
    )
    async with OpenAIDouble(slow, script=script) as double, open_client(double) as client:
        await client.send({"type": "response.create"})
        await client.until("response.output_audio.delta")
        items = len(double.sessions[0].items)
        aside = create(
            conversation="none",
            output_modalities=["text"],
            metadata={"job": "classify"},
            instructions="Classify the call.",
            input=[{"type": "item_reference", "id": double.sessions[0].items[0].id}],
            tools=[],
        )
        await client.send(aside)
        done = await client.until("response.done")
        response = done["response"]
        assert (response["status"], response["conversation_id"]) == ("completed", None)
        assert (response["metadata"], response["output_modalities"]) == ({"job": "classify"}, ["text"])
        assert response["output"][0]["content"] == [{"type": "output_text", "text": "booking"}]
        mine = [e for e in client.seen if e.get("response_id") == response["id"]]
        assert [event["type"] for event in mine] == [
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
        ]
        assert len(double.sessions[0].items) == items


REFUSED = [
    (create(modalities=["text"]), "unknown_parameter", "response.modalities"),
    (create(output_modalities=["text", "audio"]), "invalid_value", "response.output_modalities"),
    (create(conversation="other"), "invalid_value", "response.conversation"),
    (create(input="x"), "invalid_type", "response.input"),
    (create(input=[{"type": "item_reference"}]), "missing_required_parameter", "response.input[0].id"),
    (create(input=[{"type": "item_reference", "id": "item_x"}]), "item_not_found", "response.input[0].id"),
    (create(input=[{"type": "message", "role": "user"}]), "missing_required_parameter", "response.input[0].content"),
    (create(metadata={str(n): "x" for n in range(17)}), "invalid_value", "response.metadata"),
    (create(metadata={"k" * 65: "x"}), "invalid_value", "response.metadata"),
    (create(metadata={"k": "x" * 513}), "invalid_value", "response.metadata"),
    (create(metadata={"k": 1}), "invalid_type", "response.metadata.k"),
    (create(max_output_tokens=5000), "invalid_value", "response.max_output_tokens"),
    (create(audio={"output": {"speed": 1.0}}), "unknown_parameter", "response.audio.output.speed"),
    (create(audio={"output": {"voice": "darth"}}), "invalid_value", "response.audio.output.voice"),
    (create(tool_choice={"type": "function", "name": "x"}), "invalid_value", "response.tool_choice"),
    ({"type": "response.create", "event_id": "c-5", "response": "now"}, "invalid_type", "response"),
    ({"type": "response.create", "event_id": "c-5", "urgent": True}, "unknown_parameter", "urgent"),
]


@pytest.mark.parametrize(("event", "code", "param"), REFUSED)
async def test_a_bad_request_for_a_response_is_refused(
    double: OpenAIDouble, event: Event, code: str, param: str
) -> None:
    async with open_client(double) as client:
        error = await client.refused(event)
        assert (error["code"], error["param"], error["event_id"]) == (code, param, "c-5")
        await client.ask({"type": "response.create"}, "response.created")


async def test_overrides_hold_for_one_response_only(double: OpenAIDouble) -> None:
    tool = {"type": "function", "name": "wait_for_user", "parameters": {"type": "object", "properties": {}}}
    async with open_client(double) as client:
        forced = create(
            tools=[tool], tool_choice={"type": "function", "name": "wait_for_user"}, reasoning={"effort": "high"}
        )
        done = await client.ask(forced, "response.done")
        (call,) = done["response"]["output"]
        assert (call["type"], call["name"], call["arguments"]) == ("function_call", "wait_for_user", "{}")
        assert done["response"]["usage"]["output_token_details"]["reasoning_tokens"] == 192
        kinds = [e["type"] for e in client.seen if e["type"].startswith(("response.function", "response.output_item"))]
        assert kinds == [
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
        ]
        added, finished = (
            client.of_type("response.output_item.added")[0],
            client.of_type("response.output_item.done")[0],
        )
        assert (added["item"]["status"], added["item"]["arguments"]) == ("in_progress", "")
        assert finished["item"]["status"] == "completed"
        arguments = client.of_type("response.function_call_arguments.done")[0]
        assert (arguments["call_id"], arguments["name"]) == (call["call_id"], "wait_for_user")
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "{}"}
        await client.send({"type": "conversation.item.create", "item": output})
        second = await client.ask({"type": "response.create"}, "response.done")
        assert second["response"]["output"][0]["type"] == "message"


async def test_an_output_limit_cuts_the_speech(double: OpenAIDouble) -> None:
    double.script = Script(greeting=LONG)
    async with open_client(double) as client:
        done = await client.ask(create(max_output_tokens=60), "response.done")
        response = done["response"]
        assert response["status"] == "incomplete"
        assert response["status_details"] == {"type": "incomplete", "reason": "max_output_tokens"}
        assert response["output"][0]["status"] == "incomplete"
        assert 0 < response["usage"]["output_token_details"]["audio_tokens"] <= 60


async def test_usage_grows_with_the_conversation_and_its_prefix_is_cached(double: OpenAIDouble) -> None:
    async with open_client(double) as client:
        await client.configure(instructions="You answer the phone. " * 40)
        usages = []
        for _ in range(3):
            done = await client.ask({"type": "response.create"}, "response.done")
            usages.append(done["response"]["usage"])
    first, second, third = usages
    assert first["input_token_details"]["cached_tokens"] == 0
    assert second["input_tokens"] > first["input_tokens"]
    assert second["input_token_details"]["cached_tokens"] == first["input_tokens"] // 64 * 64
    assert third["input_token_details"]["cached_tokens"] == second["input_tokens"] // 64 * 64
    details = second["input_token_details"]
    assert details["audio_tokens"] == first["output_token_details"]["audio_tokens"]  # the greeting is context now
    assert second["total_tokens"] == second["input_tokens"] + second["output_tokens"]
    output = second["output_token_details"]
    assert output["reasoning_tokens"] == 16
    assert second["output_tokens"] == output["text_tokens"] + output["audio_tokens"]  # reasoning is inside text (§5.1)


async def test_changed_instructions_break_the_cache(double: OpenAIDouble) -> None:
    async with open_client(double) as client:
        await client.configure(instructions="You answer the phone. " * 40)
        await client.ask({"type": "response.create"}, "response.done")
        await client.configure(instructions="You are billing. " * 40)
        done = await client.ask({"type": "response.create"}, "response.done")
    assert done["response"]["usage"]["input_token_details"]["cached_tokens"] == 0


async def test_rate_limits_come_with_each_response(config: DoubleConfig) -> None:
    switches = Switches(rate_limit_names=("requests", "tokens"))
    limited = dataclasses.replace(config, switches=switches, tokens_per_minute=1000)
    async with OpenAIDouble(limited) as double, open_client(double) as client:
        await client.send({"type": "response.create"})
        event = await client.until("rate_limits.updated")
    names = [limit["name"] for limit in event["rate_limits"]]
    assert names == ["requests", "tokens"]
    assert all(limit["limit"] == 1000 and 0 < limit["remaining"] < 1000 for limit in event["rate_limits"])


async def test_a_context_that_may_not_be_truncated_fails_the_response(double: OpenAIDouble) -> None:
    """§3.5: disabled."""
    async with open_client(double, model="gpt-realtime-1.5") as client:
        await client.configure(truncation="disabled")
        for _ in range(2):
            text = {"type": "input_text", "text": "x" * 4 * 15000}
            await client.send(
                {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [text]}}
            )
        done = await client.ask({"type": "response.create"}, "response.done")
    assert (done["response"]["status"], done["response"]["usage"]) == ("failed", None)
    assert done["response"]["status_details"]["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize(("output_format", "bytes_per_ms"), [("audio/pcmu", 8), ("audio/pcma", 8), ("audio/pcm", 48)])
async def test_speech_leaves_in_the_sessions_format(
    double: OpenAIDouble, output_format: str, bytes_per_ms: int
) -> None:
    audio = {"output": {"format": {"type": output_format, **({"rate": 24000} if output_format == "audio/pcm" else {})}}}
    async with open_client(double) as client:
        await client.configure(audio=audio)
        await client.ask(create(instructions='Say exactly: "Good morning."'), "response.done")
        sound = b"".join(base64.b64decode(event["delta"]) for event in client.of_type("response.output_audio.delta"))
        spoken = double.sessions[0].items[0].audio
    assert len(sound) == len(spoken) * bytes_per_ms // 8
    assert 500 < len(sound) / bytes_per_ms < 2500
    restored = InputDecoder().decode(sound, type=output_format)
    errors = [abs(a - b) for a, b in zip(decode_mulaw(restored), decode_mulaw(spoken), strict=True)]
    assert sum(errors) / len(errors) < 0.1 * measure_rms(spoken)


def test_silence_is_silence_in_every_format() -> None:
    """§9.5."""
    assert OutputFormat("audio/pcmu").encode(b"\xff" * 8) == b"\xff" * 8
    assert OutputFormat("audio/pcma").encode(b"\xff" * 8) == b"\xd5" * 8
    assert OutputFormat("audio/pcm").encode(b"\xff" * 8) == bytes(48)


async def test_deltas_are_cut_at_the_configured_length(config: DoubleConfig) -> None:
    timing = dataclasses.replace(config.timing, delta_ms=(100, 250))
    config = dataclasses.replace(config, timing=timing)
    async with OpenAIDouble(config, script=Script(greeting=LONG)) as double, open_client(double) as client:
        await client.ask({"type": "response.create"}, "response.done")
    lengths = [len(base64.b64decode(e["delta"])) / 8 for e in client.of_type("response.output_audio.delta")]
    assert all(100 <= length <= 250 for length in lengths[:-1])
    assert len(set(lengths)) > 3


async def test_a_plain_model_has_no_phases(double: OpenAIDouble) -> None:
    async with open_client(double, model="gpt-realtime-1.5") as client:
        done = await client.ask({"type": "response.create"}, "response.done")
    assert "phase" not in done["response"]["output"][0]
    assert "reasoning_tokens" not in done["response"]["usage"]["output_token_details"]


async def test_the_voice_of_a_response_is_fixed_once_the_agent_has_spoken(double: OpenAIDouble) -> None:
    """§3.2, and the docstring of the field's type."""
    async with open_client(double) as client:
        first = await client.ask(create(audio={"output": {"voice": "cedar"}}), "response.done")
        assert first["response"]["audio"]["output"]["voice"] == "cedar"
        error = await client.refused(create(audio={"output": {"voice": "cedar"}}))
        assert (error["code"], error["param"]) == ("cannot_update_voice", "response.audio.output.voice")
        await client.ask(create(audio={"output": {"voice": "marin"}}), "response.done")


async def test_a_bug_in_a_response_closes_the_socket_and_is_logged(
    double: OpenAIDouble, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_client(double) as client:
        double.script = None  # type: ignore[assignment]  # what a bug would leave behind
        await client.send({"type": "response.create"})
        with pytest.raises(ConnectionClosed) as caught:
            await client.until("response.done")
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1011
    assert "broke" in caplog.text

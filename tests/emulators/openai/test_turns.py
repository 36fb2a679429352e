"""Turns over the socket: the order of events, barge-in and what the caller is heard to say (openai-realtime.md §4.4)."""

from __future__ import annotations

import base64

from emulators.openai.double import OpenAIDouble
from emulators.openai.script import Script
from emulators.sound import make_silence, measure_ms
from emulators.speech import CALLER_VOICE, Synthesiser

from .client import open_client

SCRIPT = Script.read(
    {
        "rules": [
            {
                "caller": r"order (?P<number>\w+)",
                "commentary": "One moment.",
                "call": [{"name": "lookup_order", "arguments": {"order_id": "{number}"}}],
                "then": "Your order is {output.status}.",
            },
            {"caller": "opening hours", "say": "We are open from nine to five."},
        ]
    }
)
LOOKUP = {"type": "function", "name": "lookup_order", "parameters": {"type": "object", "properties": {}}}


def speak(double: OpenAIDouble, synthesiser: Synthesiser, text: str) -> bytes:
    clip = synthesiser.speak(text, voice=CALLER_VOICE)
    double.register_clip(clip, text)
    return clip


async def test_a_greeting_is_spoken_in_the_order_of_the_reference(double: OpenAIDouble) -> None:
    async with open_client(double) as client:
        client.seen.clear()
        instructions = 'Say exactly: "Good morning, Acme Dental."'
        await client.send({"type": "response.create", "event_id": "c-4", "response": {"instructions": instructions}})
        done = await client.until("response.done")
    kinds = list(dict.fromkeys(client.types()))
    assert kinds == [
        "response.created",
        "rate_limits.updated",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    response = done["response"]
    assert (response["status"], response["status_details"]) == ("completed", None)
    item = response["output"][0]
    assert item["content"] == [{"type": "output_audio", "transcript": "Good morning, Acme Dental."}]
    assert item["phase"] == "final_answer"
    words = "".join(event["delta"] for event in client.of_type("response.output_audio_transcript.delta"))
    assert words == "Good morning, Acme Dental."
    sound = b"".join(base64.b64decode(event["delta"]) for event in client.of_type("response.output_audio.delta"))
    assert 1000 < measure_ms(sound) < 3000


async def test_a_caller_turn_is_found_by_its_energy_and_answered(
    double: OpenAIDouble, synthesiser: Synthesiser
) -> None:
    double.script = SCRIPT
    clip = speak(double, synthesiser, "What are your opening hours?")
    async with open_client(double) as client:
        client.seen.clear()
        await client.play(make_silence(500) + clip + make_silence(600))
        await client.until("response.done")
        while "conversation.item.input_audio_transcription.completed" not in client.types():
            await client.receive()
    started = client.of_type("input_audio_buffer.speech_started")[0]
    stopped = client.of_type("input_audio_buffer.speech_stopped")[0]
    committed = client.of_type("input_audio_buffer.committed")[0]
    assert 150 <= started["audio_start_ms"] <= 300  # 500 ms less the padding of 300 ms (§3.4)
    assert 500 + measure_ms(clip) + 100 <= stopped["audio_end_ms"] <= 500 + measure_ms(clip) + 340
    assert started["item_id"] == stopped["item_id"] == committed["item_id"]
    kinds = client.types()
    assert kinds[:5] == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    transcript = client.of_type("conversation.item.input_audio_transcription.completed")[0]
    assert transcript["transcript"] == "What are your opening hours?"
    assert transcript["item_id"] == committed["item_id"]
    assert transcript["usage"]["type"] == "tokens"
    said = client.of_type("response.output_audio_transcript.done")[0]
    assert said["transcript"] == "We are open from nine to five."


async def test_a_tool_is_called_after_a_commentary_and_its_result_is_told(
    double: OpenAIDouble, synthesiser: Synthesiser
) -> None:
    double.script = SCRIPT
    clip = speak(double, synthesiser, "Where is my order A12, please?")
    async with open_client(double) as client:
        await client.configure(tools=[LOOKUP])
        client.seen.clear()
        await client.play(clip + make_silence(600))
        done = await client.until("response.done")
        commentary, call = done["response"]["output"]
        assert (commentary["phase"], commentary["content"][0]["transcript"]) == ("commentary", "One moment.")
        assert (call["type"], call["status"], call["name"]) == ("function_call", "completed", "lookup_order")
        assert call["arguments"] == '{"order_id":"A12"}'
        deltas = "".join(event["delta"] for event in client.of_type("response.function_call_arguments.delta"))
        assert deltas == call["arguments"]
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": '{"status": "on its way"}'}
        await client.send({"type": "conversation.item.create", "item": output})
        await client.send({"type": "response.create"})
        await client.until("response.created")
        second = await client.until("response.done")
    assert second["response"]["output"][0]["content"][0]["transcript"] == "Your order is on its way."

"""Turns over the socket: the order of events, barge-in and what the caller is heard to say (openai-realtime.md §4.4)."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import pytest

from emulators.openai.audio import OutputFormat
from emulators.openai.config import DoubleConfig, Timing
from emulators.openai.double import OpenAIDouble
from emulators.openai.faults import Fault, FaultKind
from emulators.openai.script import Script
from emulators.sound import make_silence, measure_ms
from emulators.speech import CALLER_VOICE, Synthesiser

from .client import Client, Event, open_client

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


LONG = Script(
    greeting="I can tell you a lot about our practice, and I will go on telling you until somebody stops me. " * 2
)
SLOW = Timing(
    handshake_ms=0, session_updated_ms=1, response_created_ms=1, first_delta_ms=2, speech_factor=3, transcription_ms=1
)


@pytest.fixture
def slow(config: DoubleConfig) -> DoubleConfig:
    """Speaks slowly enough to be interrupted."""
    return dataclasses.replace(config, timing=SLOW)


def detection(**fields: Any) -> Event:
    return {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 300} | fields}}


async def start_speaking(client: Client) -> str:
    await client.send({"type": "response.create"})
    await client.until("response.output_audio.delta")
    return str(client.of_type("response.created")[-1]["response"]["id"])


async def test_a_barge_in_cancels_what_is_still_being_generated(slow: DoubleConfig, synthesiser: Synthesiser) -> None:
    """§4.4, §9.3 first row."""
    async with OpenAIDouble(slow, script=LONG) as double, open_client(double) as client:
        clip = speak(double, synthesiser, "Stop, please.")
        await start_speaking(client)
        client.seen.clear()
        await client.play(clip + make_silence(400))
        done = await client.until("response.done")
        after = [event["type"] for event in client.seen]
        assert "response.output_audio.delta" not in after[after.index("input_audio_buffer.speech_started") :]
        assert done["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        await client.until("response.created")


async def test_a_barge_in_after_generation_cancels_nothing(double: OpenAIDouble, synthesiser: Synthesiser) -> None:
    """§9.3 second row: only the client knows that sound is still playing."""
    clip = speak(double, synthesiser, "Stop, please.")
    async with open_client(double) as client:
        await client.ask({"type": "response.create"}, "response.done")
        client.seen.clear()
        await client.play(clip + make_silence(400))
        done = await client.until("response.done")
        assert client.types()[:3] == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
        ]
        assert done["response"]["status"] == "completed"


async def test_late_deltas_of_a_cancelled_response_come_after_the_interruption(
    slow: DoubleConfig, synthesiser: Synthesiser
) -> None:
    async with OpenAIDouble(slow, script=LONG) as double, open_client(double) as client:
        clip = speak(double, synthesiser, "Stop, please.")
        double.inject(Fault(kind=FaultKind.LATE_DELTAS, count=2))
        response_id = await start_speaking(client)
        client.seen.clear()
        await client.play(clip)
        await client.until("response.done")
    kinds = client.types()
    late = client.seen[kinds.index("input_audio_buffer.speech_started") :]
    deltas = [event for event in late if event["type"] == "response.output_audio.delta"]
    assert [event["response_id"] for event in deltas] == [response_id] * 2


@pytest.mark.parametrize(
    ("create", "interrupt", "statuses"),
    [(True, True, ["cancelled", "completed"]), (False, True, ["cancelled"]), (False, False, ["completed"])],
)
async def test_voice_activity_creates_and_interrupts_only_if_told_to(
    config: DoubleConfig, synthesiser: Synthesiser, create: bool, interrupt: bool, statuses: list[str]
) -> None:
    """§3.4, the table of combinations."""
    timing = dataclasses.replace(SLOW, speech_factor=20.0)
    async with OpenAIDouble(dataclasses.replace(config, timing=timing), script=LONG) as double:
        clip = speak(double, synthesiser, "Stop, please.")
        async with open_client(double) as client:
            await client.configure(audio=detection(create_response=create, interrupt_response=interrupt))
            await start_speaking(client)
            await client.play(clip + make_silence(400))
            await client.until("input_audio_buffer.committed")
            while len(client.of_type("response.done")) < len(statuses):
                await client.receive()
            await client.ask({"type": "input_audio_buffer.clear"}, "input_audio_buffer.cleared")
            assert [event["response"]["status"] for event in client.of_type("response.done")] == statuses
            assert len(client.of_type("response.created")) == len(statuses)


async def test_an_automatic_response_fails_while_another_goes_on(slow: DoubleConfig, synthesiser: Synthesiser) -> None:
    """§3.4: create without interrupt."""
    async with OpenAIDouble(slow, script=LONG) as double, open_client(double) as client:
        clip = speak(double, synthesiser, "Stop, please.")
        await client.configure(audio=detection(interrupt_response=False))
        await start_speaking(client)
        await client.play(clip + make_silence(400))
        error = (await client.until("error"))["error"]
    assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", None)


async def test_push_to_talk_commits_by_hand(double: OpenAIDouble, synthesiser: Synthesiser) -> None:
    clip = speak(double, synthesiser, "What are your opening hours?")
    double.script = SCRIPT
    async with open_client(double) as client:
        await client.configure(audio={"input": {"turn_detection": None}})
        await client.play(clip)
        committed = await client.ask({"type": "input_audio_buffer.commit"}, "input_audio_buffer.committed")
        assert committed["previous_item_id"] is None
        assert client.of_type("input_audio_buffer.speech_started") == client.of_type("response.created") == []
        done = await client.ask({"type": "response.create"}, "response.done")
        assert done["response"]["output"][0]["content"][0]["transcript"] == "We are open from nine to five."
        retrieve = {"type": "conversation.item.retrieve", "item_id": committed["item_id"]}
        retrieved = await client.ask(retrieve, "conversation.item.retrieved")
    assert base64.b64decode(retrieved["item"]["content"][0]["audio"]) == clip


async def test_too_little_sound_cannot_be_committed(double: OpenAIDouble) -> None:
    """§4.8."""
    async with open_client(double) as client:
        error = await client.refused({"type": "input_audio_buffer.commit", "event_id": "c-1"})
        assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "c-1")
        await client.play(make_silence(80))
        assert (await client.refused({"type": "input_audio_buffer.commit"}))[
            "code"
        ] == "input_audio_buffer_commit_empty"
        await client.play(make_silence(20))
        await client.ask({"type": "input_audio_buffer.commit"}, "input_audio_buffer.committed")


async def test_a_cleared_buffer_holds_no_speech(double: OpenAIDouble, synthesiser: Synthesiser) -> None:
    clip = speak(double, synthesiser, "Stop, please.")
    async with open_client(double) as client:
        await client.play(clip)
        await client.until("input_audio_buffer.speech_started")
        await client.ask({"type": "input_audio_buffer.clear"}, "input_audio_buffer.cleared")
        await client.play(make_silence(1000))
        assert (await client.ask({"type": "input_audio_buffer.commit"}, "input_audio_buffer.committed"))["item_id"]
        assert client.of_type("input_audio_buffer.speech_stopped") == []
        clock_ms = double.sessions[0].ear.clock_ms
    assert clock_ms == (len(clip) // 8) + 1000  # §4: offsets count all appended sound, also what was cleared


async def test_a_semantic_turn_ends_sooner_when_the_caller_seems_done(
    double: OpenAIDouble, synthesiser: Synthesiser
) -> None:
    done = speak(double, synthesiser, "I want to cancel.")
    going_on = speak(double, synthesiser, "My number is the")
    async with open_client(double) as client:
        await client.configure(audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}}})
        await client.play(done + make_silence(400))
        first = await client.until("input_audio_buffer.speech_stopped")
        await client.until("response.done")
        before_ms = double.sessions[0].ear.clock_ms
        await client.play(going_on + make_silence(2200))
        second = await client.until("input_audio_buffer.speech_stopped")
    assert first["audio_end_ms"] <= measure_ms(done) + 320
    assert second["audio_end_ms"] >= before_ms + measure_ms(going_on) + 1700


async def test_a_caller_who_says_nothing_is_asked_after_the_idle_timeout(
    double: OpenAIDouble,
) -> None:
    """§3.4: armed at response.done plus the length of the speech."""
    async with open_client(double) as client:
        await client.configure(audio=detection(idle_timeout_ms=5000))
        session = double.sessions[0]
        session.settings["audio"]["input"]["turn_detection"]["idle_timeout_ms"] = 50  # nobody waits five seconds here
        await client.ask(
            {"type": "response.create", "response": {"instructions": 'Say exactly: "Hi."'}}, "response.done"
        )
        sound_ms = session.items[0].audio_ms
        await client.play(make_silence(200))
        event = await client.until("input_audio_buffer.timeout_triggered")
        await client.until("response.done")
    kinds = [kind for kind in client.types() if kind.startswith(("input_audio", "response.created"))]
    assert kinds == [
        "response.created",
        "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.committed",
        "response.created",
    ]
    assert event["item_id"] == client.of_type("input_audio_buffer.committed")[0]["item_id"]
    assert 0 <= event["audio_start_ms"] <= event["audio_end_ms"] == 200
    assert sound_ms > 100


async def test_speech_disarms_the_idle_timeout(double: OpenAIDouble, synthesiser: Synthesiser) -> None:
    clip = speak(double, synthesiser, "Stop, please.")
    async with open_client(double) as client:
        await client.configure(audio=detection(create_response=False, idle_timeout_ms=5000))
        await client.ask({"type": "response.create"}, "response.done")
        await client.play(clip)
        await client.until("input_audio_buffer.speech_started")
        assert double.sessions[0].ear._idle is None


async def test_pcm_input_drives_voice_activity(double: OpenAIDouble, synthesiser: Synthesiser) -> None:
    clip = synthesiser.speak("Stop, please.", voice=CALLER_VOICE)
    wide = OutputFormat("audio/pcm").encode(clip + make_silence(400))
    async with open_client(double) as client:
        await client.configure(audio={"input": {"format": {"type": "audio/pcm", "rate": 24000}}})
        await client.play(wide, frame_bytes=961)  # frames need not end with a sample
        stopped = await client.until("input_audio_buffer.speech_stopped")
    assert measure_ms(clip) + 100 < stopped["audio_end_ms"] < measure_ms(clip) + 340


async def test_alaw_input_drives_voice_activity(double: OpenAIDouble, synthesiser: Synthesiser) -> None:
    clip = synthesiser.speak("Stop, please.", voice=CALLER_VOICE)
    async with open_client(double) as client:
        await client.configure(audio={"input": {"format": {"type": "audio/pcma"}}})
        await client.play(OutputFormat("audio/pcma").encode(clip + make_silence(400)))
        stopped = await client.until("input_audio_buffer.speech_stopped")
    assert measure_ms(clip) + 100 < stopped["audio_end_ms"] < measure_ms(clip) + 340


async def test_a_hand_off_changes_who_answers(double: OpenAIDouble, synthesiser: Synthesiser) -> None:
    """§7.2: a hand-off is new instructions and tools in the same session."""
    clip = speak(double, synthesiser, "I have a question about my invoice.")
    double.script = Script.read(
        {
            "rules": [
                {"instructions": "Reception", "caller": "invoice", "call": [{"name": "transfer_to_billing"}]},
                {"instructions": "Billing", "output_of": "transfer_to_billing", "say": "Billing here."},
            ]
        }
    )
    tool = {"type": "function", "name": "transfer_to_billing", "parameters": {"type": "object", "properties": {}}}
    async with open_client(double) as client:
        await client.configure(instructions="You are Reception.", tools=[tool])
        await client.play(clip + make_silence(400))
        call = (await client.until("response.done"))["response"]["output"][0]
        assert call["name"] == "transfer_to_billing"
        await client.send(
            {"type": "session.update", "session": {"type": "realtime", "instructions": "You are Billing.", "tools": []}}
        )
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "transferred"}
        await client.send({"type": "conversation.item.create", "item": output})
        done = await client.ask({"type": "response.create"}, "response.done")
    assert done["response"]["output"][0]["content"][0]["transcript"] == "Billing here."

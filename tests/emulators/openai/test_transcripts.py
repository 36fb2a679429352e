"""The caller's words by the separate recogniser: kinds, prices, order and failures (openai-realtime.md §3.6, §4.4)."""

from __future__ import annotations

import pytest

from emulators.openai.double import OpenAIDouble
from emulators.openai.faults import Fault, FaultKind
from emulators.sound import make_silence
from emulators.speech import CALLER_VOICE, Synthesiser

from .client import Event, open_client


def speak(double: OpenAIDouble, synthesiser: Synthesiser, text: str) -> bytes:
    clip = synthesiser.speak(text, voice=CALLER_VOICE)
    double.register_clip(clip, text)
    return clip


QUIET: Event = {"type": "server_vad", "silence_duration_ms": 300, "create_response": False}
TRANSCRIBERS = [
    ({"model": "gpt-4o-mini-transcribe"}, "tokens", 4),
    ({"model": "whisper-1"}, "duration", 1),  # §3.6: one delta = full text
    ({"model": "gpt-transcribe"}, "duration", 4),
]


@pytest.mark.parametrize(("transcription", "usage", "deltas"), TRANSCRIBERS)
async def test_each_transcriber_writes_and_bills_in_its_way(
    double: OpenAIDouble, synthesiser: Synthesiser, transcription: Event, usage: str, deltas: int
) -> None:
    clip = speak(double, synthesiser, "I want to cancel.")
    async with open_client(double) as client:
        include = ["item.input_audio_transcription.logprobs"]
        await client.configure(audio={"input": {"transcription": transcription}}, include=include)
        await client.play(clip + make_silence(400))
        completed = await client.until("conversation.item.input_audio_transcription.completed")
    assert (completed["transcript"], completed["usage"]["type"]) == ("I want to cancel.", usage)
    parts = client.of_type("conversation.item.input_audio_transcription.delta")
    assert len(parts) == deltas
    assert "".join(part["delta"] for part in parts) == "I want to cancel."
    assert [prob["token"] for prob in completed["logprobs"]] == [part["delta"] for part in parts]


async def test_the_diarizing_transcriber_names_speakers(double: OpenAIDouble, synthesiser: Synthesiser) -> None:
    clip = speak(double, synthesiser, "I want to cancel.")
    async with open_client(double) as client:
        await client.configure(audio={"input": {"transcription": {"model": "gpt-4o-transcribe-diarize"}}})
        await client.play(clip + make_silence(400))
        segment = await client.until("conversation.item.input_audio_transcription.segment")
    assert (segment["speaker"], segment["text"]) == ("A", "I want to cancel.")
    assert 0 == segment["start"] < segment["end"] < 4


async def test_transcripts_come_late_failed_or_not_at_all(double: OpenAIDouble, synthesiser: Synthesiser) -> None:
    """§9.3: order is known from `committed` only."""
    first, second = (speak(double, synthesiser, text) for text in ("I want to cancel.", "Stop, please."))
    kind = "conversation.item.input_audio_transcription"
    async with open_client(double) as client:
        await client.configure(audio={"input": {"turn_detection": QUIET}})
        double.inject(Fault(kind=FaultKind.TRANSCRIPT_LATE, delay_ms=150))
        await client.play(first + make_silence(400) + second + make_silence(400))
        swapped = [(await client.until(f"{kind}.completed"))["transcript"] for _ in range(2)]
        assert swapped == ["Stop, please.", "I want to cancel."]
        earlier, later = client.of_type("input_audio_buffer.committed")
        assert later["previous_item_id"] == earlier["item_id"]
        double.inject(Fault(kind=FaultKind.TRANSCRIPT_FAILED))
        await client.play(first + make_silence(400))
        failed = await client.until(f"{kind}.failed")
        assert failed["error"]["code"] == "audio_unintelligible"
        double.inject(Fault(kind=FaultKind.TRANSCRIPT_MISSING))
        await client.play(first + make_silence(400))
        await client.until("input_audio_buffer.committed")
        await client.play(second + make_silence(400))
        assert (await client.until(f"{kind}.completed"))["transcript"] == "Stop, please."

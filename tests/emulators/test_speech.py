"""The synthesiser: real sound, quickly, the same bytes for the same text."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from emulators.sound import measure_ms, measure_rms
from emulators.speech import AGENT_VOICE, CALLER_VOICE, SpeechError, Synthesiser, Voice


def test_a_sentence_becomes_seconds_of_audible_speech() -> None:
    spoken = Synthesiser().speak("Good morning, Acme Dental.")
    assert 1000 < measure_ms(spoken) < 3000
    assert measure_rms(spoken) > 1000


def test_agent_and_caller_sound_different() -> None:
    synthesiser = Synthesiser()
    assert synthesiser.speak("Hello", voice=AGENT_VOICE) != synthesiser.speak("Hello", voice=CALLER_VOICE)


def test_the_same_text_is_the_same_clip_also_in_another_process(tmp_path: Path) -> None:
    first = Synthesiser(cache_dir=tmp_path)
    spoken = first.speak("My order is A one two.")
    assert first.speak("My order is A one two.") is spoken
    assert Synthesiser(cache_dir=tmp_path).speak("My order is A one two.") == spoken
    assert [path.suffix for path in tmp_path.iterdir()] == [".ulaw"]


def test_memory_holds_no_more_clips_than_asked() -> None:
    synthesiser = Synthesiser(remembered_clips=2)
    first = synthesiser.speak("one")
    for text in ("two", "three"):
        synthesiser.speak(text)
    assert synthesiser.speak("one") is not first


def test_nothing_to_say_is_no_sound() -> None:
    assert Synthesiser().speak("  ") == b""


def test_an_unknown_language_is_refused_by_name() -> None:
    with pytest.raises(SpeechError, match="tlh") as caught:
        Synthesiser().speak("nuqneH", voice=Voice(language="tlh", speaker=""))
    assert caught.value.permanent


async def test_many_voices_at_once_do_not_mix() -> None:
    synthesiser = Synthesiser()
    texts = ["Number seven.", "A much longer sentence about the weather in the west.", "Yes."]
    apart = [len(Synthesiser().speak(text)) for text in texts]
    together = await asyncio.gather(*(synthesiser.speak_soon(text) for text in texts * 5))
    for spoken, wanted in zip(together, apart * 5, strict=True):
        assert len(spoken) == pytest.approx(wanted, abs=400)


def test_a_second_of_speech_is_made_in_well_under_a_second() -> None:
    synthesiser = Synthesiser()
    synthesiser.speak("warm up")
    started = time.process_time()
    spoken = synthesiser.speak("Your appointment is on Thursday at ten in the morning.")
    cost_ms = (time.process_time() - started) * 1000
    assert cost_ms / (measure_ms(spoken) / 1000) < 200  # 25 ms on an idle core; the bar is wide for a busy machine

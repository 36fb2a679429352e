"""A double cannot hear: registered clips are found again by their bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulators.openai.hearing import Hearing
from emulators.sound import make_silence
from emulators.speech import AGENT_VOICE, CALLER_VOICE, Synthesiser

TEXTS = [
    "Yes.",
    "No, thank you.",
    "I would like to book an appointment for Thursday morning, please.",
    "Hello, this is Anna. I am calling about my order, the number is A one two.",
]


@pytest.fixture(scope="module")
def clips(speech_dir: Path) -> dict[str, bytes]:
    synthesiser = Synthesiser(cache_dir=speech_dir)
    return {text: synthesiser.speak(text, voice=CALLER_VOICE) for text in TEXTS}


@pytest.fixture(scope="module")
def hearing(clips: dict[str, bytes]) -> Hearing:
    hearing = Hearing()
    for text, clip in clips.items():
        hearing.register(clip, text)
    return hearing


@pytest.mark.parametrize("text", TEXTS)
def test_a_clip_is_recognised_within_silence(hearing: Hearing, clips: dict[str, bytes], text: str) -> None:
    assert hearing.recognise(make_silence(313) + b"\xff" * 5 + clips[text] + make_silence(500)) == text


def test_several_clips_are_heard_in_their_order(hearing: Hearing, clips: dict[str, bytes]) -> None:
    audio = clips["Yes."] + make_silence(200) + clips["No, thank you."] + make_silence(100) + clips["Yes."]
    assert hearing.recognise(audio) == "Yes. No, thank you. Yes."


def test_lost_frames_do_not_matter(hearing: Hearing, clips: dict[str, bytes]) -> None:
    clip = clips[TEXTS[2]]
    frames = [clip[start : start + 160] for start in range(0, len(clip), 160)]
    kept = b"".join(frame for number, frame in enumerate(frames) if number % 5)
    assert hearing.recognise(kept) == TEXTS[2]


def test_gaps_padded_with_silence_do_not_matter(hearing: Hearing, clips: dict[str, bytes]) -> None:
    clip = bytearray(clips[TEXTS[2]])
    for start in range(1600, len(clip) - 480, 4000):
        clip[start : start + 480] = b"\xff" * 480
    assert hearing.recognise(bytes(clip)) == TEXTS[2]


def test_a_turn_that_was_cut_at_a_pause_gives_each_half_its_words(hearing: Hearing, clips: dict[str, bytes]) -> None:
    clip = clips[TEXTS[3]]
    cut = int(len(clip) * 0.27)
    first, second = hearing.recognise(clip[:cut]), hearing.recognise(clip[cut:])
    assert first == "Hello, this is Anna."
    assert f"{first} {second}" == TEXTS[3]


def test_unknown_speech_is_not_understood(clips: dict[str, bytes], speech_dir: Path) -> None:
    hearing = Hearing(unheard_text="[noise]")
    hearing.register(clips[TEXTS[2]], TEXTS[2])
    other = Synthesiser(cache_dir=speech_dir).speak("Something else entirely.", voice=AGENT_VOICE)
    assert hearing.recognise(other) == "[noise]"
    assert hearing.recognise(b"") == "[noise]"


def test_a_clip_registered_again_takes_the_new_text(clips: dict[str, bytes]) -> None:
    hearing = Hearing()
    hearing.register(clips["Yes."], "Yes.")
    hearing.register(clips["Yes."], "Ja.")
    assert hearing.recognise(clips["Yes."]) == "Ja."


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.integers(0, 5000), text=st.sampled_from(TEXTS), trimmed=st.integers(0, 800))
def test_no_position_hides_a_clip(
    hearing: Hearing, clips: dict[str, bytes], offset: int, text: str, trimmed: int
) -> None:
    audio = b"\xff" * offset + clips[text][min(trimmed, len(clips[text]) // 8) :]
    assert hearing.recognise(audio) == text

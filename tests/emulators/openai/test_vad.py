"""Voice activity on real energy (openai-realtime.md §3.4), on the audio's own clock."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulators.openai.vad import Detection, SpeechStarted, SpeechStopped, VoiceDetector, VoiceEvent
from emulators.openai.wire import JsonObject
from emulators.sound import encode_mulaw, make_silence


def make_sound(duration_ms: int, *, level: int = 3000) -> bytes:
    amplitude = level * math.sqrt(2)
    return encode_mulaw(round(amplitude * math.sin(index * 0.7)) for index in range(duration_ms * 8))


def detect(audio: bytes, *, frame_bytes: int = 160, unfinished: bool = False, **fields: object) -> list[VoiceEvent]:
    defaults: JsonObject = {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
    }
    if fields.get("type") == "semantic_vad":
        defaults = {"eagerness": "auto"}
    detector = VoiceDetector(
        Detection.read(defaults | fields), clock_ms=0, seems_unfinished=lambda start_ms: unfinished
    )
    events: list[VoiceEvent] = []
    for start in range(0, len(audio), frame_bytes):
        events += detector.feed(audio[start : start + frame_bytes])
    return events


def test_speech_starts_with_its_padding_and_ends_with_the_silence_that_proves_it() -> None:
    audio = make_silence(1000) + make_sound(800) + make_silence(1000)
    assert detect(audio) == [SpeechStarted(700), SpeechStopped(2300)]


def test_padding_and_silence_are_the_configured_ones() -> None:
    audio = make_silence(1000) + make_sound(800) + make_silence(1000)
    assert detect(audio, prefix_padding_ms=100, silence_duration_ms=200) == [SpeechStarted(900), SpeechStopped(2000)]


def test_padding_never_reaches_before_the_first_sound_appended() -> None:
    assert detect(make_sound(200)) == [SpeechStarted(0)]


def test_padding_never_reaches_into_the_turn_before() -> None:
    audio = make_sound(400) + make_silence(500) + make_silence(40) + make_sound(400)
    assert detect(audio)[:3] == [SpeechStarted(0), SpeechStopped(900), SpeechStarted(900)]


def test_a_short_pause_is_part_of_the_turn() -> None:
    audio = make_sound(400) + make_silence(480) + make_sound(400) + make_silence(520)
    assert detect(audio) == [SpeechStarted(0), SpeechStopped(1780)]


def test_a_click_is_no_speech() -> None:
    assert detect(make_silence(500) + make_sound(40) + make_silence(500)) == []


@pytest.mark.parametrize(("threshold", "heard"), [(0.3, True), (0.5, True), (0.6, False), (0.9, False)])
def test_a_higher_threshold_needs_louder_speech(threshold: float, heard: bool) -> None:
    assert bool(detect(make_sound(400, level=480), threshold=threshold)) is heard


@pytest.mark.parametrize(
    ("eagerness", "unfinished", "waited_ms"),
    [("high", False, 300), ("auto", False, 600), ("medium", False, 600), ("low", False, 1000)]
    + [("high", True, 2000), ("auto", True, 4000), ("medium", True, 4000), ("low", True, 8000)],
)
def test_semantic_detection_waits_longer_for_a_caller_who_seems_unfinished(
    eagerness: str, unfinished: bool, waited_ms: int
) -> None:
    audio = make_sound(400) + make_silence(9000)
    events = detect(audio, type="semantic_vad", eagerness=eagerness, unfinished=unfinished)
    assert events == [SpeechStarted(0), SpeechStopped(400 + waited_ms)]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 700), st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=6))
def test_framing_makes_no_difference(frame_bytes: int, stretches: list[tuple[bool, int]]) -> None:
    audio = b"".join(make_sound(20 * n) if loud else make_silence(20 * n) for loud, n in stretches)
    assert detect(audio, frame_bytes=frame_bytes) == detect(audio)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 80)), max_size=8))
def test_starts_and_stops_alternate_and_time_goes_on(stretches: list[tuple[bool, int]]) -> None:
    audio = b"".join(make_sound(20 * n) if loud else make_silence(20 * n) for loud, n in stretches)
    events = detect(audio)
    kinds = [type(event) for event in events]
    assert kinds == ([SpeechStarted, SpeechStopped] * len(kinds))[: len(kinds)]
    times = [event.at_ms for event in events]
    assert times == sorted(times)

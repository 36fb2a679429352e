"""The caller's sound between the sockets: nothing lost while the model is not there, nothing out of order, all of it counted."""

from __future__ import annotations

import base64
import json

import pytest

from calls.session.events import CallerAudio, Event
from calls.transports.ear import EARLY_AUDIO_BYTES, Ear
from calls.wire.errors import WireError
from calls.wire.media_streams import APPEND_PREFIX, APPEND_SUFFIX, Chunk
from tests.calls.transports.doubles import STREAM


class Listener:
    """A model socket that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.dropped_frames = 0

    def send_audio(self, event: bytes) -> None:
        self.heard.append(base64.b64decode(json.loads(event)["audio"]))


def make_chunk(number: int, *, timestamp_ms: int | None = None, stream: str = STREAM) -> Chunk:
    audio = bytes([number % 251]) * 160
    append = APPEND_PREFIX + base64.b64encode(audio) + APPEND_SUFFIX
    return Chunk(stream, number * 20 if timestamp_ms is None else timestamp_ms, 160, append)


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def ear(told: list[Event]) -> Ear:
    return Ear(STREAM, deliver=told.append, hooks=[])


def test_early_sound_waits_and_goes_first_in_order(ear: Ear) -> None:
    model = Listener()
    for number in range(3):
        ear.hear(make_chunk(number))
    ear.connect(model)  # type: ignore[arg-type] # all it needs of a socket
    ear.hear(make_chunk(3))
    assert [sound[0] for sound in model.heard] == [0, 1, 2, 3]


def test_of_more_than_ten_early_seconds_the_oldest_is_dropped_and_counted(ear: Ear) -> None:
    model = Listener()
    for number in range(600):
        ear.hear(make_chunk(number))
    ear.connect(model)  # type: ignore[arg-type]
    assert sum(len(sound) for sound in model.heard) == EARLY_AUDIO_BYTES
    assert ear.dropped_ms == 100 * 20
    assert model.heard[-1][0] == 599 % 251


def test_gaps_and_stalls_become_silence_and_are_not_filled_twice(ear: Ear) -> None:
    model = Listener()
    ear.connect(model)  # type: ignore[arg-type]
    ear.hear(make_chunk(1, timestamp_ms=0))
    ear.hear(make_chunk(2, timestamp_ms=100))
    assert [len(sound) for sound in model.heard] == [160, 80 * 8, 160]
    ear.fill_stall(749)
    assert len(model.heard) == 3
    ear.fill_stall(751)
    ear.fill_stall(1501)
    assert [len(sound) for sound in model.heard[3:]] == [8000]
    assert set(model.heard[3]) == {0xFF}
    ear.hear(make_chunk(3, timestamp_ms=1120))
    assert [len(sound) for sound in model.heard[4:]] == [160]


def test_the_session_hears_only_totals_about_once_a_second(ear: Ear, told: list[Event]) -> None:
    ear.connect(Listener())  # type: ignore[arg-type]
    for number in range(100):
        ear.hear(make_chunk(number))
    assert told == [CallerAudio(1000), CallerAudio(1000)]


def test_sound_of_another_stream_is_nonsense(ear: Ear) -> None:
    with pytest.raises(WireError):
        ear.hear(make_chunk(0, stream="MZ-other"))


def test_sound_waits_again_while_the_model_is_away(ear: Ear) -> None:
    first, second = Listener(), Listener()
    first.dropped_frames = 2
    ear.connect(first)  # type: ignore[arg-type]
    ear.hear(make_chunk(0))
    ear.disconnect()
    ear.hear(make_chunk(1))
    ear.connect(second)  # type: ignore[arg-type]
    assert ([s[0] for s in first.heard], [s[0] for s in second.heard]) == ([0], [1])
    assert ear.dropped_ms == 40

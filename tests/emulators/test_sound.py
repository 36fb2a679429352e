"""The telephone's arithmetic: companding, resampling, energy and WAV files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulators import sound


def make_tone(frequency_hz: int, *, rate_hz: int, seconds: float = 0.25, amplitude: int = 10000) -> list[int]:
    step = 2 * math.pi * frequency_hz / rate_hz
    return [round(amplitude * math.sin(step * index)) for index in range(int(rate_hz * seconds))]


def measure_level(samples: list[int]) -> float:
    return math.sqrt(sum(sample * sample for sample in samples) / len(samples))


def test_mulaw_codes_match_the_corner_values_of_g711() -> None:
    assert sound.encode_mulaw([0, -1, 32767, -32768, 8159, -8159]) == bytes([0xFF, 0x7F, 0x80, 0x00, 0x9F, 0x1F])
    assert list(sound.decode_mulaw(bytes([0xFF, 0x7F, 0x80, 0x00]))) == [0, 0, 32124, -32124]


def test_every_mulaw_code_survives_decoding_and_encoding() -> None:
    codes = bytes(code for code in range(256) if code != 0x7F)  # 0x7F is minus zero, which comes back as plus zero
    assert sound.encode_mulaw(sound.decode_mulaw(codes)) == codes


@given(st.integers(-32635, 32635))
def test_companding_errs_by_less_than_a_sixteenth_of_the_sample(sample: int) -> None:
    restored = sound.decode_mulaw(sound.encode_mulaw([sample]))[0]
    assert abs(restored - sample) <= max(8, abs(sample) / 16)


def test_resampling_keeps_speech_frequencies_and_the_length() -> None:
    for frequency_hz in (300, 1000, 3000):
        narrow = sound.resample(make_tone(frequency_hz, rate_hz=22050), from_hz=22050, to_hz=8000)
        assert abs(len(narrow) - 2000) <= 1
        assert measure_level(list(narrow[100:-100])) == pytest.approx(10000 / math.sqrt(2), rel=0.04)


def test_resampling_removes_what_would_fold_back_into_the_telephone_band() -> None:
    narrow = sound.resample(make_tone(5500, rate_hz=22050), from_hz=22050, to_hz=8000)
    assert measure_level(list(narrow[100:-100])) < 30


def test_resampling_up_gives_back_the_same_tone() -> None:
    wide = sound.resample(make_tone(440, rate_hz=8000), from_hz=8000, to_hz=24000)
    wanted = make_tone(440, rate_hz=24000)
    assert len(wide) == len(wanted)
    assert max(abs(a - b) for a, b in zip(wide[200:-200], wanted[200:-200], strict=True)) < 60


def test_energy_of_silence_is_nothing_and_of_a_tone_its_level() -> None:
    assert sound.measure_energy(sound.make_silence(20)) == 0.0
    assert sound.measure_energy(b"") == 0.0
    tone = sound.encode_mulaw(make_tone(1000, rate_hz=8000))
    assert sound.measure_rms(tone) == pytest.approx(7071, rel=0.02)
    assert sound.measure_ms(tone) == 250


def test_a_stereo_wav_comes_back_channel_by_channel(tmp_path: Path) -> None:
    caller, agent = sound.encode_mulaw(make_tone(500, rate_hz=8000)), sound.make_silence(100)
    sound.write_wav(tmp_path / "call.wav", caller, agent)
    assert (tmp_path / "call.wav").read_bytes() == sound.make_wav(caller, agent)
    heard_caller, heard_agent = sound.read_wav(tmp_path / "call.wav")
    assert heard_caller == caller
    assert heard_agent == agent + sound.make_silence(150)


def test_three_channels_are_no_telephone_recording() -> None:
    with pytest.raises(ValueError, match="one or two channels"):
        sound.make_wav(b"\xff", b"\xff", b"\xff")

"""The digits we send are tones a telephone exchange understands."""

from __future__ import annotations

import math

import pytest

from calls.wire import tones
from emulators import sound


def measure_power(samples: list[int], frequency_hz: int) -> float:
    """Goertzel: the energy of one frequency."""
    coefficient = 2 * math.cos(2 * math.pi * frequency_hz / 8000)
    one = two = 0.0
    for sample in samples:
        one, two = sample + coefficient * one - two, one
    return one * one + two * two - coefficient * one * two


@pytest.mark.parametrize("key", list("0123456789*#ABCD"))
def test_each_key_sounds_its_two_frequencies_and_no_other(key: str) -> None:
    samples = list(sound.decode_mulaw(tones.make_tones(key)))[: 120 * 8]
    powers = {hz: measure_power(samples, hz) for hz in (697, 770, 852, 941, 1209, 1336, 1477, 1633)}
    loudest = sorted(powers, key=lambda hz: powers[hz])[-2:]
    assert sorted(loudest) == sorted(tones.FREQUENCIES_HZ[key])
    assert min(powers[hz] for hz in loudest) > 100 * max(power for hz, power in powers.items() if hz not in loudest)


def test_pauses_and_waits_have_their_lengths() -> None:
    assert len(tones.make_tones("12")) == 2 * (120 + 80) * 8
    assert tones.make_tones("w") == b"\xff" * 4000


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(ValueError, match="no key"):
        tones.make_tones("1x")

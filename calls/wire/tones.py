"""Telephone tones as μ-law bytes: the digits we send in-band; pure arithmetic (ITU-T Q.23 frequencies, G.711 companding)."""

from __future__ import annotations

import math

SAMPLE_RATE_HZ = 8000
TONE_MS = 120  # Q.24 asks receivers to take 40 ms; slow menus want more
PAUSE_MS = 80  # Q.24: at least 40 ms between digits
WAIT_MS = 500  # `w`, as in the carrier's own digit strings (twilio.md §3.7)
AMPLITUDE = 8_000  # per tone of 32,635: about -12 dBm0 each, inside Q.24's level window

_ROWS_HZ = (697, 770, 852, 941)
_COLUMNS_HZ = (1209, 1336, 1477, 1633)
_KEYS = ("123A", "456B", "789C", "*0#D")
FREQUENCIES_HZ = {
    key: (_ROWS_HZ[row], _COLUMNS_HZ[column]) for row, keys in enumerate(_KEYS) for column, key in enumerate(keys)
}


def make_tones(digits: str) -> bytes:
    """μ-law of the key tones with pauses; `w` waits half a second. Raises ValueError for anything else."""
    sound = bytearray()
    for digit in digits:
        if digit in "wW":
            sound += b"\xff" * (WAIT_MS * SAMPLE_RATE_HZ // 1000)
            continue
        if digit.upper() not in FREQUENCIES_HZ:
            raise ValueError(f"{digit!r} is no key")
        sound += _make_key(*FREQUENCIES_HZ[digit.upper()])
        sound += b"\xff" * (PAUSE_MS * SAMPLE_RATE_HZ // 1000)
    return bytes(sound)


def _make_key(low_hz: int, high_hz: int) -> bytes:
    step_low, step_high = (2 * math.pi * hz / SAMPLE_RATE_HZ for hz in (low_hz, high_hz))
    count = TONE_MS * SAMPLE_RATE_HZ // 1000
    return bytes(_compand(round(AMPLITUDE * (math.sin(step_low * n) + math.sin(step_high * n)))) for n in range(count))


def _compand(sample: int) -> int:
    """One linear 16-bit sample as μ-law (G.711)."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32_635) + 132
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | (magnitude >> (exponent + 3)) & 0x0F) & 0xFF

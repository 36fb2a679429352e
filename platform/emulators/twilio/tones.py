"""The sounds of a telephone exchange as μ-law: keys and the beep before a recording. It plays nothing."""

from __future__ import annotations

import math
from functools import lru_cache

from emulators.sound import MULAW_RATE_HZ, encode_mulaw, make_silence

# ITU-T Q.23: rows and columns of the keypad.
_ROWS = (697, 770, 852, 941)
_COLUMNS = (1209, 1336, 1477, 1633)
_KEYS = ("123A", "456B", "789C", "*0#D")
_TONE_MS = 100
_BEEP_HZ, _BEEP_MS = 1000, 300


def _mix(frequencies: tuple[int, ...], *, duration_ms: int, amplitude: int) -> bytes:
    count = duration_ms * MULAW_RATE_HZ // 1000
    return encode_mulaw(
        round(amplitude / len(frequencies) * sum(math.sin(2 * math.pi * hz * n / MULAW_RATE_HZ) for hz in frequencies))
        for n in range(count)
    )


@lru_cache(maxsize=16)
def make_digit(digit: str) -> bytes:
    """100 ms of tone, 100 ms of silence."""
    for row, keys in zip(_ROWS, _KEYS, strict=True):
        if digit in keys:
            tone = _mix((row, _COLUMNS[keys.index(digit)]), duration_ms=_TONE_MS, amplitude=16000)
            return tone + make_silence(_TONE_MS)
    raise ValueError(f"there is no key {digit!r} on a telephone")


@lru_cache(maxsize=1)
def make_beep() -> bytes:
    return _mix((_BEEP_HZ,), duration_ms=_BEEP_MS, amplitude=12000)

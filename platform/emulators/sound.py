"""Telephone sound as numbers: μ-law, resampling, energy and WAV files. It never makes speech and never waits."""

from __future__ import annotations

import array
import io
import itertools
import math
import operator
import sys
import wave
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

MULAW_RATE_HZ = 8000
MULAW_BYTES_PER_MS = 8  # openai-realtime.md §9.5
MULAW_SILENCE = 0xFF  # openai-realtime.md §9.5
PCM_BYTES_PER_SAMPLE = 2

_BIAS = 132  # ITU-T G.711 μ-law: added before the segment is found
_CLIP = 32635
_TAPS_PER_PHASE = 64  # a transition band of about 1.1 kHz at 22.05 kHz: inaudible on a telephone
_PASS_BAND = 0.43  # of the lower of both rates: 3.44 kHz at 8 kHz, the edge of the telephone band


def _expand(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + _BIAS) << ((code & 0x70) >> 4)
    return _BIAS - magnitude if code & 0x80 else magnitude - _BIAS


def _compress(sample: int) -> int:
    sign = 0x80 if sample < 0 else 0
    biased = min(abs(sample), _CLIP) + _BIAS
    segment = biased.bit_length() - 8
    return ~(sign | (segment << 4) | ((biased >> (segment + 3)) & 0x0F)) & 0xFF


_EXPANDED = tuple(_expand(code) for code in range(256))
_SQUARES = tuple(float(value * value) for value in _EXPANDED)
# Indexed by a signed sample: Python's negative indexes make -1 the last entry, so no offset is needed.
_COMPRESSED = bytes(_compress(sample if sample < 32768 else sample - 65536) for sample in range(65536))


def encode_mulaw(samples: Iterable[int]) -> bytes:
    """Turns signed 16-bit samples into μ-law, one byte a sample."""
    return bytes(map(_COMPRESSED.__getitem__, samples))


def decode_mulaw(mulaw: bytes) -> array.array[int]:
    return array.array("h", map(_EXPANDED.__getitem__, mulaw))


def make_silence(duration_ms: int) -> bytes:
    return bytes([MULAW_SILENCE]) * (duration_ms * MULAW_BYTES_PER_MS)


def measure_ms(mulaw: bytes) -> float:
    return len(mulaw) / MULAW_BYTES_PER_MS


def measure_energy(mulaw: bytes) -> float:
    """Mean square of the block on the 16-bit scale; 0.0 for an empty block."""
    return sum(map(_SQUARES.__getitem__, mulaw)) / len(mulaw) if mulaw else 0.0


def measure_rms(mulaw: bytes) -> float:
    return math.sqrt(measure_energy(mulaw))


def read_pcm(raw: bytes) -> array.array[int]:
    """Signed 16-bit little-endian bytes as samples; a half sample at the end is dropped."""
    samples = array.array("h", raw[: len(raw) - len(raw) % PCM_BYTES_PER_SAMPLE])
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def write_pcm(samples: Iterable[int]) -> bytes:
    values = array.array("h", samples)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


@lru_cache(maxsize=16)
def _make_phases(up: int, down: int) -> tuple[tuple[float, ...], ...]:
    """The low-pass of a rational resampler, cut into `up` phases: a Hamming-windowed sinc of unit gain."""
    cut_off = _PASS_BAND * min(1.0, up / down)  # in cycles per input sample
    half = _TAPS_PER_PHASE / 2
    phases = []
    for phase in range(up):
        offsets = [tap - half + 1 - phase / up for tap in range(_TAPS_PER_PHASE)]
        taps = [
            2
            * cut_off
            * (math.sin(2 * math.pi * cut_off * t) / (2 * math.pi * cut_off * t) if t else 1.0)
            * (0.54 + 0.46 * math.cos(math.pi * t / half))
            for t in offsets
        ]
        gain = sum(taps)
        phases.append(tuple(tap / gain for tap in taps))
    return tuple(phases)


def resample(samples: Sequence[int], *, from_hz: int, to_hz: int) -> array.array[int]:
    """Polyphase resampling without delay: sample 0 of the output is sample 0 of the input."""
    if from_hz == to_hz:
        return array.array("h", samples)
    divisor = math.gcd(from_hz, to_hz)
    up, down = to_hz // divisor, from_hz // divisor
    phases = _make_phases(up, down)
    lead = _TAPS_PER_PHASE // 2 - 1
    padded = [0.0] * lead + [float(sample) for sample in samples] + [0.0] * (_TAPS_PER_PHASE - lead)
    multiply = operator.mul
    result = array.array("h")
    for step in range(len(samples) * up // down):
        start, phase = divmod(step * down, up)
        value = round(sum(map(multiply, phases[phase], padded[start : start + _TAPS_PER_PHASE])))
        result.append(-32768 if value < -32768 else 32767 if value > 32767 else value)
    return result


def make_wav(*channels: bytes) -> bytes:
    """An 8 kHz 16-bit WAV of one or two μ-law channels; the shorter one is filled with silence."""
    sound = io.BytesIO()
    _write_wav(sound, channels)
    return sound.getvalue()


def write_wav(path: Path, *channels: bytes) -> None:
    with path.open("wb") as sound:
        _write_wav(sound, channels)


def read_wav(source: Path | bytes) -> tuple[bytes, ...]:
    """The μ-law channels of an 8 kHz 16-bit WAV. Raises ValueError for any other kind."""
    opened = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    with opened as sound, wave.open(sound, "rb") as reader:
        if reader.getframerate() != MULAW_RATE_HZ or reader.getsampwidth() != PCM_BYTES_PER_SAMPLE:
            raise ValueError("not an 8 kHz 16-bit WAV file")
        count = reader.getnchannels()
        samples = read_pcm(reader.readframes(reader.getnframes()))
    return tuple(encode_mulaw(samples[channel::count]) for channel in range(count))


def _write_wav(target: io.BytesIO | io.BufferedWriter, channels: Sequence[bytes]) -> None:
    if len(channels) not in (1, 2):
        raise ValueError("a telephone recording has one or two channels")
    decoded = [decode_mulaw(channel) for channel in channels]
    interleaved = itertools.chain.from_iterable(itertools.zip_longest(*decoded, fillvalue=0))
    with wave.open(target, "wb") as writer:
        writer.setnchannels(len(channels))
        writer.setsampwidth(PCM_BYTES_PER_SAMPLE)
        writer.setframerate(MULAW_RATE_HZ)
        writer.writeframes(write_pcm(interleaved))

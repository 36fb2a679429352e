"""Finds speech in the caller's audio by its real energy, on the audio's own clock. Pure: bytes in, events out.

openai-realtime.md §3.4; all offsets are milliseconds of audio appended, never wall clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from emulators.openai.wire import JsonObject
from emulators.sound import MULAW_BYTES_PER_MS, measure_energy

_BLOCK_MS = 20
_BLOCK_BYTES = _BLOCK_MS * MULAW_BYTES_PER_MS
_ONSET_BLOCKS, _ONSET_WINDOW = 3, 5  # 60 ms of sound within 100 ms: a click is no speech
_HOLD_SHARE = 0.25  # of the onset energy keeps speech going: half the level, so that word ends are not cut

# The vendor's threshold (0..1) is a probability, here a level: 0.5 = RMS 400 of 32768 (-38 dBFS), 0.1 up = 3.2 dB.
_LEVEL_AT_HALF, _DECADES_PER_UNIT = 400.0, 1.6

# semantic_vad waits "up to" 8/4/2 s (§3.4) for a caller who seems unfinished, and little for one who seems done.
_EAGERNESS_MS = {"low": (1000, 8000), "medium": (600, 4000), "auto": (600, 4000), "high": (300, 2000)}
_SEMANTIC_PADDING_MS, _SEMANTIC_THRESHOLD = 300, 0.5


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    at_ms: int  # prefix padding included (§4.2)


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    at_ms: int  # the silence that proved it included


VoiceEvent = SpeechStarted | SpeechStopped


@dataclass(frozen=True, slots=True)
class Detection:
    """How to decide; made from the session's `turn_detection`."""

    onset_energy: float
    padding_ms: int
    silence_ms: int
    unfinished_ms: int  # how long to wait for a caller who seems to go on (semantic only)

    @classmethod
    def read(cls, turn_detection: JsonObject) -> Detection:
        if turn_detection["type"] == "semantic_vad":
            short_ms, long_ms = _EAGERNESS_MS[turn_detection["eagerness"]]
            return cls(_read_threshold(_SEMANTIC_THRESHOLD), _SEMANTIC_PADDING_MS, short_ms, long_ms)
        silence_ms = turn_detection["silence_duration_ms"]
        padding_ms = turn_detection["prefix_padding_ms"]
        return cls(_read_threshold(turn_detection["threshold"]), padding_ms, silence_ms, silence_ms)


def _read_threshold(threshold: float) -> float:
    level: float = _LEVEL_AT_HALF * 10 ** (_DECADES_PER_UNIT * (threshold - 0.5))
    return level * level


class VoiceDetector:
    """`seems_unfinished(start_ms)` is asked once per pause, in semantic mode, whether the caller will go on."""

    def __init__(self, detection: Detection, *, clock_ms: int, seems_unfinished: Callable[[int], bool]) -> None:
        self.detection = detection
        self._seems_unfinished = seems_unfinished
        self._clock_ms = self._floor_ms = clock_ms
        self._partial = b""
        self._recent = 0  # one bit per block, newest lowest
        self._quiet_ms = 0
        self._patience_ms = detection.silence_ms
        self.speech_start_ms: int | None = None

    def feed(self, mulaw: bytes) -> list[VoiceEvent]:
        events: list[VoiceEvent] = []
        if self._partial:
            mulaw = self._partial + mulaw
        whole = len(mulaw) - len(mulaw) % _BLOCK_BYTES
        for start in range(0, whole, _BLOCK_BYTES):
            event = self._take_block(measure_energy(mulaw[start : start + _BLOCK_BYTES]))
            if event is not None:
                events.append(event)
        self._partial = mulaw[whole:]
        return events

    def forget_speech(self) -> None:
        """Call this when the audio was taken away by a commit or a clear: what follows is a new beginning."""
        self.speech_start_ms = None
        self._recent = self._quiet_ms = 0
        self._floor_ms = self._clock_ms

    def _take_block(self, energy: float) -> VoiceEvent | None:
        self._clock_ms += _BLOCK_MS
        if self.speech_start_ms is None:
            self._recent = (self._recent << 1 | (energy >= self.detection.onset_energy)) & (1 << _ONSET_WINDOW) - 1
            if self._recent.bit_count() < _ONSET_BLOCKS:
                return None
            onset_ms = self._clock_ms - self._recent.bit_length() * _BLOCK_MS
            self.speech_start_ms = max(self._floor_ms, onset_ms - self.detection.padding_ms)
            self._quiet_ms = 0
            return SpeechStarted(self.speech_start_ms)
        if energy >= self.detection.onset_energy * _HOLD_SHARE:
            self._quiet_ms = 0
            self._patience_ms = self.detection.silence_ms
            return None
        self._quiet_ms += _BLOCK_MS
        if self._quiet_ms < self._patience_ms:
            return None
        if self._patience_ms < self.detection.unfinished_ms and self._seems_unfinished(self.speech_start_ms):
            self._patience_ms = self.detection.unfinished_ms
            return None
        self._patience_ms = self.detection.silence_ms
        self.forget_speech()
        return SpeechStopped(self._clock_ms)

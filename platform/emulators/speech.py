"""Text to telephone speech by a real synthesiser (espeak-ng), so that audio, voice activity and timing are real.

It knows no vendor and never plays or sends what it made.
"""

from __future__ import annotations

import array
import asyncio
import ctypes
import hashlib
import os
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import espeakng_loader

from emulators.sound import MULAW_RATE_HZ, encode_mulaw, resample

# speak_lib.h: AUDIO_OUTPUT_SYNCHRONOUS hands the samples to the callback inside espeak_Synth and opens no sound device.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000  # a missing data folder is an error to us, not the end of the process
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1
_PARAMETER_RATE, _PARAMETER_PITCH = 1, 3
_BUFFER_MS = 200
_CACHE_VERSION = b"speech-1"  # change it when the same text and voice shall sound otherwise
_REMEMBERED_CLIPS = 1024  # about 25 kB each

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class SpeechError(Exception):
    def __init__(self, message: str, *, permanent: bool = True) -> None:
        super().__init__(message)
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class Voice:
    """How a text sounds: a language of espeak-ng (`en-us`, `nl`, `de` …) and a speaker of it (`f1`-`f5`, `m1`-`m8`)."""

    language: str = "en-us"
    speaker: str = "f3"
    words_per_minute: int = 170
    pitch: int = 50  # 0-100

    @property
    def name(self) -> str:
        return f"{self.language}+{self.speaker}" if self.speaker else self.language


AGENT_VOICE = Voice(speaker="f3")
CALLER_VOICE = Voice(speaker="m3", words_per_minute=180, pitch=45)


class _Library:
    """The one espeak-ng of this process: it keeps its state in globals, so one thread at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples = bytearray()
        self._callback = _Callback(self._take_samples)  # kept: the library holds the bare pointer only
        self._library: ctypes.CDLL | None = None
        self._rate_hz = 0

    def synthesise(self, text: str, *, voice: Voice) -> tuple[array.array[int], int]:
        with self._lock:
            library = self._library or self._load()
            if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
                raise SpeechError(f"espeak-ng has no voice {voice.name}")
            library.espeak_SetParameter(_PARAMETER_RATE, voice.words_per_minute, 0)
            library.espeak_SetParameter(_PARAMETER_PITCH, voice.pitch, 0)
            self._samples.clear()
            spoken = text.encode()
            failed = library.espeak_Synth(
                spoken, ctypes.c_size_t(len(spoken) + 1), 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None
            )
            if failed:
                raise SpeechError(f"espeak-ng refused the text (status {failed})", permanent=False)
            return array.array("h", bytes(self._samples)), self._rate_hz

    def _take_samples(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int | None) -> int:
        if samples and count > 0:
            self._samples += ctypes.string_at(samples, count * ctypes.sizeof(ctypes.c_short))
        return 0  # go on

    def _load(self) -> ctypes.CDLL:
        library = ctypes.CDLL(espeakng_loader.get_library_path())
        data_path = espeakng_loader.get_data_path().encode()
        rate_hz = library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, _BUFFER_MS, data_path, _INITIALIZE_DONT_EXIT)
        if rate_hz <= 0:
            raise SpeechError("espeak-ng could not be initialised")
        library.espeak_SetSynthCallback(self._callback)
        self._library, self._rate_hz = library, rate_hz
        return library


_LIBRARY = _Library()


class Synthesiser:
    """Speaks each text once and then from memory (or from `cache_dir`, which processes may share).

    espeak-ng never renders a text twice to the same bytes (its noise sources go on from their last state), so the
    cache is also what makes a clip the same clip for everyone who asks for its text.
    """

    def __init__(self, *, cache_dir: Path | None = None, remembered_clips: int = _REMEMBERED_CLIPS) -> None:
        self._cache_dir = cache_dir
        self._remembered_clips = remembered_clips
        self._clips: OrderedDict[tuple[str, Voice], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def speak(self, text: str, *, voice: Voice = AGENT_VOICE) -> bytes:
        """The text as 8 kHz μ-law. Blocks for some milliseconds the first time; use `speak_soon` on an event loop."""
        spoken = self._recall(text, voice)
        if spoken is not None:
            return spoken
        with self._lock:  # one rendering per text, also when two callers want it at once
            spoken = self._recall(text, voice)
            if spoken is None:
                spoken = self._read(text, voice) or self._render(text, voice)
                self._clips[text, voice] = spoken
                while len(self._clips) > self._remembered_clips:
                    self._clips.popitem(last=False)
        return spoken

    async def speak_soon(self, text: str, *, voice: Voice = AGENT_VOICE) -> bytes:
        """`speak` for an event loop: a text that has to be rendered is rendered in a worker thread."""
        spoken = self._recall(text, voice)
        return spoken if spoken is not None else await asyncio.to_thread(self.speak, text, voice=voice)

    def _recall(self, text: str, voice: Voice) -> bytes | None:
        spoken = self._clips.get((text, voice))
        if spoken is not None:
            try:
                self._clips.move_to_end((text, voice))
            except KeyError:  # another thread has just dropped it; the bytes in hand are good
                return spoken
        return spoken

    def _render(self, text: str, voice: Voice) -> bytes:
        if not text.strip():
            return b""
        samples, rate_hz = _LIBRARY.synthesise(text, voice=voice)
        spoken = encode_mulaw(resample(samples, from_hz=rate_hz, to_hz=MULAW_RATE_HZ))
        self._write(text, voice, spoken)
        return spoken

    def _path(self, text: str, voice: Voice) -> Path | None:
        if self._cache_dir is None:
            return None
        key = hashlib.sha256(_CACHE_VERSION + repr((text, voice)).encode()).hexdigest()
        return self._cache_dir / f"{key}.ulaw"

    def _read(self, text: str, voice: Voice) -> bytes | None:
        path = self._path(text, voice)
        try:
            return path.read_bytes() if path else None
        except FileNotFoundError:
            return None

    def _write(self, text: str, voice: Voice, spoken: bytes) -> None:
        path = self._path(text, voice)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "wb") as part:
            part.write(spoken)
        Path(temporary).replace(path)  # readers in other processes see all of a clip or nothing

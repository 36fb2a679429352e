"""The caller's side of a session: the input buffer, voice activity, commits and transcripts.

openai-realtime.md §3.4, §3.6 and §4.4. It never speaks: at the end of a turn it asks its session for a response.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from emulators.openai.audio import InputDecoder
from emulators.openai.config import DoubleConfig
from emulators.openai.conversation import Conversation, Item
from emulators.openai.faults import Fault, FaultKind
from emulators.openai.hearing import Hearing
from emulators.openai.usage import describe_transcription_usage
from emulators.openai.vad import Detection, SpeechStarted, VoiceDetector, VoiceEvent
from emulators.openai.wire import JsonObject, RequestError, make_id, split_words
from emulators.sound import MULAW_BYTES_PER_MS

_COMMIT_MIN_MS = 100  # §4.1
_KEPT_MS = 30_000  # of a buffer in which nobody spoke; a commit by hand under VAD gets no more than this
_UNFINISHED_ENDINGS = ("…", "...", ",", " and", " but", " uh", " uhm", " um", " my", " the", " so")
_LOGPROB = -0.1


class Host(Protocol):
    """What the ear needs of its session."""

    config: DoubleConfig
    conversation: Conversation
    hearing: Hearing
    settings: JsonObject

    def emit(self, event: JsonObject) -> None: ...
    def emit_item(self, kind: str, item: Item) -> None: ...
    def take_fault(self, kind: FaultKind) -> Fault | None: ...
    def interrupt(self) -> None: ...
    def respond_to_turn(self) -> None: ...


class Ear:
    def __init__(self, host: Host) -> None:
        self._host = host
        self._decoder = InputDecoder()
        self._buffer = bytearray()
        self._buffer_start = 0  # μ-law bytes since the session began: the input audio clock (§4, "ms offsets")
        self._detector: VoiceDetector | None = None
        self._turn_item_id = ""
        self._idle: asyncio.TimerHandle | None = None
        self._idle_since_ms = 0
        self._transcripts: set[asyncio.Task[None]] = set()
        self.configure()

    @property
    def clock_ms(self) -> int:
        return (self._buffer_start + len(self._buffer)) // MULAW_BYTES_PER_MS

    @property
    def _turn_detection(self) -> JsonObject | None:
        detection: JsonObject | None = self._host.settings["audio"]["input"]["turn_detection"]
        return detection

    def configure(self) -> None:
        """Call this after each accepted update: voice activity starts anew only if its settings changed."""
        wanted = Detection.read(self._turn_detection) if self._turn_detection else None
        if wanted is None:
            self._detector = None
        elif self._detector is None or self._detector.detection != wanted:
            self._detector = VoiceDetector(wanted, clock_ms=self.clock_ms, seems_unfinished=self._seems_unfinished)

    def append(self, data: bytes) -> bytes:
        """Takes appended bytes in the session's input format; returns them as the μ-law they were understood as."""
        mulaw = self._decoder.decode(data, type=self._host.settings["audio"]["input"]["format"]["type"])
        self._buffer += mulaw
        if self._detector is not None:
            for event in self._detector.feed(mulaw):
                self._take_voice_event(event)
            if self._detector is not None and self._detector.speech_start_ms is None:
                self._forget(len(self._buffer) - _KEPT_MS * MULAW_BYTES_PER_MS)
        return mulaw

    def commit(self) -> None:
        """`input_audio_buffer.commit`. Raises RequestError when there is too little to commit (§4.8)."""
        buffered_ms = len(self._buffer) / MULAW_BYTES_PER_MS
        if buffered_ms < _COMMIT_MIN_MS:
            raise RequestError(
                f"Error committing input audio buffer: buffer too small. Expected at least {_COMMIT_MIN_MS}ms of "
                f"audio, but buffer only has {buffered_ms:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        speaking = self._detector is not None and self._detector.speech_start_ms is not None
        self._commit(len(self._buffer), item_id=self._turn_item_id if speaking else make_id("item"))
        if self._detector is not None:
            self._detector.forget_speech()

    def clear(self) -> None:
        self._forget(len(self._buffer))
        if self._detector is not None:
            self._detector.forget_speech()
        self._host.emit({"type": "input_audio_buffer.cleared"})

    def arm_idle(self, *, after_ms: float) -> None:
        """Call this when a response has ended; `after_ms` is how long its sound still plays (§3.4)."""
        self.disarm_idle()
        timeout_ms = (self._turn_detection or {}).get("idle_timeout_ms")
        if timeout_ms is None:
            return
        loop = asyncio.get_running_loop()
        self._idle_since_ms = self.clock_ms + round(after_ms)
        self._idle = loop.call_later((after_ms + timeout_ms) / 1000, self._take_idle_timeout)

    def disarm_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def close(self) -> None:
        self.disarm_idle()
        for task in self._transcripts:
            task.cancel()

    def _take_voice_event(self, event: VoiceEvent) -> None:
        detection = self._turn_detection or {}
        if isinstance(event, SpeechStarted):
            self.disarm_idle()
            self._turn_item_id = make_id("item")  # the future user item's (§4.2)
            self._forget(event.at_ms * MULAW_BYTES_PER_MS - self._buffer_start)
            self._emit("speech_started", audio_start_ms=event.at_ms)
            if detection["interrupt_response"]:
                self._host.interrupt()
            return
        self._emit("speech_stopped", audio_end_ms=event.at_ms)
        self._commit(event.at_ms * MULAW_BYTES_PER_MS - self._buffer_start, item_id=self._turn_item_id)
        if detection["create_response"]:
            self._host.respond_to_turn()

    def _take_idle_timeout(self) -> None:
        self._idle = None
        if self._detector is not None and self._detector.speech_start_ms is not None:
            return
        self._turn_item_id = make_id("item")
        start_ms = min(self._idle_since_ms, self.clock_ms)
        self._emit("timeout_triggered", audio_start_ms=start_ms, audio_end_ms=self.clock_ms)
        self._forget(start_ms * MULAW_BYTES_PER_MS - self._buffer_start)
        self._commit(len(self._buffer), item_id=self._turn_item_id)
        self._host.respond_to_turn()

    def _emit(self, name: str, **fields: object) -> None:
        self._host.emit({"type": f"input_audio_buffer.{name}", "item_id": self._turn_item_id, **fields})

    def _commit(self, length: int, *, item_id: str) -> None:
        audio = bytes(self._buffer[:length])
        self._forget(length)
        item = Item(
            {
                "id": item_id,
                "object": "realtime.item",
                "type": "message",
                "status": "completed",
                "role": "user",
                "content": [{"type": "input_audio", "transcript": None}],
            },
            audio=audio,
            heard=self._host.hearing.recognise(audio),
        )
        previous = self._host.conversation.add(item)
        committed = {"type": "input_audio_buffer.committed", "item_id": item_id, "previous_item_id": previous}
        self._host.emit(committed)
        self._host.emit_item("added", item)
        self._host.emit_item("done", item)
        settings = self._host.settings["audio"]["input"]["transcription"]
        if settings is not None:
            task = asyncio.get_running_loop().create_task(self._transcribe(item, settings))
            self._transcripts.add(task)
            task.add_done_callback(self._transcripts.discard)

    async def _transcribe(self, item: Item, settings: JsonObject) -> None:
        """The caller's words by the separate recogniser (§3.6), some time after the commit."""
        host = self._host
        late = host.take_fault(FaultKind.TRANSCRIPT_LATE)
        failed = host.take_fault(FaultKind.TRANSCRIPT_FAILED)
        missing = host.take_fault(FaultKind.TRANSCRIPT_MISSING)
        delay_ms = late.delay_ms if late else host.config.timing.transcription_ms
        await asyncio.sleep(delay_ms / 1000)
        if missing is not None:
            return
        kind = "conversation.item.input_audio_transcription"
        place = {"item_id": item.id, "content_index": 0}
        if failed is not None:
            message = failed.message or "Input transcription failed for item."
            error = {"type": "transcription_error", "code": "audio_unintelligible", "message": message, "param": None}
            host.emit({"type": f"{kind}.failed", **place, "error": error})
            return
        model = settings.get("model") or "whisper-1"
        words = [item.heard] if model == "whisper-1" else split_words(item.heard)  # §3.6: whisper streams no deltas
        include = host.settings["include"] or ()
        logprobs = _describe_words(words) if "item.input_audio_transcription.logprobs" in include else None
        for number, word in enumerate(words):
            delta: JsonObject = {"type": f"{kind}.delta", **place, "delta": word}
            if logprobs is not None:
                delta["logprobs"] = logprobs[number : number + 1]
            host.emit(delta)
        if model == "gpt-4o-transcribe-diarize" and item.heard:
            segment = {"id": make_id("seg"), "speaker": "A", "start": 0.0, "end": item.audio_ms / 1000}
            host.emit({"type": f"{kind}.segment", **place, **segment, "text": item.heard})
        if item.content:
            item.content[0]["transcript"] = item.heard
        usage = describe_transcription_usage(model, audio_ms=item.audio_ms, text=item.heard)
        completed: JsonObject = {"type": f"{kind}.completed", **place, "transcript": item.heard, "usage": usage}
        if logprobs is not None:
            completed["logprobs"] = logprobs
        host.emit(completed)

    def _seems_unfinished(self, start_ms: int) -> bool:
        """A stand-in for the vendor's turn-end model: the words so far end like a sentence that goes on."""
        heard = self._host.hearing.recognise(bytes(self._buffer[start_ms * MULAW_BYTES_PER_MS - self._buffer_start :]))
        return heard.lower().endswith(_UNFINISHED_ENDINGS)

    def _forget(self, length: int) -> None:
        if length > 0:
            del self._buffer[:length]
            self._buffer_start += length


def _describe_words(words: list[str]) -> list[JsonObject]:
    return [{"token": word, "logprob": _LOGPROB, "bytes": list(word.encode())} for word in words]

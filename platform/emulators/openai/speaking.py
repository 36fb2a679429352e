"""The event sequences of one spoken or written message and of one tool call, in the order of openai-realtime.md §4.4.

Each class holds one output item and emits what the wire shows of it; pace and endings are the response's business.
"""

from __future__ import annotations

from typing import Protocol

from emulators.openai.audio import OutputFormat
from emulators.openai.conversation import Item, encode_audio
from emulators.openai.planner import PlannedCall, PlannedMessage
from emulators.openai.wire import JsonObject, make_id, split_words
from emulators.sound import MULAW_BYTES_PER_MS

_TRANSCRIPT_LEAD = 0.35  # of the text, ahead of the sound (§4.2: "runs ahead of playback")
_ARGUMENT_CHARS_PER_DELTA = 12


class Channel(Protocol):
    """Where an item's events go."""

    id: str  # of the response

    def emit(self, event: JsonObject) -> None: ...
    def emit_item(self, kind: str, item: Item) -> None: ...


class OutputItem:
    """Opened by its constructor; `close` emits the rest exactly once, whatever was said until then."""

    def __init__(self, channel: Channel, body: JsonObject, *, output_index: int) -> None:
        self.item = Item({"id": make_id("item"), "object": "realtime.item", **body, "status": "in_progress"})
        self.is_closed = False
        self._channel = channel
        self._output_index = output_index
        self._emit("response.output_item.added", item=self.item.copy_body())
        channel.emit_item("added", self.item)

    @property
    def text(self) -> str:
        """What was generated so far, as it is billed."""
        return self.item.text

    def close(self, status: str) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._close_content(status)
        self.item.body["status"] = status
        self._emit("response.output_item.done", item=self.item.copy_body())
        self._channel.emit_item("done", self.item)

    def _close_content(self, status: str) -> None:
        raise NotImplementedError

    def _emit(self, type: str, **fields: object) -> None:  # noqa: A002 - the wire's own word
        place = {"response_id": self._channel.id, "output_index": self._output_index}
        self._channel.emit({"type": type, **place, **fields})


class _Message(OutputItem):
    """An assistant message with one content part."""

    def __init__(self, channel: Channel, planned: PlannedMessage, *, output_index: int, part: JsonObject) -> None:
        body: JsonObject = {"type": "message", "role": "assistant", "content": []}
        if planned.phase is not None:
            body["phase"] = planned.phase  # §4.3
        super().__init__(channel, body, output_index=output_index)
        self._words = split_words(planned.text)
        self._sent_words = 0
        self._emit_content("response.content_part.added", part=part)

    @property
    def text(self) -> str:
        return "".join(self._words[: self._sent_words])

    def _emit_content(self, type: str, **fields: object) -> None:  # noqa: A002 - the wire's own word
        self._emit(type, item_id=self.item.id, content_index=0, **fields)


class SpokenMessage(_Message):
    def __init__(
        self,
        channel: Channel,
        planned: PlannedMessage,
        *,
        output_index: int,
        audio: bytes,
        encoded: bytes,
        format: OutputFormat,  # noqa: A002 - the wire's own word
    ) -> None:
        super().__init__(channel, planned, output_index=output_index, part={"type": "audio", "transcript": ""})
        self._audio, self._encoded, self._format = audio, encoded, format
        self._sent_bytes = 0

    @property
    def is_spoken(self) -> bool:
        return self._sent_bytes == len(self._audio)

    def speak(self, chunk_ms: int) -> float:
        """Emits the next stretch of sound with its text ahead; returns how many milliseconds it plays."""
        start = self._sent_bytes
        end = self._sent_bytes = min(start + chunk_ms * MULAW_BYTES_PER_MS, len(self._audio))
        self._send_words(end / len(self._audio) + _TRANSCRIPT_LEAD)
        self._store(self._audio[:end])
        delta = encode_audio(self._format.cut(self._encoded, start, end))
        self._emit_content("response.output_audio.delta", delta=delta)
        return (end - start) / MULAW_BYTES_PER_MS

    def _store(self, audio: bytes) -> None:
        if self.item.revision:  # truncated while it was still generated: what was cut off does not come back (§4.5)
            return
        self.item.audio = audio
        self.item.body["content"] = [{"type": "output_audio", "transcript": self.text}]

    def _send_words(self, share: float) -> None:
        upto = round(min(1.0, share) * len(self._words))
        if upto > self._sent_words:
            delta = "".join(self._words[self._sent_words : upto])
            self._sent_words = upto
            self._emit_content("response.output_audio_transcript.delta", delta=delta)

    def _close_content(self, status: str) -> None:
        if status == "completed":
            self._send_words(1.0)
        self._store(self._audio[: self._sent_bytes])
        self._emit_content("response.output_audio.done")
        self._emit_content("response.output_audio_transcript.done", transcript=self.text)
        self._emit_content("response.content_part.done", part={"type": "audio", "transcript": self.text})


class WrittenMessage(_Message):
    def __init__(self, channel: Channel, planned: PlannedMessage, *, output_index: int) -> None:
        super().__init__(channel, planned, output_index=output_index, part={"type": "text", "text": ""})

    def write(self) -> None:
        for word in self._words:
            self._sent_words += 1
            self._emit_content("response.output_text.delta", delta=word)

    def _close_content(self, status: str) -> None:
        self.item.body["content"] = [{"type": "output_text", "text": self.text}]
        self._emit_content("response.output_text.done", text=self.text)
        self._emit_content("response.content_part.done", part={"type": "text", "text": self.text})


class Call(OutputItem):
    def __init__(self, channel: Channel, planned: PlannedCall, *, output_index: int) -> None:
        body = {"type": "function_call", "call_id": planned.call_id, "name": planned.name, "arguments": ""}
        super().__init__(channel, body, output_index=output_index)
        self._planned = planned

    def write(self, *, share: float = 1.0) -> None:
        """Emits the arguments, or the first part of them: then they are no valid JSON (§3.7)."""
        arguments = self._planned.arguments[: round(len(self._planned.arguments) * share)]
        for start in range(0, len(arguments), _ARGUMENT_CHARS_PER_DELTA):
            delta = arguments[start : start + _ARGUMENT_CHARS_PER_DELTA]
            self.item.body["arguments"] += delta
            self._emit_call("response.function_call_arguments.delta", delta=delta)

    def _close_content(self, status: str) -> None:
        arguments = self.item.body["arguments"]
        self._emit_call("response.function_call_arguments.done", name=self._planned.name, arguments=arguments)

    def _emit_call(self, type: str, **fields: object) -> None:  # noqa: A002 - the wire's own word
        self._emit(type, item_id=self.item.id, call_id=self._planned.call_id, **fields)

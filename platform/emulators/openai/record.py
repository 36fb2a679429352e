"""What a session received and sent, kept for assertions, with waiting for what has not come yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from emulators.openai.wire import JsonObject
from emulators.sound import MULAW_BYTES_PER_MS


@dataclass(frozen=True, slots=True)
class Truncation:
    item_id: str
    content_index: int
    audio_end_ms: int
    generated_ms: float


@dataclass(slots=True)
class SessionRecord:
    """`events` holds all but the appends, whose sound is in `audio_in`; `sent` holds deltas without their sound."""

    recorded_audio_ms: int
    headers: dict[str, str] = field(default_factory=dict)
    events: list[JsonObject] = field(default_factory=list)
    sent: list[JsonObject] = field(default_factory=list)
    audio_in: bytearray = field(default_factory=bytearray)  # μ-law, as the double understood it
    audio_out: bytearray = field(default_factory=bytearray)  # the wire's bytes, in the output format
    truncations: list[Truncation] = field(default_factory=list)
    append_count: int = 0
    audio_in_ms: float = 0.0  # of all sound, also what was too much to keep
    close_code: int | None = None
    _waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = field(default_factory=list)

    def note_received(self, event: JsonObject) -> None:
        self.events.append(event)
        self._wake()

    def note_audio(self, mulaw: bytes) -> None:
        self.append_count += 1
        self.audio_in_ms += len(mulaw) / MULAW_BYTES_PER_MS
        if len(self.audio_in) < self.recorded_audio_ms * MULAW_BYTES_PER_MS:
            self.audio_in += mulaw
        if self._waiters:
            self._wake()

    def note_sent(self, event: JsonObject, *, audio: bytes | None = None) -> None:
        if audio is not None:
            if len(self.audio_out) < self.recorded_audio_ms * MULAW_BYTES_PER_MS:
                self.audio_out += audio
            event = {**event, "delta": None, "bytes": len(audio)}
        self.sent.append(event)
        self._wake()

    def note_closed(self, code: int | None) -> None:
        self.close_code = code
        self._wake()

    def list_received(self, type: str) -> list[JsonObject]:  # noqa: A002 - the wire's own word
        return [event for event in self.events if event.get("type") == type]

    def list_sent(self, type: str) -> list[JsonObject]:  # noqa: A002 - the wire's own word
        return [event for event in self.sent if event.get("type") == type]

    async def wait_for(self, predicate: Callable[[JsonObject], bool], timeout_s: float = 5.0) -> JsonObject:
        """The first received event the predicate holds for, past or future. Raises TimeoutError."""
        await self.wait_until(lambda: any(predicate(event) for event in self.events), timeout_s)
        return next(event for event in self.events if predicate(event))

    async def wait_for_sent(self, predicate: Callable[[JsonObject], bool], timeout_s: float = 5.0) -> JsonObject:
        await self.wait_until(lambda: any(predicate(event) for event in self.sent), timeout_s)
        return next(event for event in self.sent if predicate(event))

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
        """Waits until the condition holds; it is asked again whenever something was received, sent or closed."""
        if condition():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = (condition, future)
        self._waiters.append(waiter)
        try:
            await asyncio.wait_for(future, timeout_s)
        finally:
            self._waiters.remove(waiter)

    def _wake(self) -> None:
        for condition, future in self._waiters:
            if not future.done() and condition():
                future.set_result(None)

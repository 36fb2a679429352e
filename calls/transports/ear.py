"""The caller's sound on its way to the model: spliced, made continuous, kept while nobody listens, counted; decides nothing.

Between the carrier's socket and the model's there is no queue and no parsing: one frame in, one event out. The session hears only totals.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from calls.session.events import MULAW_BYTES_PER_MS, CallerAudio, Event
from calls.transports.model_socket import ModelSocket
from calls.wire import media_streams as wire
from calls.wire.continuity import STALL_AFTER_MS, InputClock
from calls.wire.errors import WireError

EARLY_AUDIO_BYTES = 10_000 * MULAW_BYTES_PER_MS  # openai-realtime.md §7.5: buffer early caller audio, cap 5–10 s
REPORT_BYTES = 1_000 * MULAW_BYTES_PER_MS  # the session hears of caller audio about once a second
FRAME_MS = 20  # twilio.md §1.4

Hook = Callable[[str, bytes | str], None]
"""Called with the direction (`in`, `out`) and the raw frame."""


class Ear:
    """One stream's audio. `model` is the socket that listens, or None while audio has to wait."""

    def __init__(self, stream_sid: str, *, deliver: Callable[[Event], None], hooks: list[Hook]) -> None:
        self.model: ModelSocket | None = None
        self.early_dropped_ms = 0
        self._stream_sid = stream_sid
        self._deliver = deliver
        self._hooks = hooks
        self._clock = InputClock()
        self._early: deque[tuple[bytes, int]] = deque()
        self._early_bytes = 0
        self._unreported_bytes = 0
        self._replaced_dropped_frames = 0

    def hear(self, chunk: wire.Chunk) -> None:
        """Raises WireError for audio that is not this stream's."""
        if chunk.stream_sid != self._stream_sid:
            raise WireError("carrier frame: audio of another stream")
        gap_ms = self._clock.fill_before(chunk.timestamp_ms, duration_ms=chunk.size // MULAW_BYTES_PER_MS)
        if gap_ms:
            self._fill(gap_ms)
        self._pass_on(chunk.append, chunk.size)

    def fill_stall(self, quiet_ms: float) -> None:
        """Call while the caller speaks and frames may have stopped: the model must hear that they did (§7.1)."""
        if quiet_ms >= STALL_AFTER_MS and self.model is not None:
            fill_ms = self._clock.fill_stall()
            if fill_ms:
                self._fill(fill_ms)

    def connect(self, model: ModelSocket) -> None:
        """What waited goes first, in order; then sound flows."""
        for append, _ in self._early:
            model.send_audio(append)
        self._unreported_bytes += self._early_bytes
        self._early.clear()
        self._early_bytes = 0
        if self.model is not None:
            self._replaced_dropped_frames += self.model.dropped_frames
        self.model = model

    def disconnect(self) -> None:
        if self.model is not None:
            self._replaced_dropped_frames += self.model.dropped_frames
        self.model = None

    @property
    def dropped_ms(self) -> int:
        """Sound that nobody heard because a queue was full."""
        frames = self._replaced_dropped_frames + (self.model.dropped_frames if self.model is not None else 0)
        return self.early_dropped_ms + frames * FRAME_MS

    def _fill(self, ms: int) -> None:
        self._pass_on(wire.make_silence(ms), ms * MULAW_BYTES_PER_MS)

    def _pass_on(self, append: bytes, size: int) -> None:
        if self.model is None:
            self._keep(append, size)
            return
        for hook in self._hooks:
            hook("out", append)
        self.model.send_audio(append)
        self._unreported_bytes += size
        if self._unreported_bytes >= REPORT_BYTES:
            ms, self._unreported_bytes = divmod(self._unreported_bytes, MULAW_BYTES_PER_MS)
            self._deliver(CallerAudio(ms))

    def _keep(self, append: bytes, size: int) -> None:
        """Of more than the cap, the oldest is dropped and counted."""
        self._early.append((append, size))
        self._early_bytes += size
        while self._early_bytes > EARLY_AUDIO_BYTES:
            _, dropped = self._early.popleft()
            self._early_bytes -= dropped
            self.early_dropped_ms += dropped // MULAW_BYTES_PER_MS

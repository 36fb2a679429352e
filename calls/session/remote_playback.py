"""Knows what the caller has heard when the model plays its own sound (SIP): by the model's word of its buffer, and the clock between.

No audio passes through us, so a part's length is an estimate from its words until the response's bill tells the tokens that were
spoken. The server cuts and truncates by itself (openai-realtime.md §4.5); its word on how much was heard corrects ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from calls.session.events import MULAW_BYTES_PER_MS as BYTES_PER_MS
from calls.session.playback import Part, Playback

MS_PER_CHAR = 65  # about 15 characters a second, an unhurried speaker; only until the bill is here
MS_PER_TOKEN = 50  # openai-realtime.md §5.2: assistant audio, 20 tokens a second
OVERDUE_MS = 5_000.0  # after a response's estimated end: `output_audio_buffer.stopped` must be lost by then


def estimate_ms(text: str) -> int:
    """How long the words take to say."""
    return len(text) * MS_PER_CHAR


@dataclass(slots=True)
class RemotePlayback(Playback):
    """The ledger of open parts, in the sizes that the audio would have as μ-law. Emits nothing: the model is the player."""

    _started: dict[str, float] = field(default_factory=dict)  # response -> when its sound began
    _closed: dict[str, float] = field(default_factory=dict)  # response -> when its last event came
    _over: set[str] = field(default_factory=set)  # played to the end, or cut

    @property
    def idle(self) -> bool:
        return not self.parts

    def probe(self) -> None:
        """There is no carrier to measure."""

    def pump(self) -> None:
        """There is nothing to send."""

    def mark(self, name: str) -> list[Part]:
        return []

    def receive(self, *, response_id: str, item_id: str, content_index: int, size: int) -> Part | None:
        """More words of a part were generated."""
        key = (item_id, content_index)
        part = self.parts.get(key)
        if part is None:
            if key in self._gone or response_id in self._over:
                return None
            part = self.parts[key] = Part(item_id, content_index, response_id, play_at=self._started.get(response_id))
        elif part.done:
            return None
        part.received += size
        return part

    def started(self, response_id: str) -> None:
        """The caller begins to hear this response."""
        self._started.setdefault(response_id, self.ctx.now)
        for part in self._of(response_id):
            part.play_at = part.play_at if part.play_at is not None else self.ctx.now

    def stopped(self, response_id: str) -> list[Part]:
        """All of it was heard. Returns its parts, which are finished."""
        self._over.add(response_id)
        finished = self._of(response_id)
        for part in finished:
            part.done, part.heard = True, part.received
        return finished

    def cleared(self, response_id: str) -> list[Part]:
        """The server dropped the rest. Returns the parts, cut where the clock says."""
        return self._cut_short(self._of(response_id))

    def measure(self, response_id: str, *, spoken_ms: int) -> None:
        """The bill tells how long the response really is: its parts share that by their words."""
        parts = self._of(response_id)
        total = sum(part.received for part in parts)
        for part in parts:
            part.received = max(part.heard, spoken_ms * BYTES_PER_MS * part.received // total if total else 0)

    def close_part(self, item_id: str, content_index: int) -> Part | None:
        return None  # its sound is still on its way to the caller

    def close_response(self, response_id: str) -> list[Part]:
        for part in self._of(response_id):
            part.done = True
        self._closed[response_id] = self.ctx.now
        self._watch()
        return []

    def marks_overdue(self) -> list[Part]:
        """A word that never came must not hold the call up: what is long past its time was played."""
        late = [response_id for response_id, due in self._dues() if due <= self.ctx.now]
        for response_id in late:
            self.ctx.note_peer("model", "the end of the playout was not told", response_id=response_id)
        self._watch()
        return [part for response_id in late for part in self.stopped(response_id)]

    def cut(self) -> list[Part]:
        return self._cut_short(list(self.parts.values()))

    def stop(self) -> list[Part]:
        return self._cut_short(list(self.parts.values()))

    def forget(self, part: Part) -> None:
        key = (part.item_id, part.content_index)
        self.parts.pop(key, None)
        self._gone.add(key)

    def _of(self, response_id: str) -> list[Part]:
        return [part for part in self.parts.values() if part.response_id == response_id]

    def _cut_short(self, parts: list[Part]) -> list[Part]:
        for response_id in dict.fromkeys(part.response_id for part in parts):
            self._over.add(response_id)
            began = self._started.get(response_id)
            played = 0 if began is None else int((self.ctx.now - began) * BYTES_PER_MS)
            for part in (part for part in parts if part.response_id == response_id):
                part.heard = max(part.heard, min(part.received, played))
                played = max(0, played - part.received)
                part.cut = not (part.done and part.heard >= part.received)
                part.done = True
        return parts

    def _dues(self) -> list[tuple[str, float]]:
        dues = []
        for response_id in dict.fromkeys(part.response_id for part in self.parts.values()):
            closed = self._closed.get(response_id)
            if closed is not None:
                length_ms = sum(part.received for part in self._of(response_id)) / BYTES_PER_MS
                dues.append((response_id, self._started.get(response_id, closed) + length_ms + OVERDUE_MS))
        return dues

    def _watch(self) -> None:
        dues = [due for _response_id, due in self._dues()]
        if dues:
            self.ctx.set_timer("marks", at_ms=max(min(dues), self.ctx.now))
        else:
            self.ctx.cancel_timer("marks")

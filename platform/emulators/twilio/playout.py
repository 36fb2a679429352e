"""What a party hears: the queue Twilio plays in real time, accounted by arithmetic. Pure: positions in, positions out."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

SILENCE = 0xFF  # μ-law zero


@dataclass(slots=True)
class Piece:
    """One chunk of audio, from its arrival to the last sample of it that was played."""

    source: str  # "say", "play", "bridge" or the SID of the stream it came through
    audio: bytes
    arrived: int
    offset: int  # samples of the same source that were queued before it
    start: int
    cut: int | None = None

    @property
    def end(self) -> int:
        end = self.start + len(self.audio)
        return end if self.cut is None else min(end, self.cut)

    def played(self, now: int) -> int:
        return max(0, min(now, self.end) - self.start)


@dataclass(slots=True)
class Mark:
    name: str
    arrived: int
    due: int
    returned: int | None = None
    cleared: bool = False


@dataclass(frozen=True, slots=True)
class Clear:
    """The truth of the truncation bench: what had been played when this `clear` was executed."""

    at: int
    source: str
    played: int  # samples of the source played so far
    received: int  # samples of the source received so far
    pending: tuple[str, ...]
    piece: Piece | None  # the piece that was being played
    piece_played: int


@dataclass(slots=True)
class Playout:
    history: list[Piece] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    clears: list[Clear] = field(default_factory=list)
    discarded: list[tuple[int, int]] = field(default_factory=list)  # (position, samples)
    _timeline: list[Piece] = field(default_factory=list)  # started or to be played: ordered, without overlap
    _pending: list[Mark] = field(default_factory=list)
    _received: dict[str, int] = field(default_factory=dict)

    def queue_end(self, now: int) -> int:
        return max(now, self._timeline[-1].end) if self._timeline else now

    def enqueue(self, audio: bytes, *, now: int, source: str, limit: int | None = None) -> Piece | None:
        """Queues the chunk; None when it would reach further than `limit` samples ahead of real time."""
        start = self.queue_end(now)
        if limit is not None and start + len(audio) - now > limit:
            self.discarded.append((now, len(audio)))  # §1.5, 31931
            return None
        offset = self._received.get(source, 0)
        self._received[source] = offset + len(audio)
        piece = Piece(source, audio, now, offset, start)
        self.history.append(piece)
        self._timeline.append(piece)
        return piece

    def mark(self, name: str, *, now: int) -> Mark:
        """Returned when all audio queued before it has been played, at once when nothing is queued (§1.5)."""
        mark = Mark(name, now, self.queue_end(now))
        self.marks.append(mark)
        self._pending.append(mark)
        return mark

    def next_due(self) -> int | None:
        return self._pending[0].due if self._pending else None

    def take_due(self, now: int) -> list[Mark]:
        due: list[Mark] = []
        while self._pending and self._pending[0].due <= now:
            mark = self._pending.pop(0)
            mark.returned = now
            due.append(mark)
        return due

    def clear(self, *, now: int, source: str, tail: int = 0) -> list[Mark]:
        """Drops what is queued and gives back all pending marks, although their audio was never played (§1.5)."""
        cut_at = now + tail
        playing = self._timeline[-1] if self._timeline else None
        while self._timeline and self._timeline[-1].end > cut_at:
            piece = self._timeline[-1]
            piece.cut = max(piece.start, cut_at)
            playing = piece
            if piece.played(cut_at) > 0:
                break
            self._timeline.pop()
            playing = self._timeline[-1] if self._timeline else None
        if playing is not None and (playing.source != source or playing.cut is None):
            playing = None
        marks, self._pending = self._pending, []
        for mark in marks:
            mark.returned, mark.cleared = now, True
        self.clears.append(
            Clear(
                at=now,
                source=source,
                played=self.played(source, now=cut_at),
                received=self.received(source),
                pending=tuple(mark.name for mark in marks),
                piece=playing,
                piece_played=playing.played(cut_at) if playing else 0,
            )
        )
        return marks

    def forget_marks(self) -> None:
        """The stream is over: nobody is left to hear of them."""
        self._pending.clear()

    def stop(self, *, now: int) -> None:
        """Cuts what is being played without a word to anyone (a verb was interrupted, a stream ended)."""
        while self._timeline and self._timeline[-1].end > now:
            piece = self._timeline[-1]
            piece.cut = max(piece.start, now)
            if piece.played(now) > 0:
                break
            self._timeline.pop()

    def played(self, source: str, *, now: int) -> int:
        return sum(piece.played(now) for piece in self.history if piece.source == source)

    def played_between(self, source: str, first: int, last: int, *, now: int) -> int:
        """How much of that stretch of a stream (by offsets in what was received) had been played at `now`."""
        return sum(
            max(0, min(last, piece.offset + piece.played(now)) - max(first, piece.offset))
            for piece in self.history
            if piece.source == source and piece.offset < last
        )

    def received(self, source: str) -> int:
        return self._received.get(source, 0)

    def read(self, start: int, end: int) -> bytes | None:
        """What was heard from `start` to `end` (both past), None when it was silence all along."""
        index = bisect_right(self._timeline, start, key=_start_of) - 1
        if index < 0 or self._timeline[index].end <= start:
            index += 1
        heard = bytearray()
        while index < len(self._timeline):
            piece = self._timeline[index]
            if piece.start >= end:
                break
            begin, stop = max(start, piece.start), min(end, piece.end)
            if stop > begin:
                heard += bytes([SILENCE]) * (begin - start - len(heard))
                heard += piece.audio[begin - piece.start : stop - piece.start]
            index += 1
        if not heard:
            return None
        heard += bytes([SILENCE]) * (end - start - len(heard))
        return bytes(heard)

    def heard(self, *, now: int) -> list[tuple[int, bytes]]:
        """Every stretch that was really played: (position of its first sample, its bytes)."""
        return [(piece.start, piece.audio[: piece.played(now)]) for piece in self._timeline if piece.played(now) > 0]


def _start_of(piece: Piece) -> int:
    return piece.start

"""Knows what the caller has heard: queues parts of audio, paces them in marked pieces, and turns marks and the clock between them
into heard time per (item, content part). It never decides what to say or whether to cut.

The carrier plays what we send in order at real rate. A mark comes back one way after its audio was played; a `clear` takes effect one
way after it was sent (twilio.md §1.5). With `eta` = the moment a mark is due back here, both delays meet in the round trip:
audio that is being played when a clear sent now takes effect is the audio whose marks would be due at now + round trip.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from calls.session import commands as do
from calls.session.context import Context
from calls.session.events import MULAW_BYTES_PER_MS as BYTES_PER_MS

LOW_WATER_MS = 200  # below this much audio at the carrier, less than a full piece is worth a message
ROUND_TRIPS = 8  # samples kept; jitter only ever adds, so the least of the recent ones is the line's own
EPSILON_MS = 0.01  # a timer that comes due on the dot must find its piece due
SLACK_MS = 4.0  # of the lead: lets the mark that comes at the same moment do the work of the timer
MARK_GRACE_MS = 2_000.0  # far above any network delay with which a conversation is possible
LATE_WEIGHT = 0.5  # a mark that is later than predicted is half lateness of ours, half of the carrier's clock


@dataclass(slots=True, eq=False)
class Part:
    """One content part of one item on its way to the caller's ear; sizes in bytes."""

    item_id: str
    content_index: int
    response_id: str
    local: bool = False
    received: int = 0
    sent: int = 0
    heard: int = 0
    done: bool = False  # no more audio will come
    cut: bool = False
    play_at: float | None = None  # when its first sound reached the carrier's line, by estimate

    @property
    def heard_ms(self) -> int:
        return self.heard // BYTES_PER_MS

    @property
    def received_ms(self) -> int:
        return self.received // BYTES_PER_MS


@dataclass(slots=True, eq=False)
class Piece:
    """A stretch of a part that was sent; its mark has not come back."""

    sequence: int
    part: Part
    start: int
    end: int
    sent_at: float
    alone: bool  # sent while nothing was at the carrier

    @property
    def ms(self) -> float:
        return (self.end - self.start) / BYTES_PER_MS


@dataclass(slots=True)
class Playback:
    """The ledger of open parts. Invariant for each at all times: heard ≤ sent ≤ received.

    A part that a method returns as finished must be given to `forget` by the caller.
    """

    ctx: Context
    parts: dict[tuple[str, int], Part] = field(default_factory=dict)
    _queue: deque[Part] = field(default_factory=deque)  # parts with audio to send, or still growing
    _flight: deque[Piece] = field(default_factory=deque)
    _probes: dict[int, float] = field(default_factory=dict)  # mark sequence -> sent at, on an empty queue
    _samples: deque[float] = field(default_factory=lambda: deque(maxlen=ROUND_TRIPS))
    _gone: set[tuple[str, int]] = field(default_factory=set)
    _epoch: int = 1
    _sequence: int = 0
    _anchor: float = float("-inf")  # eta of the newest mark that came back, in this epoch
    _eta: float = float("-inf")  # eta of the last byte sent
    _prefix: str = ""
    round_trip_ms: float = 0.0

    def __post_init__(self) -> None:
        self._name_epoch()

    @property
    def idle(self) -> bool:
        """Nothing waits here and nothing unheard is at the carrier."""
        return not self._flight and not any(part.received > part.sent for part in self._queue)

    @property
    def interruptible(self) -> bool:
        """Some of the model's speech is open: not heard to its end, or still growing. Tones do not count."""
        return any(not part.local for part in self.parts.values())

    def probe(self) -> None:
        """Measures the round trip with a bare mark; only an empty carrier queue answers at once."""
        if not self._flight:
            self._sequence += 1
            self._probes[self._sequence] = self.ctx.now
            self.ctx.emit(do.SendMark(mark=f"{self._prefix}{self._sequence}"))

    def receive(self, *, response_id: str, item_id: str, content_index: int, size: int) -> Part | None:
        """More audio of a part is in the store. Returns the part, or None when it no longer takes any."""
        key = (item_id, content_index)
        part = self.parts.get(key)
        if part is None:
            if key in self._gone:
                return None
            part = self.parts[key] = Part(item_id, content_index, response_id)
            self._queue.append(part)
        elif part.done:
            return None
        part.received += size
        self.pump()
        return part

    def receive_local(self, *, item_id: str, size: int) -> Part:
        """Audio of our own, complete: it is played in turn and never spoken of to the model."""
        part = self.parts[item_id, 0] = Part(item_id, 0, "", local=True, received=size, done=True)
        self._queue.append(part)
        self.pump()
        return part

    def close_part(self, item_id: str, content_index: int) -> Part | None:
        """No more audio will come. Returns the part when that makes it finished."""
        part = self.parts.get((item_id, content_index))
        if part is None or part.done:
            return None
        part.done = True
        self.pump()
        return self._finish(part)

    def close_response(self, response_id: str) -> list[Part]:
        """The response is over, so all its parts are; returns those that are finished by it."""
        mine = [p for p in self.parts.values() if p.response_id == response_id and not p.done]
        return [p for p in mine if self.close_part(p.item_id, p.content_index)]

    def pump(self) -> None:
        """Sends what may go now and sets the timer for what must wait: at most `lead_ms` at the carrier."""
        ctx, limits = self.ctx, self.ctx.limits
        full = limits.piece_ms * BYTES_PER_MS
        while self._queue:
            part = self._queue[0]
            waiting = part.received - part.sent
            if not waiting:
                if not part.done:
                    break
                self._queue.popleft()
                continue
            size = min(waiting, full)
            depth = self._eta - self.round_trip_ms - ctx.now  # audio at the carrier when this piece gets there
            allowed = limits.lead_ms - size / BYTES_PER_MS
            if size < full and not part.done:
                allowed = min(allowed, LOW_WATER_MS)
            over = depth - max(allowed, 0.0)
            if over > EPSILON_MS:
                self._pump_at(ctx.now + over)
                return
            self._send(part, size)
        ctx.cancel_timer("pump")
        if self._flight and "marks" not in ctx.timers:
            ctx.set_timer("marks", at_ms=self._eta + MARK_GRACE_MS)

    def _pump_at(self, due: float) -> None:
        """Sets the timer, unless the one that stands will do: estimates move a little with every mark."""
        standing = self.ctx.timers.get("pump")
        if standing is None or not due <= standing <= due + 2 * SLACK_MS:
            self.ctx.set_timer("pump", at_ms=due + SLACK_MS)

    def marks_overdue(self) -> list[Part]:
        """A carrier that forgets its marks must not hold the call up: what is long past its time was played."""
        if not self._flight:
            return []
        if self.ctx.now < self._eta + MARK_GRACE_MS - EPSILON_MS:
            self.ctx.set_timer("marks", at_ms=self._eta + MARK_GRACE_MS)
            return []
        self.ctx.note_peer("carrier", "marks did not come back", pending=len(self._flight))
        return self.mark(f"{self._prefix}{self._flight[-1].sequence}")

    def mark(self, name: str) -> list[Part]:
        """A mark came back. Returns the parts that are now heard to their end; marks from before a cut say nothing."""
        if not name.startswith(self._prefix):
            return []
        try:
            sequence = int(name[len(self._prefix) :])
        except ValueError:
            return []
        sent_at = self._probes.pop(sequence, None)
        if sent_at is not None:
            self._learn(self.ctx.now - sent_at)
            return []
        if not self._flight or not self._flight[0].sequence <= sequence <= self._flight[-1].sequence:
            return []
        first = self._flight[0]
        if first.alone and first.sequence == sequence and (sample := self.ctx.now - first.sent_at - first.ms) >= 0:
            self._learn(sample)  # for carriers that answer no bare mark
        finished = []
        while self._flight and self._flight[0].sequence <= sequence:
            piece = self._flight.popleft()
            self._anchor = max(self._anchor, piece.sent_at + self.round_trip_ms) + piece.ms
            piece.part.heard = max(piece.part.heard, piece.end)
            if part := self._finish(piece.part):
                finished.append(part)
        late = self.ctx.now - self._anchor
        self._anchor = self.ctx.now if late < 0 else self._anchor + late * LATE_WEIGHT
        self._eta = self._anchor
        for piece in self._flight:
            self._eta = max(self._eta, piece.sent_at + self.round_trip_ms) + piece.ms
        self.pump()
        return finished

    def cut(self) -> list[Part]:
        """Clears the carrier; returns the parts that were open, in order, with `heard` as it will have been. Those heard to their
        end by then are not marked as cut."""
        ctx = self.ctx
        ctx.emit(do.ClearPlayback())
        self._settle_heard(ctx.now + self.round_trip_ms)
        self._epoch += 1
        self._name_epoch()
        self._flight.clear()
        self._probes.clear()
        self._anchor = self._eta = float("-inf")
        self._queue.clear()
        ctx.cancel_timer("pump")
        cut = []
        for part in self.parts.values():
            if part.local:  # tones go to a machine that may well talk meanwhile: the rest is played again
                part.sent = part.heard
                self._queue.append(part)
                continue
            part.cut = not (part.done and part.heard >= part.received)
            part.done = True
            cut.append(part)
        self.pump()
        return cut

    def stop(self) -> list[Part]:
        """The line is gone: what was heard until now is all that will ever be. Returns the parts that were not finished."""
        self._settle_heard(self.ctx.now)
        self._flight.clear()
        self._queue.clear()
        self.ctx.cancel_timer("pump")
        for part in self.parts.values():
            part.cut = not (part.done and part.heard >= part.received)
            part.done = True
        return list(self.parts.values())

    def forget(self, part: Part) -> None:
        """Lets the driver free the part's audio and this ledger its entry."""
        key = (part.item_id, part.content_index)
        self.parts.pop(key, None)
        self._gone.add(key)
        self.ctx.emit(do.DropAudio(item_id=part.item_id, content_index=part.content_index))

    def _send(self, part: Part, size: int) -> None:
        ctx = self.ctx
        alone = not self._flight
        if alone and self._eta < ctx.now:
            self.probe()
        self._sequence += 1
        start = max(self._eta, ctx.now + self.round_trip_ms)
        if part.play_at is None:
            part.play_at = start - self.round_trip_ms / 2
        piece = Piece(self._sequence, part, part.sent, part.sent + size, ctx.now, alone)
        self._flight.append(piece)
        part.sent = piece.end
        self._eta = start + piece.ms
        ctx.emit(
            do.Play(
                item_id=part.item_id,
                content_index=part.content_index,
                start=piece.start,
                end=piece.end,
                mark=f"{self._prefix}{piece.sequence}",
            )
        )

    def _settle_heard(self, due: float) -> None:
        """Raises `heard` to what was played by the time whose marks are due back at `due`."""
        eta = self._anchor
        budget = float("inf")
        for piece in self._flight:
            if budget == float("inf"):
                # The first open mark has not come back by now, so past its end lies at most one round trip.
                budget = piece.ms + self.round_trip_ms
            start = max(eta, piece.sent_at + self.round_trip_ms)
            played = min(due - start, piece.ms, budget)
            if played <= 0:
                return
            piece.part.heard = max(piece.part.heard, piece.start + int(played * BYTES_PER_MS))
            budget -= played
            eta = start + piece.ms

    def _learn(self, sample: float) -> None:
        self._samples.append(sample)
        self.round_trip_ms = min(self._samples)

    def _finish(self, part: Part) -> Part | None:
        return part if part.done and part.heard >= part.received else None

    def _name_epoch(self) -> None:
        self._prefix = f"g{self.ctx.plan.generation}.{self._epoch}:"

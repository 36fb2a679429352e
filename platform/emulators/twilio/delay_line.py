"""A one-way network of constant delay between the double and a media socket. It reads no message."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from emulators.twilio.clock import SAMPLES_PER_MS, Clock

T = TypeVar("T")


class DelayLine(Generic[T]):
    """A one-way network of constant delay: what goes in comes out in order, later. At zero it is not there."""

    def __init__(self, clock: Clock, *, delay_ms: float, sink: Callable[[T], None]) -> None:
        self._clock = clock
        self._delay = delay_ms * SAMPLES_PER_MS
        self._sink = sink
        self._waiting: deque[tuple[float, T]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._last_due = 0.0

    def push(self, item: T, *, extra_ms: float = 0.0) -> None:
        if not self._delay and not extra_ms and not self._waiting:
            self._sink(item)
            return
        due = self._clock.seconds() * 1000 * SAMPLES_PER_MS + self._delay + extra_ms * SAMPLES_PER_MS
        self._last_due = max(due, self._last_due)
        self._waiting.append((self._last_due, item))
        if self._timer is None:
            self._timer = self._clock.call_at(self._last_due, self._deliver)

    def stop(self) -> None:
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _deliver(self) -> None:
        self._timer = None
        now = self._clock.seconds() * 1000 * SAMPLES_PER_MS + 0.5
        first = True
        while self._waiting and (first or self._waiting[0][0] <= now):
            first = False
            self._sink(self._waiting.popleft()[1])
        if self._waiting and self._timer is None:
            self._timer = self._clock.call_at(self._waiting[0][0], self._deliver)

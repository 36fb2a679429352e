"""Call time (which may run faster than the wall's) and the one 20 ms ticker that drives every leg. It knows no call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

SAMPLE_RATE_HZ = 8000
SAMPLES_PER_MS = 8
FRAME_SAMPLES = 160  # 20 ms, twilio.md §1.4

logger = logging.getLogger(__name__)


class Clock:
    """Counts samples at 8 kHz since the double started; must be made inside a running loop."""

    def __init__(self, *, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError("the speed factor must be positive")
        self.speed = speed
        self._loop = asyncio.get_running_loop()
        self._zero = self._loop.time()
        self._utc_zero = datetime.now(UTC)

    def seconds(self) -> float:
        return (self._loop.time() - self._zero) * self.speed

    def samples(self) -> int:
        return int(self.seconds() * SAMPLE_RATE_HZ)

    def utc(self) -> datetime:
        return self._utc_zero + timedelta(seconds=self.seconds())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds) / self.speed)

    async def sleep_until(self, sample: int) -> None:
        left = sample - self.samples()
        if left > 0:
            await asyncio.sleep(left / SAMPLE_RATE_HZ / self.speed)

    def call_at(self, sample: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_at(self._zero + sample / SAMPLE_RATE_HZ / self.speed, callback)

    def call_after(self, seconds: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_later(seconds / self.speed, callback)


class Ticking(Protocol):
    def tick(self, position: int) -> None:
        """Called once for every frame; `position` is the sample count at its end."""

    def fail(self, error: Exception) -> None:
        """The tick raised; the leg has been taken off the ticker."""


class Ticker:
    """One timer for all legs: sixty calls cost one wake-up per 20 ms, and a late wake-up is caught up frame by frame."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._legs: dict[Ticking, None] = {}
        self._frame = 0
        self._timer: asyncio.TimerHandle | None = None
        self.latest_ms = 0.0  # how late the worst wake-up was, for the bench

    def add(self, leg: Ticking) -> None:
        self._legs[leg] = None
        if self._timer is None:
            self._frame = self._clock.samples() // FRAME_SAMPLES
            self._arm()

    def remove(self, leg: Ticking) -> None:
        self._legs.pop(leg, None)

    def stop(self) -> None:
        self._legs.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self._timer = self._clock.call_at((self._frame + 1) * FRAME_SAMPLES, self._wake)

    def _wake(self) -> None:
        # Timers may fire a hair early (clock resolution): at least the frame this timer was set for is due.
        now = max(self._clock.samples(), (self._frame + 1) * FRAME_SAMPLES)
        self.latest_ms = max(self.latest_ms, (now - (self._frame + 1) * FRAME_SAMPLES) / SAMPLES_PER_MS)
        while self._frame < now // FRAME_SAMPLES:
            self._frame += 1
            position = self._frame * FRAME_SAMPLES
            for leg in tuple(self._legs):
                try:
                    leg.tick(position)
                except Exception as error:
                    logger.exception("a leg failed in its tick")
                    self._legs.pop(leg, None)
                    leg.fail(error)
        if self._legs:
            self._arm()
        else:
            self._timer = None

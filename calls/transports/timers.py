"""The session's named timers on the loop's clock: set, set again, cancelled, fired once; knows nothing of their meaning."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from calls.session.events import TimerFired

Deliver = Callable[..., None]


class Timers:
    """`began` is the call's zero on the loop's clock."""

    def __init__(self, began: float, *, deliver: Deliver) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = began
        self._deliver = deliver
        self._handles: dict[str, asyncio.TimerHandle] = {}

    def set(self, name: str, at_ms: float) -> None:
        """Fire at that time of the call; a timer of the same name is replaced."""
        self.cancel(name)
        self._handles[name] = self._loop.call_at(self._began + at_ms / 1000, self._fire, name, at_ms)

    def cancel(self, name: str) -> None:
        handle = self._handles.pop(name, None)
        if handle is not None:
            handle.cancel()

    def close(self) -> None:
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def _fire(self, name: str, at_ms: float) -> None:
        del self._handles[name]
        self._deliver(TimerFired(name), not_before_ms=at_ms)  # uvloop rounds to whole milliseconds, down too

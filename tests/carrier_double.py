"""The carrier's double on a loop of its own, for tests that are not asynchronous themselves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from emulators.callers import Caller
from emulators.twilio.call import Call
from emulators.twilio.config import DoubleConfig
from emulators.twilio.double import TwilioDouble

T = TypeVar("T")
LIMIT_S = 20.0  # wall clock; the doubles run faster than it


class DoubleThread:
    """A running double; `do` runs a coroutine on its loop."""

    def __init__(self, config: DoubleConfig) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="carrier double", daemon=True)
        self._thread.start()
        self.double = self.do(self._make(config))

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT_S)

    def ring(self, *, to: str, caller: Caller) -> Call:
        """Somebody rings; returns when the call is over and everything about it was reported."""

        async def ring() -> Call:
            call = await self.double.ring(to=to, caller=caller)
            await call.ended()
            await self.double.settled()
            return call

        return self.do(ring())

    def stop(self) -> None:
        self.do(self.double.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT_S)
        self._loop.close()

    async def _make(self, config: DoubleConfig) -> TwilioDouble:
        return await TwilioDouble(config).__aenter__()


@contextmanager
def running_double(**switches: Any) -> Iterator[DoubleThread]:
    thread = DoubleThread(DoubleConfig(**{"speed": 20.0, **switches}))
    try:
        yield thread
    finally:
        thread.stop()

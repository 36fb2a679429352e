"""The double in a thread of its own, for tests and tools that are not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from emulators.openai.config import DoubleConfig
from emulators.openai.double import OpenAIDouble
from emulators.openai.script import Script

T = TypeVar("T")
_START_S = 10.0  # generous: the server is up in milliseconds on an idle machine


class ThreadedDouble:
    """`base_url` and `api_base_url` may be read anywhere; everything else goes through `call` or `wait`."""

    def __init__(self, double: OpenAIDouble, loop: asyncio.AbstractEventLoop) -> None:
        self._double, self._loop = double, loop
        self.base_url, self.api_base_url = double.base_url, double.api_base_url

    def call(self, use: Callable[[OpenAIDouble], T], *, timeout_s: float = 10.0) -> T:
        """Runs the function with the double on its own loop and returns what it returns."""

        async def run() -> T:
            return use(self._double)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout_s)

    def wait(self, use: Callable[[OpenAIDouble], Awaitable[T]], *, timeout_s: float = 10.0) -> T:
        """Like `call` for something that has to be awaited, for example `wait_for_session`."""

        async def run() -> T:
            return await use(self._double)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout_s)


@contextmanager
def run_double(config: DoubleConfig | None = None, *, script: Script | None = None) -> Iterator[ThreadedDouble]:
    started: Future[ThreadedDouble] = Future()

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        async with OpenAIDouble(config, script=script) as double:
            stop = asyncio.Event()
            stops.append(lambda: loop.call_soon_threadsafe(stop.set))
            started.set_result(ThreadedDouble(double, loop))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)  # a server that cannot start is its starter's failure

    stops: list[Callable[[], object]] = []
    thread = threading.Thread(target=run, name="openai-double", daemon=True)
    thread.start()
    try:
        yield started.result(_START_S)
    finally:
        for stop in stops:
            stop()
        thread.join(_START_S)

"""`manage.py run_media`: the ASGI application under uvicorn and uvloop, stopping only when no call is left; serves nothing of its own.

Stock servers cut every socket at SIGTERM. This one first goes not-ready, moves its live calls, and exits when empty or at the deadline
(product 7.3, decision 6).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator
from typing import Any

import structlog
import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from config.media_protocol import MediaSocketProtocol

log = structlog.get_logger(__name__)

MAX_MESSAGE_BYTES = 64 * 1024  # twilio.md §12: "limit inbound WebSocket message size (64 KiB used upstream)"
LAST_REQUESTS_S = 5  # open HTTP requests get this long once no call is left
BACKLOG = 2048
SWITCH_S = 0.0005  # threads that write records give the loop its turn ten times sooner than Python's 5 ms


class Command(BaseCommand):
    help = "Serve the carrier's webhooks and media sockets."
    requires_system_checks: list[str] = []  # it must start in seconds after a crash; `manage.py check` is the gate's

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8001)

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        sys.setswitchinterval(SWITCH_S)
        MediaServer(make_config(host=host, port=port)).run()


def make_config(*, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        "config.asgi:application",
        host=host,
        port=port,
        loop="uvloop",
        ws=MediaSocketProtocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # μ-law does not compress; the CPU is for calls
        ws_ping_interval=None,  # 50 frames a second keep a stream busy, and the bridge notices a dead one
        lifespan="off",
        access_log=False,
        log_config=None,  # ours
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=LAST_REQUESTS_S,
    )


class MediaServer(uvicorn.Server):
    """uvicorn with our own idea of stopping."""

    async def _serve(self, sockets: Any = None) -> None:
        from calls.transports.house import close_house, current_house
        from calls.transports.process import current_process

        loop = asyncio.get_running_loop()
        process = current_process()
        process.start(kind="media")
        await current_house().warm_up()
        self._drainer: asyncio.Task[None] | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ask_to_stop)
        log.info("media_process_started", process=process.name, host=self.config.host, port=self.config.port)
        try:
            await super()._serve(sockets)
        finally:
            await close_house()
            await process.stop()
            log.info("media_process_stopped", process=process.name)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own handlers would close every socket at once."""
        yield

    def _ask_to_stop(self) -> None:
        if self._drainer is not None:  # asked twice: somebody is in a hurry
            self.should_exit = self.force_exit = True
            return
        self._drainer = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        """Stop listening first: new calls go elsewhere, and a successor may take the port at once. Open streams go on."""
        from calls.transports.process import current_process

        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            if not isinstance(connection, WebSocketsSansIOProtocol):
                connection.shutdown()  # an idle keep-alive connection closes, a busy one after its answer
        await current_process().drain(timeout_s=settings.MEDIA_DRAIN_SECONDS)
        self.should_exit = True

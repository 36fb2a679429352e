"""This process as a holder of live calls: its name, its heartbeat, its calls, and how it stops; knows no wire.

The heartbeat is one row a second by the database's clock, plus an advisory lock of its own session, which drops when the process dies
(decision 5). Both live in a thread with its own connection: a stalled loop must not look alive for ever, nor a busy one dead.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models.functions import Now

from calls.models import Process
from calls.session.events import MoveRequested
from calls.transports.ledger_hook import price_batch
from calls.transports.live import LivePublisher
from calls.transports.prepared import PreparedModels
from calls.transports.prepared import prepared_models as the_prepared_models
from calls.transports.writer import Writer
from tenants.ids import new_id

if TYPE_CHECKING:
    from calls.transports.bridge import Bridge

log = structlog.get_logger(__name__)

HEARTBEAT_S = 1.0  # decision 5
LOOP_ALIVE_S = 5.0  # a loop that did not turn for this long is not alive, whatever this thread says
ANY_PROCESS = "any"  # stands in a stream's path when no process is preferred


class MediaProcess:
    """One a process. `start` on the loop that serves streams; `drain` and `stop` when asked to go."""

    def __init__(self, prepared_models: PreparedModels = the_prepared_models) -> None:
        self.id: UUID = new_id()
        self.name = secrets.token_hex(4)
        self.prepared_models = prepared_models
        self.writer = Writer(settings.DATA_DIR / "spool", self.name, on_batch=(price_batch,))
        self.live = LivePublisher()
        self.draining = False
        self._bridges: dict[UUID, Bridge] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._empty = asyncio.Event()
        self._stopping = threading.Event()
        self._registered = threading.Event()
        self._thread: threading.Thread | None = None
        self._turned_at = 0.0
        self._ticker: asyncio.TimerHandle | None = None

    @property
    def is_ready(self) -> bool:
        """Whether new calls may come here."""
        return self._loop is not None and not self.draining

    @property
    def stream_name(self) -> str:
        """What stands in the path of a stream that this process asks for."""
        return self.name if self.is_ready else ANY_PROCESS

    @property
    def live_calls(self) -> int:
        return len(self._bridges)

    def start(self, *, kind: str = "media") -> None:
        """Idempotent on one loop."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        self.prepared_models.bind()
        self.writer.start()
        self.live.start()
        self._empty.set()
        self._tick()
        self._thread = threading.Thread(target=self._beat, args=(kind,), name="heartbeat", daemon=True)
        self._thread.start()

    async def wait_registered(self, timeout_s: float) -> bool:
        """Whether the process has its row, so that leases can name it."""
        if self._registered.is_set():
            return True
        return await asyncio.to_thread(self._registered.wait, timeout_s)

    def hold(self, bridge: Bridge) -> None:
        self._bridges[bridge.call.call_id] = bridge
        self._empty.clear()
        if self.draining:  # it was admitted a moment before
            bridge.deliver(MoveRequested())

    def release(self, bridge: Bridge) -> None:
        if self._bridges.get(bridge.call.call_id) is bridge:
            del self._bridges[bridge.call.call_id]
        if not self._bridges:
            self._empty.set()

    def find(self, call_id: UUID) -> Bridge | None:
        return self._bridges.get(call_id)

    async def drain(self, *, timeout_s: float) -> bool:
        """No new calls; live ones move at their next silence (product 7.3). True when all are gone in time."""
        self.draining = True
        log.info("draining", live_calls=len(self._bridges))
        for bridge in list(self._bridges.values()):
            bridge.deliver(MoveRequested())
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            log.error("drain_deadline", live_calls=len(self._bridges))
            return False
        return True

    async def stop(self) -> None:
        """After the last call: everything on record, the row says goodbye."""
        self.draining = True
        if self._ticker is not None:
            self._ticker.cancel()
        await self.prepared_models.close()
        await self.live.stop()
        await asyncio.to_thread(self.writer.stop)
        self._stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, HEARTBEAT_S * 5)
        self._loop = None

    def call_soon(self, work: Callable[[], None]) -> None:
        """Run on the streams' loop, from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(work)

    def _tick(self) -> None:
        assert self._loop is not None  # noqa: S101 # started
        self._turned_at = self._loop.time()
        self._ticker = self._loop.call_later(HEARTBEAT_S / 2, self._tick)

    # --- the heartbeat's thread -----------------------------------------------------------------------------------

    def _beat(self, kind: str) -> None:
        loop, locked = self._loop, False
        assert loop is not None  # noqa: S101 # started
        while not self._stopping.wait(HEARTBEAT_S if self._registered.is_set() else 0.05):
            if loop.time() - self._turned_at > LOOP_ALIVE_S:
                log.error("event_loop_stalled")
                continue
            try:
                if not locked:
                    Process.objects.get_or_create(id=self.id, defaults={"name": self.name, "kind": kind})
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT pg_try_advisory_lock(%s)", [lock_key(self.id)])
                    locked = True
                    self._registered.set()
                Process.objects.filter(id=self.id).update(
                    heartbeat_at=Now(), **({"stopping_at": Now()} if self.draining else {})
                )
            except DatabaseError as error:
                log.warning("heartbeat_missed", detail=str(error)[:200])
                connection.close()
                locked = False
                self._stopping.wait(HEARTBEAT_S / 2)
        try:
            Process.objects.filter(id=self.id).update(stopped_at=Now())
        except DatabaseError:
            log.warning("goodbye_not_written")
        connection.close()


def lock_key(process_id: UUID) -> int:
    """The advisory lock of a process: a signed 64-bit number, as PostgreSQL wants it."""
    return int.from_bytes(process_id.bytes[-8:], "big", signed=True)


_current: MediaProcess | None = None


def current_process() -> MediaProcess:
    """The process's own, made at first use; a stopped one is replaced (tests start several in turn)."""
    global _current
    if _current is None or _current._stopping.is_set():
        _current = MediaProcess()
    return _current

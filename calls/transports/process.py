"""This process as a holder of live calls: its name, its heartbeat, its calls, and how it stops; knows no wire.

The heartbeat is one row a second by the database's clock, plus an advisory lock of its own session, which drops when the process dies
(decision 5). Both live in a thread with its own connection: a stalled loop must not look alive for ever, nor a busy one dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models.functions import Now

from agents.spec import AgentSpec
from calls.models import Process
from calls.services import leases, processes
from calls.session.events import MoveRequested
from calls.transports.ledger_hook import price_batch
from calls.transports.live import LivePublisher
from calls.transports.prepared import PreparedModels
from calls.transports.prepared import prepared_models as the_prepared_models
from calls.transports.totals_hook import refresh_totals
from calls.transports.writer import Writer
from tenants.ids import new_id

if TYPE_CHECKING:
    from calls.transports.driver import CallDriver

log = structlog.get_logger(__name__)

HEARTBEAT_S = 1.0  # decision 5
LOOP_ALIVE_S = 5.0  # a loop that did not turn for this long is not alive, whatever this thread says
ALONE_S = 25.0  # before the deadline a lonely process moves its calls anyway: a session's own bound for that is 20 s (plan.Limits)


class MediaProcess:
    """One a process. `start` on the loop that serves streams; `drain` and `stop` when asked to go."""

    def __init__(self, prepared_models: PreparedModels = the_prepared_models) -> None:
        self.name = processes.current_name()
        self.kind = ""
        self.prepared_models = prepared_models
        self.writer = Writer(settings.DATA_DIR / "spool", self.name, on_batch=(price_batch, refresh_totals))
        self.live = LivePublisher()
        self.draining = False
        self.id = new_id()
        self._has_successor = False
        self._bridges: dict[UUID, CallDriver] = {}
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
    def live_calls(self) -> int:
        return len(self._bridges)

    def start(self, *, kind: str = "media") -> None:
        """Idempotent on one loop."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        self.kind = kind
        self.prepared_models.bind()
        processes.adopt(self.id, self.name, is_stopping=lambda: self.draining)
        processes.on_call_opened(self._prepare)
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

    def _prepare(self, call_ref: str, agent: AgentSpec, caller: str) -> None:
        """Called by the webhook's thread while the carrier still reads our document (product 5.1.1)."""
        self.prepared_models.prepare(call_ref, agent, end_user=caller)

    def hold(self, bridge: CallDriver) -> None:
        self._bridges[bridge.call.call_id] = bridge
        self._empty.clear()

    def release(self, bridge: CallDriver) -> None:
        if self._bridges.get(bridge.call.call_id) is bridge:
            del self._bridges[bridge.call.call_id]
        if not self._bridges:
            self._empty.set()

    def find(self, call_id: UUID) -> CallDriver | None:
        return self._bridges.get(call_id)

    async def drain(self, *, timeout_s: float) -> bool:
        """No new calls; live ones move at their next silence once another process is there to take them (product 7.3).

        A process that is alone lets its calls go on and waits for a successor, until the deadline is near. True when all are gone.
        """
        self.draining = True
        processes.on_call_opened(None)
        log.info("draining", live_calls=len(self._bridges))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        moved = False
        while self._bridges and loop.time() < deadline:
            if not moved and (self._has_successor or loop.time() > deadline - ALONE_S):
                moved = True
                for bridge in list(self._bridges.values()):
                    bridge.deliver(MoveRequested())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(HEARTBEAT_S / 2, max(deadline - loop.time(), 0.01))):
                    await self._empty.wait()
        if self._bridges:
            log.error("drain_deadline", live_calls=len(self._bridges))
        return not self._bridges

    async def stop(self) -> None:
        """After the last call: everything on record, the row says goodbye."""
        self.draining = True
        if self._ticker is not None:
            self._ticker.cancel()
        processes.on_call_opened(None)
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
                if not locked or not processes.heartbeat(self.id):
                    row = Process(id=self.id, name=self.name, kind=kind)
                    Process.objects.bulk_create([row], ignore_conflicts=True)
                    locked = leases.hold_process_lock(self.id)
                    self._registered.set()
                if self.draining:
                    processes.mark_stopping(self.id)
                    self._has_successor = _find_others(self.id, kind)
            except DatabaseError as error:
                log.warning("heartbeat_missed", detail=str(error)[:200])
                connection.close()
                locked = False
        try:
            processes.mark_stopped(self.id)
        except DatabaseError:
            log.warning("goodbye_not_written")
        connection.close()


def _find_others(process_id: UUID, kind: str) -> bool:
    """Whether a call that leaves here finds another process: one whose heart beats and that is not stopping itself."""
    fresh = Now() - timedelta(seconds=leases.DEAD_AFTER_S)
    kinds = (
        ["sidebands"] if kind == "sidebands" else ["media", "web"]
    )  # a stream and a control socket need different takers
    others = Process.objects.filter(heartbeat_at__gt=fresh, stopping_at=None, stopped_at=None, kind__in=kinds).exclude(
        pk=process_id
    )
    return others.exists()


_current: MediaProcess | None = None


def current_process() -> MediaProcess:
    """The process's own, made at first use; a stopped one is replaced (tests start several in turn)."""
    global _current
    if _current is None or _current._stopping.is_set():
        _current = MediaProcess()
    return _current

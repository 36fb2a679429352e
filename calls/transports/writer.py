"""Gets the calls' facts onto disk and into PostgreSQL without ever making a call wait; one writer a process, two threads of its own.

A fact goes to the journal within milliseconds and into the database within 250 ms. While the database is away the journal grows; when it
is back, everything is written in order, once. A process that died leaves its journal, which the next one to start writes out.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from django.db import connection

from calls.session.commands import Command
from calls.transports.ports import LiveCall
from calls.transports.records import Fact, encode_fact, make_fact
from calls.transports.spool import Spool
from calls.transports.store import BATCH_FACTS, OnBatch, Store
from tenants.ids import new_id

log = structlog.get_logger(__name__)

BATCH_S = 0.25  # product 5.4.2: flushed at least every 250 ms
JOURNAL_S = 0.02  # lines are gathered this long: 50 writes a second at most, and as much is lost to a killed process
ADOPT_S = 0.5  # decision 5's polling interval: a dead neighbour's journal is looked for this often
RETRY_S = 0.5  # between attempts while the database is away
COMMIT_WAIT_S = 0.25  # product 5.4.2: then the journal's word must do
SYNC_WAIT_S = 2.0  # a disk that takes longer is broken; the call goes on and the log says so
STOP_WAIT_S = 10.0  # at shutdown: what is not written by then stays in the journal for the successor


class _Entry:
    """A fact on its way (or none: only a question how far we are), and who waits. Waiters are woken on their loop's thread.

    The journal's thread makes and encodes the fact, because the loop has calls to serve.
    """

    __slots__ = ("committed", "fact", "make", "number", "synced")

    def __init__(
        self,
        make: Callable[[], Fact] | None,
        *,
        committed: Callable[[], None] | None = None,
        synced: Callable[[], None] | None = None,
    ) -> None:
        self.make = make
        self.fact: Fact | None = None
        self.number = 0
        self.committed = committed
        self.synced = synced

    @property
    def urgent(self) -> bool:
        return self.committed is not None or self.synced is not None


class Writer:
    """`start` before the first call, `stop` after the last. All `put…` methods are called on the loop's thread and never block."""

    def __init__(self, root: Path, name: str, *, on_batch: Sequence[OnBatch] = ()) -> None:
        self._root = root
        self._name = name
        self.store = Store(root, on_batch=on_batch)
        self._inbox: deque[_Entry] = deque()  # appended by the loop, emptied by the journal's thread
        self._hurry = threading.Event()
        self._journaled: deque[_Entry] = deque()
        self._news = threading.Condition()
        self._spool: Spool | None = None
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._acknowledged = 0
        self._notes = 0

    def start(self) -> None:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._spool = Spool(self._root, self._name)
        for target in (self._keep_journal, self._feed_database):
            thread = threading.Thread(target=target, name=f"records {target.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Write what is left, within a bound. Blocks; call it off the loop."""
        self._stopping.set()
        self._hurry.set()
        deadline = time.monotonic() + STOP_WAIT_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        spool, self._spool = self._spool, None
        if spool is not None and not any(thread.is_alive() for thread in self._threads):
            spool.close(complete=self._acknowledged >= spool.written)

    # --- for the bridge (calls.transports.ports.Records) ---------------------------------------------------------

    def put(self, call: LiveCall, record: Command, *, at: datetime) -> None:
        self._inbox.append(_Entry(partial(make_fact, record, tenant=call.tenant_id, call=call.call_id, at=at)))

    def put_note(self, call: LiveCall, kind: str, data: dict[str, Any], *, at: datetime, at_ms: float) -> None:
        """An event of the bridge itself; the session numbers its own."""
        self._notes += 1
        body = {"key": f"b:{call.token}:{self._notes}", "kind": str(kind), "at_ms": round(at_ms), "data": data}
        self._put(call, "event", body, at)

    def put_greeting(self, call: LiveCall, ms: int, *, at: datetime) -> None:
        self._put(call, "greeting", {"ms": ms}, at)

    def put_flight(self, call: LiveCall, sequence: int, chunk: bytes) -> None:
        body = {"session": call.token, "sequence": sequence, "data": base64.b64encode(chunk).decode()}
        self._put(call, "flight", body, _EPOCH)

    async def durable(self, call: LiveCall, record: Command, *, at: datetime) -> None:
        """Returns once the fact outlives this process: committed, or in the synced journal when the database is slow."""
        loop = asyncio.get_running_loop()
        committed, synced = loop.create_future(), loop.create_future()
        make = partial(make_fact, record, tenant=call.tenant_id, call=call.call_id, at=at)
        self._put_urgent(_Entry(make, committed=lambda: _wake(loop, committed)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COMMIT_WAIT_S):
                await committed
                return
        self._put_urgent(_Entry(None, synced=lambda: _wake(loop, synced)))
        try:
            async with asyncio.timeout(SYNC_WAIT_S):
                await asyncio.wait({committed, synced}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            log.error("intent_not_durable", call_id=str(call.call_id))

    async def flush(self, call: LiveCall) -> None:
        """Returns when everything put so far is in the database. The caller bounds the wait."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._put_urgent(_Entry(None, committed=lambda: _wake(loop, done)))
        await done

    def _put(self, call: LiveCall, table: str, body: dict[str, Any], at: datetime) -> None:
        make = partial(Fact, table=table, id=new_id(), tenant=call.tenant_id, call=call.call_id, at=at, body=body)
        self._inbox.append(_Entry(make))

    def _put_urgent(self, entry: _Entry) -> None:
        self._inbox.append(entry)
        self._hurry.set()

    # --- the journal's thread -------------------------------------------------------------------------------------

    def _keep_journal(self) -> None:
        running = True
        while running:
            running = not self._stopping.is_set()
            self._hurry.wait(JOURNAL_S)  # the loop wakes nobody for an ordinary fact: that would cost it its turn
            self._hurry.clear()
            entries = [self._inbox.popleft() for _ in range(len(self._inbox))]
            if entries:
                self._journal(entries)
        with self._news:
            self._news.notify()

    def _journal(self, entries: list[_Entry]) -> None:
        spool = self._spool
        assert spool is not None  # noqa: S101 # started
        lines = []
        for entry in entries:
            if entry.make is not None:
                try:
                    fact = entry.make()
                    lines.append(encode_fact(fact))
                    entry.fact = fact
                except Exception:  # a record of ours that cannot be written down must not stop those behind it
                    log.exception("record_unspeakable")
        number = spool.written
        try:
            spool.append(lines)
        except OSError:  # a full disk: the database alone must do
            log.exception("journal_failed")
        for entry in entries:
            number += entry.fact is not None
            entry.number = number
        with self._news:
            self._journaled.extend(entries)
            self._news.notify()
        waiting = [entry.synced for entry in entries if entry.synced is not None]
        if waiting:
            try:
                spool.sync()
            except OSError:
                log.exception("journal_sync_failed")
                return
            for wake in waiting:
                wake()
        spool.acknowledge(self._acknowledged)

    # --- the database's thread ------------------------------------------------------------------------------------

    def _feed_database(self) -> None:
        adopted_at = 0.0
        while True:
            if time.monotonic() - adopted_at >= ADOPT_S:
                self.store.adopt()
                adopted_at = time.monotonic()
            with self._news:
                if not self._journaled:
                    if self._stopping.is_set() and not self._threads[0].is_alive():
                        break
                    self._news.wait(BATCH_S)
                urgent = any(entry.urgent for entry in self._journaled)
            if not urgent and not self._stopping.is_set():
                time.sleep(BATCH_S / 2)  # gather; a wait and a half is within the bound
            with self._news:
                batch = [self._journaled.popleft() for _ in range(min(len(self._journaled), BATCH_FACTS))]
            if batch and not self._store_entries(batch):
                break
        connection.close()

    def _store_entries(self, batch: list[_Entry]) -> bool:
        """Until the database took them. False when we stop before it did: the journal keeps them."""
        facts = [entry.fact for entry in batch if entry.fact is not None]
        while not self.store.store(facts):
            if self._stopping.is_set():
                return False
            time.sleep(RETRY_S)
        self._acknowledged = batch[-1].number
        for entry in batch:
            if entry.committed is not None:
                entry.committed()
        return True


def _wake(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    def set_result() -> None:
        if not future.done():
            future.set_result(None)

    with contextlib.suppress(RuntimeError):  # the loop is gone, and with it whoever waited
        loop.call_soon_threadsafe(set_result)


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")  # rows without a time of their own

"""What every path's driver of a live call has in common: one inbox, one pure session, its records, timers, tools and exit. Decides nothing.

Whoever has an event puts it in; the first one in works the inbox empty, so the session is used from one place at a time and every event is
handled to its end before the next. Nothing in that path waits. Peer nonsense is noted and passed over; a fault of ours moves the call
down its ladder. A path adds its sockets, and what it does with the commands that are its own (`obey`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import structlog

from calls.session import commands as do
from calls.session import events as ev
from calls.session.events import Event
from calls.session.flight import FlightWriter
from calls.transports.ear import Hook
from calls.transports.errands import walk_out
from calls.transports.ports import Desk, Live, LiveCall, Records, Redeem, Session, Tools
from calls.transports.timers import Timers
from calls.transports.workshop import SecretKeys, Workshop
from calls.vocabulary import Cause, EventKind, Fault, ToolStatus

log = structlog.get_logger(__name__)

LINGER_S = 2.0  # after a hang-up a session may still be told of the last words; then the driver ends anyway
CLOSED_BY_US = 1000  # RFC 6455 §7.4.1
MAX_NOTES = 20  # of a peer that talks nonsense all day, the record keeps the first

Obey = Callable[[Any, Any], None]


class CallDriver:
    """Base of the bridges. `obey` says what is done with each command."""

    obey: ClassVar[dict[type[do.Command], Obey]] = {}

    def __init__(
        self,
        call: LiveCall,
        session: Session,
        *,
        records: Records,
        make_tools: Callable[[Redeem], Tools],
        desk: Desk,
        live: Live,
    ) -> None:
        self.call = call
        self.ending: tuple[str, str] = ("", "")  # reason and fault, once the session said so
        self.caller_hung_up = False
        self.on_carrier_frame: list[Hook] = []
        self.on_model_event: list[Hook] = []
        self._session = session
        self._records = records
        self._desk = desk
        self._live = live

        self._loop = asyncio.get_running_loop()
        self._born = time.monotonic()  # uvloop's own clock turns only once a millisecond
        self._born_at = datetime.now(UTC)
        self._flight = FlightWriter(call.plan)
        self._chunks = 0
        self._inbox: deque[tuple[float, Event]] = deque()
        self._working = False
        self._timers = Timers(self._born, deliver=self.deliver)
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._leaving = False
        self._carrier_gone = False
        self._notes = 0

        self._keys = SecretKeys()
        self._workshop = Workshop(
            call, tools=make_tools(self._keys.redeem), records=records, deliver=self.deliver, began_at=self._born_at
        )

    @property
    def is_leaving(self) -> bool:
        """The exit was taken, or the call is over here."""
        return self._leaving or self._over.is_set()

    # --- the one way in -------------------------------------------------------------------------------------------

    def deliver(self, event: Event, *, not_before_ms: float = 0.0) -> None:
        """Tell the session. Safe to call from anywhere on the loop's thread, also from within a command."""
        self._inbox.append((max(self._now_ms(), not_before_ms), event))
        if self._working:
            return
        self._working = True
        try:
            while self._inbox:
                at_ms, event = self._inbox.popleft()
                commands = self._session.handle(event, at_ms)
                try:
                    for command in commands:
                        self.obey[type(command)](self, command)
                finally:  # sound first; and what failed is on the recorder too
                    self._keep_flight(self._flight.add(event, at_ms=at_ms, commands=commands))
        except Exception:  # a fault of ours must cost the caller nothing but a rung
            log.exception("bridge_failed", last_event=type(event).__name__)
            self._give_up()
        finally:
            self._working = False

    def hear_key(self, key: str) -> None:
        """A secret key stays in memory; the session, and with it the flight recorder, learns only that one was pressed."""
        if self._session.secret_input:
            key = self._keys.keep(key, masked=self._session.mask_digit(key))
        self.deliver(ev.DigitPressed(key))

    # --- life -----------------------------------------------------------------------------------------------------

    async def _tidy_up(self) -> None:
        """The call is over for this process: stop what runs, write what waits."""
        self._over.set()
        self._timers.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._keep_flight(self._flight.flush())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:  # as in deliver
            log.exception("bridge_task_failed")
            self._give_up()

    def _give_up(self) -> None:
        """Our own fault: the call goes down its ladder without the session's help."""
        self._inbox.clear()
        self._leave(do.Leave("ladder", cause=Cause.INTERNAL, fault=Fault.US))

    def _keep_flight(self, chunk: bytes) -> None:
        if chunk:
            self._records.put_flight(self.call, self._chunks, chunk)
            self._chunks += 1

    def _now_ms(self) -> float:
        """The call's clock, in whole microseconds: what the flight recorder keeps, so that a replay sees the same times."""
        return int((time.monotonic() - self._born) * 1_000_000) / 1000

    def _at(self, at_ms: float) -> datetime:
        return self._born_at + timedelta(milliseconds=at_ms)

    def _note(self, kind: EventKind, **data: Any) -> None:
        if self._notes < MAX_NOTES:
            self._notes += 1
            at_ms = self._now_ms()
            self._records.put_note(self.call, kind, data, at=self._at(at_ms), at_ms=at_ms)

    def _note_model(self, detail: str) -> None:
        self._note(EventKind.PEER_ERROR, peer="model", detail=detail[:200])

    def _lose_carrier(self, code: int) -> None:
        if self._carrier_gone or self._over.is_set():
            self._over.set()
            return
        self._carrier_gone = True
        if not self._leaving:
            self.deliver(ev.StreamLost(code))
        self._loop.call_later(LINGER_S, self._over.set)

    # --- commands that mean the same on every path ------------------------------------------------------------------

    def _seal_digits(self, command: do.SealDigits) -> None:
        self._keys.seal(command.reference, command.count)

    def _run_tool(self, command: do.RunTool) -> None:
        self._spawn(self._workshop.work(command))

    def _set_timer(self, command: do.SetTimer) -> None:
        self._timers.set(command.name, command.at_ms)

    def _cancel_timer(self, command: do.CancelTimer) -> None:
        self._timers.cancel(command.name)

    def _record(self, command: do.Command) -> None:
        at_ms = self._now_ms()
        if isinstance(command, do.RecordToolRun) and command.status == ToolStatus.STARTED:
            self._workshop.intend(command)
        self._records.put(self.call, command, at=self._at(at_ms))
        self._live.publish(self.call, command, at_ms=at_ms)

    def _set_state(self, command: do.SetState) -> None:
        self._live.publish(self.call, command, at_ms=self._now_ms())

    def _leave_by_command(self, command: do.Leave) -> None:
        self._leave(command)

    def _leave(self, leave: do.Leave) -> None:
        if self._leaving or self._over.is_set():
            return
        self._leaving = True
        self._hush()
        task = self._loop.create_task(self._walk_out(leave))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _hush(self) -> None:
        """The exit was taken: no new model session is of use any more."""

    async def _walk_out(self, leave: do.Leave) -> None:
        try:
            await walk_out(self.call, leave, desk=self._desk, records=self._records)
        finally:
            self._carrier_gone = True
            self.deliver(ev.StreamLost(CLOSED_BY_US))  # the session writes its last records
            self._over.set()

    def _finish(self, command: do.Finish) -> None:
        self.ending = (command.reason, command.fault)
        log.info("call_session_ended", reason=command.reason, fault=command.fault)
        if not self._leaving:
            self._over.set()


SHARED: dict[type[do.Command], Obey] = {
    do.SealDigits: CallDriver._seal_digits,
    do.Leave: CallDriver._leave_by_command,
    do.Finish: CallDriver._finish,
    do.RunTool: CallDriver._run_tool,
    do.SetTimer: CallDriver._set_timer,
    do.CancelTimer: CallDriver._cancel_timer,
    do.RecordTurn: CallDriver._record,
    do.RecordEvent: CallDriver._record,
    do.RecordToolRun: CallDriver._record,
    do.RecordUsage: CallDriver._record,
    do.SetState: CallDriver._set_state,
}

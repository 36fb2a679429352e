"""One call at the carrier: its states, its people, its orders from outside, its callbacks. The verbs live elsewhere."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from emulators.callers import Caller
from emulators.twilio.exchange import API_VERSION, Exchange
from emulators.twilio.leg import Leg
from emulators.twilio.values import TERMINAL, Account, LogEntry, Number, Person, Status, make_sid, rfc2822
from emulators.twilio.webhooks import Cookies

if TYPE_CHECKING:
    from emulators.twilio.media_stream import MediaStream
    from emulators.twilio.recording import Recording

T = TypeVar("T")
MAX_CALL_S = 4 * 3600  # §1.6, §4.8


@dataclass(frozen=True, slots=True)
class Source:
    """Where the next document comes from: a URL to ask, or TwiML in hand."""

    url: str | None = None
    method: str = "POST"
    twiml: str | None = None
    params: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class NewDocument:
    source: Source


@dataclass(frozen=True, slots=True)
class End:
    status: Status
    by: str


Order = NewDocument | End


class Interrupted(Exception):
    """Something from outside ended what the call was doing."""

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self.order = order


@dataclass(slots=True)
class StatusCallback:
    """§3.5."""

    url: str = ""
    method: str = "POST"
    events: frozenset[str] = frozenset({"completed"})


class Call:
    """Made by the exchange; `begin` starts its one supervising task."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        account: Account,
        direction: str,
        from_: str,
        to: str,
        number: Number | None = None,
        parent: Call | None = None,
        caller: Caller | None = None,
        person: Person | None = None,
    ) -> None:
        self.exchange = exchange
        self.sid = make_sid("CA")
        self.account = account
        self.direction = direction
        self.from_ = from_
        self.to = to
        self.number = number
        self.parent = parent
        self.person = person
        self.caller = caller or (person.caller if person else Caller())
        self.status = Status.QUEUED if direction == "outbound-api" else Status.RINGING
        self.created: datetime = exchange.clock.utc()
        self.updated: datetime = self.created
        self.start_time: datetime | None = None
        self.end_time: datetime | None = None
        self.answered_at_s: float | None = None
        self.duration_s: int | None = None
        self.queue_ms = 0
        self.price: str | None = None
        self.answered_by: str | None = None
        self.sip_code: int | None = None
        self.ended_by = ""
        self.hung_up = False  # the end has been ordered from outside
        self.log: list[LogEntry] = []
        self.streams: list[MediaStream] = []
        self.recordings: list[Recording] = []
        self.digit_listeners: list[Callable[[str], None]] = []
        self.farewells: list[Callable[[], Coroutine[Any, Any, None]]] = []  # webhooks that are due after the end
        self.fallback: Source | None = None
        self.status_callback = StatusCallback()
        self.cookies = Cookies()
        self.callback_lock = asyncio.Lock()
        self.callbacks: set[asyncio.Task[None]] = set()  # under way
        self.answered = asyncio.Event()
        self.finished = asyncio.Event()  # the status is final; callbacks may still be under way
        self.leg = Leg(
            clock=exchange.clock,
            ticker=exchange.ticker,
            on_digit=self._take_digit,
            on_hang_up=lambda: self.hang_up(by="caller"),
            note=self.note,
            on_failure=self._leg_failed,
        )
        self._sequence = 0
        self._orders: asyncio.Queue[Order] = asyncio.Queue()
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters: list[tuple[str, asyncio.Future[LogEntry]]] = []
        self._limit_timer: asyncio.TimerHandle | None = None
        self._patience_timer: asyncio.TimerHandle | None = None
        exchange.calls[self.sid] = self

    # -- for tests and the bench ----------------------------------------------

    def note(self, kind: str, **detail: object) -> None:
        entry = LogEntry(round(self.exchange.clock.seconds(), 4), kind, detail)
        self.log.append(entry)
        waiting, self._waiters = self._waiters, []
        for wanted, waiter in waiting:
            if waiter.done():
                continue
            if wanted == kind:
                waiter.set_result(entry)
            else:
                self._waiters.append((wanted, waiter))

    async def wait_for(self, kind: str, timeout: float = 10.0) -> LogEntry:  # noqa: ASYNC109 - reads like asyncio.wait_for
        """The first log entry of that kind, also one that is already there. Raises TimeoutError (wall seconds)."""
        for entry in self.log:
            if entry.kind == kind:
                return entry
        waiter: asyncio.Future[LogEntry] = asyncio.get_running_loop().create_future()
        self._waiters.append((kind, waiter))
        try:
            async with asyncio.timeout(timeout):
                return await waiter
        except TimeoutError:
            seen = ", ".join(dict.fromkeys(entry.kind for entry in self.log))
            raise TimeoutError(
                f"{self.sid} ({self.status}) saw no {kind!r} within {timeout} s; it saw: {seen}"
            ) from None

    async def ended(self) -> None:
        """Returns when the call is over and its last status callback was delivered or given up."""
        await asyncio.shield(self._ended)

    def entries(self, kind: str) -> list[LogEntry]:
        return [entry for entry in self.log if entry.kind == kind]

    @property
    def over(self) -> bool:
        return self.status in TERMINAL

    @property
    def live(self) -> bool:
        return self.status is Status.IN_PROGRESS

    @property
    def document_params(self) -> dict[str, str]:
        """§3.1: what every request about this call carries."""
        params = {
            "CallSid": self.sid,
            "AccountSid": self.account.sid,
            "ApiVersion": API_VERSION,
            "From": self.from_,
            "To": self.to,
            "Caller": self.from_,
            "Called": self.to,
            "CallStatus": str(self.status),
            "Direction": self.direction,
        }
        for side in ("From", "To", "Caller", "Called"):
            params |= {f"{side}City": "", f"{side}State": "", f"{side}Zip": "", f"{side}Country": ""}
        if self.parent is not None:
            params["ParentCallSid"] = self.parent.sid
        if self.direction == "inbound":
            params["CallToken"] = f"call-token-{self.sid}"
            if self.exchange.config.stir_verstat:
                params["StirVerstat"] = self.exchange.config.stir_verstat
        return params

    # -- orders from outside ----------------------------------------------------

    def hang_up(self, *, by: str) -> None:
        if not self.over:
            unanswered = (
                Status(self.exchange.config.abandoned_status) if self.direction == "inbound" else Status.CANCELED
            )
            self.end_with(End(Status.COMPLETED if self.live else unanswered, by))

    def end_with(self, end: End) -> None:
        if not self.over:
            self._orders.put_nowait(end)

    def run_document(self, source: Source) -> None:
        """§4.3: replaces the running TwiML, ending any <Connect>."""
        self._orders.put_nowait(NewDocument(source))

    def limit_to(self, seconds: float) -> None:
        """The carrier's own limit on the call, from its answer on."""
        if self._limit_timer is not None:
            self._limit_timer.cancel()
        self._limit_timer = self.exchange.clock.call_after(seconds, lambda: self.hang_up(by="time-limit"))

    # -- life ---------------------------------------------------------------------

    def begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """`work` takes the call until its documents are through; orders interrupt it."""
        self.note("created", direction=self.direction, from_=self.from_, to=self.to)
        if self.direction == "inbound":
            self._patience_timer = self.exchange.clock.call_after(
                self.caller.patience_s, lambda: None if self.answered.is_set() else self.hang_up(by="caller")
            )
        self.exchange.spawn(self._supervise(work))

    async def _supervise(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        from emulators.twilio.interpreter import run_documents  # the interpreter stands on this module

        end = End(Status.FAILED, "double")
        try:
            while True:
                try:
                    await self.interruptible(work())
                    end = End(Status.COMPLETED if self.live else Status.NO_ANSWER, "twiml")
                except Interrupted as interrupted:
                    if isinstance(interrupted.order, NewDocument):
                        source = interrupted.order.source
                        work = partial(run_documents, self, source)
                        continue
                    end = interrupted.order
                break
        except Exception as error:  # our own bug: the call still ends in order, and the test hears of it
            self.exchange.fail(error)
        finally:
            await self._close(end)

    async def interruptible(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs the work until it is done or an order comes; it is cancelled and cleaned up before the order is raised."""
        task = asyncio.ensure_future(work)
        order = asyncio.ensure_future(self._orders.get())
        try:
            await asyncio.wait({task, order}, return_when=asyncio.FIRST_COMPLETED)
            if order.done():
                if isinstance(order.result(), End):
                    self.hung_up = True
                raise Interrupted(order.result())
            return task.result()
        finally:
            for running in (task, order):
                if not running.done():
                    running.cancel()
            await asyncio.wait({task, order})
            if task.done() and not task.cancelled() and order.done() and not order.cancelled():
                self._report_lost_failure(task)

    def _report_lost_failure(self, task: asyncio.Future[Any]) -> None:
        error = task.exception()
        if error is not None and not isinstance(error, Interrupted):
            self.exchange.fail(error)

    def ring(self) -> None:
        self.set_status(Status.RINGING)
        self.progress("ringing")

    def answer(self) -> None:
        """The far end is on the line from here on; does nothing when it already is."""
        if self.answered.is_set() or self.over:
            return
        clock = self.exchange.clock
        self.answered.set()
        self.answered_at_s = clock.seconds()
        self.start_time = clock.utc()
        self.set_status(Status.IN_PROGRESS)
        if self._patience_timer is not None:
            self._patience_timer.cancel()
        if self._limit_timer is None:
            self.limit_to(MAX_CALL_S)
        self.leg.start(self.caller)
        self.note("answered")
        self.progress("answered")

    def set_status(self, status: Status) -> None:
        self.status = status
        self.updated = self.exchange.clock.utc()

    async def _close(self, end: End) -> None:
        clock = self.exchange.clock
        for timer in (self._limit_timer, self._patience_timer):
            if timer is not None:
                timer.cancel()
        for stream in self.streams:
            await stream.stop()
        await self.leg.stop()
        self.ended_by = end.by
        self.end_time = clock.utc()
        if self.answered_at_s is not None:
            self.duration_s = max(1, round(clock.seconds() - self.answered_at_s))
        self.set_status(end.status)
        self.finished.set()
        for recording in self.recordings:
            recording.stop()
        self.note("ended", status=str(end.status), by=end.by, duration_s=self.duration_s)
        for farewell in self.farewells:
            await farewell()
        self.progress("completed")
        while self.callbacks:
            await asyncio.wait(list(self.callbacks))
        if self.duration_s is not None:
            self._price_timer = clock.call_after(self.exchange.config.price_delay_s, self._set_price)
        if not self._ended.done():
            self._ended.set_result(None)

    def _set_price(self) -> None:
        """§4.2: negative, a string, and only some time after the end; billed per minute, rounded up."""
        minutes = math.ceil((self.duration_s or 0) / 60)
        self.price = f"{-Decimal(self.exchange.config.price_per_minute) * minutes:.5f}"
        self.updated = self.exchange.clock.utc()
        self.note("priced", price=self.price)

    # -- callbacks ------------------------------------------------------------------

    def progress(self, event: str) -> None:
        """§3.5. A terminal status of any kind is the event `completed`."""
        number = self._sequence
        self._sequence += 1
        callback = self.status_callback
        if not callback.url or event not in callback.events:
            return
        params = self.document_params | {
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(number),
            "Timestamp": rfc2822(self.exchange.clock.utc()) or "",
        }
        if event == "initiated":
            params["CallStatus"] = str(Status.INITIATED)
        if event == "completed":
            seconds = self.duration_s or 0
            params["CallDuration"] = str(seconds)
            params["Duration"] = str(math.ceil(seconds / 60))
            if self.sip_code is not None:
                params["SipResponseCode"] = str(self.sip_code)
            for recording in self.recordings:
                params |= {
                    "RecordingSid": recording.sid,
                    "RecordingUrl": recording.url,
                    "RecordingDuration": str(recording.duration_s),
                }
        self.exchange.notify(self, callback.url, method=callback.method, params=params, event=event)

    def _take_digit(self, digit: str) -> None:
        for listener in tuple(self.digit_listeners):
            listener(digit)

    def _leg_failed(self, error: Exception) -> None:
        self.exchange.fail(error)
        self.hang_up(by="double")

"""Carries one live call: two sockets in, one queue, one pure session, commands out. It translates, times and stores; it never decides.

One inbox, one consumer: whoever has an event puts it in; the first one in works the inbox empty, so the session is used from one place at
a time and every event is handled to its end before the next. Nothing in that path waits. Caller audio takes a short cut from socket to
socket; the session hears only its duration. Peer nonsense is noted and passed over; a fault of ours moves the call down its ladder.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from calls.session import commands as do
from calls.session import events as ev
from calls.session.events import Event
from calls.session.flight import FlightWriter
from calls.transports.carrier_writer import CarrierWriter
from calls.transports.ear import Ear, Hook
from calls.transports.errands import record_call, walk_out
from calls.transports.model_line import ModelLine
from calls.transports.ports import Desk, Live, LiveCall, Models, Records, Redeem, Session, Tools
from calls.transports.timers import Timers
from calls.transports.workshop import SecretKeys, Workshop
from calls.vocabulary import Cause, EventKind, Fault, ToolStatus
from calls.wire import media_streams as wire
from calls.wire.continuity import STALL_AFTER_MS
from calls.wire.errors import WireError
from calls.wire.realtime_session import describe_hand_off, encode, encode_update
from calls.wire.tones import make_tones

log = structlog.get_logger(__name__)

DEAD_STREAM_S = 10.0  # §7.1 fills gaps up to 10 s; beyond it the stream is gone (twilio.md §1.6: audio keeps it busy)
LINGER_S = 2.0  # after a hang-up a session may still be told of the last words; then the bridge ends anyway
CLOSED_BY_US = 1000  # RFC 6455 §7.4.1
MAX_NOTES = 20  # of a peer that talks nonsense all day, the record keeps the first


class Bridge:
    """Made when the stream has started and was admitted; `run` returns when the call is over for this process."""

    def __init__(
        self,
        call: LiveCall,
        session: Session,
        *,
        stream_sid: str,
        carrier: CarrierWriter,
        models: Models,
        records: Records,
        make_tools: Callable[[Redeem], Tools],
        desk: Desk,
        live: Live,
    ) -> None:
        self.call = call
        self.on_carrier_frame: list[Hook] = []
        self.on_model_event: list[Hook] = []
        self.greeting_latency_ms: int | None = None
        self.caller_hung_up = False
        self.ending: tuple[str, str] = ("", "")  # reason and fault, once the session said so
        self._session = session
        self._stream_sid = stream_sid
        self._carrier = carrier
        carrier.hooks = self.on_carrier_frame
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

        self._ear = Ear(stream_sid, deliver=self.deliver, hooks=self.on_model_event)
        self._model = ModelLine(
            call,
            models,
            ear=self._ear,
            deliver=self._hear_model,
            note_error=lambda detail: self._note(EventKind.PEER_ERROR, peer="model", detail=detail[:200]),
            hooks=self.on_model_event,
        )
        self._last_frame = self._born
        self._stall_watch: asyncio.TimerHandle | None = None

    # --- life -----------------------------------------------------------------------------------------------------

    async def run(self, receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        """Serve the call until it is over here. The carrier's socket may be closed after this; the model's is."""
        self._spawn(self._read_carrier(receive))
        self._spawn(self._write_carrier())
        self._spawn(self._watch_stream())
        self._keep_flight(self._flight.open())
        try:
            self.deliver(ev.StreamStarted(self._stream_sid))
            resume = self.call.plan.resume
            self._spawn(self._model.connect(resume.agent if resume else self.call.plan.agent))
            await self._over.wait()
        finally:
            self._over.set()
            self._timers.close()
            if self._stall_watch is not None:
                self._stall_watch.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._ear.dropped_ms:
                self._note(EventKind.AUDIO_DROPPED, ms=self._ear.dropped_ms)
            self._keep_flight(self._flight.flush())
            await self._model.close()

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
                        _OBEY[type(command)](self, command)
                finally:  # sound first; and what failed is on the recorder too
                    self._keep_flight(self._flight.add(event, at_ms=at_ms, commands=commands))
        except Exception:  # a fault of ours must cost the caller nothing but a rung
            log.exception("bridge_failed", last_event=type(event).__name__)
            self._give_up()
        finally:
            self._working = False

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

    # --- the carrier ----------------------------------------------------------------------------------------------

    async def _read_carrier(self, receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        while True:
            message = await receive()
            text = message.get("text")
            if text is not None:
                self.hear_frame(text)
            elif message["type"] == "websocket.disconnect":
                self._lose_carrier(int(message.get("code") or 0))
                return
            else:
                self._note(EventKind.PEER_ERROR, peer="carrier", detail="binary frame")

    def hear_frame(self, text: str) -> None:
        """One text frame of the carrier."""
        if self.on_carrier_frame:
            for hook in self.on_carrier_frame:
                hook("in", text)
        try:
            chunk = wire.splice(text)
            if chunk is None:
                frame = wire.parse(text)
                if isinstance(frame, wire.Media):
                    chunk = wire.read_media(frame)
                else:
                    self._hear_control(frame)
            if chunk is not None:
                self._last_frame = time.monotonic()
                self._ear.hear(chunk)
        except WireError as error:
            self._note(EventKind.PEER_ERROR, peer="carrier", detail=error.reason[:200])

    def _hear_control(self, frame: wire.AnyFrame) -> None:
        self._last_frame = time.monotonic()
        match frame:
            case wire.Mark():
                self.deliver(ev.MarkReturned(frame.mark.name))
            case wire.Dtmf():
                self._hear_key(wire.read_digit(frame))
            case wire.Stop():
                self._carrier_gone = self.caller_hung_up = True
                self.deliver(ev.CallerHungUp())
                self._loop.call_later(LINGER_S, self._over.set)
            case _:
                self._note(EventKind.PEER_ERROR, peer="carrier", detail=f"late {type(frame).__name__.lower()}")

    def _hear_key(self, key: str) -> None:
        """A secret key stays in memory; the session, and with it the flight recorder, learns only that one was pressed."""
        if self._session.secret_input:
            key = self._keys.keep(key, masked=self._session.mask_digit(key))
        self.deliver(ev.DigitPressed(key))

    def _lose_carrier(self, code: int) -> None:
        if self._carrier_gone or self._over.is_set():
            self._over.set()
            return
        self._carrier_gone = True
        if not self._leaving:
            self.deliver(ev.StreamLost(code))
        self._loop.call_later(LINGER_S, self._over.set)

    async def _write_carrier(self) -> None:
        try:
            await self._carrier.run()
        except OSError:  # uvicorn's ClientDisconnected is one; the reader hears the disconnect itself
            log.info("carrier_socket_gone")

    async def _watch_stream(self) -> None:
        """A carrier that keeps the connection but sends nothing is noticed (twilio.md §1.6: nobody else will)."""
        while True:
            quiet_s = time.monotonic() - self._last_frame
            if quiet_s >= DEAD_STREAM_S:
                log.warning("stream_dead", quiet_s=round(quiet_s, 1))
                self._lose_carrier(0)
                return
            await asyncio.sleep(DEAD_STREAM_S - quiet_s)

    def _watch_stall(self) -> None:
        """While the caller speaks: frames that stop would hide the end of speech from the model."""
        now = time.monotonic()
        quiet_ms = (now - self._last_frame) * 1000
        self._ear.fill_stall(quiet_ms)
        wait_ms = STALL_AFTER_MS - quiet_ms if quiet_ms < STALL_AFTER_MS else STALL_AFTER_MS
        self._stall_watch = self._loop.call_later(wait_ms / 1000, self._watch_stall)

    # --- the model ------------------------------------------------------------------------------------------------

    def _hear_model(self, event: Event) -> None:
        """While the caller speaks, frames that stop are filled up: the model would never hear the end of speech."""
        if isinstance(event, ev.SpeechStarted) and self._stall_watch is None:
            self._watch_stall()
        elif isinstance(event, ev.SpeechStopped) and self._stall_watch is not None:
            self._stall_watch.cancel()
            self._stall_watch = None
        self.deliver(event)

    # --- commands -------------------------------------------------------------------------------------------------

    def _play(self, command: do.Play) -> None:
        part = self._model.parts[command.item_id, command.content_index]
        self._carrier.play(bytes(memoryview(part)[command.start : command.end]), command.mark)
        if self.greeting_latency_ms is None:
            self.greeting_latency_ms = round(self._now_ms())
            if self.call.plan.resume is None:
                self._records.put_greeting(self.call, self.greeting_latency_ms, at=datetime.now(UTC))

    def _send_mark(self, command: do.SendMark) -> None:
        self._carrier.mark(command.mark)

    def _clear_playback(self, command: do.ClearPlayback) -> None:
        self._carrier.clear()

    def _drop_audio(self, command: do.DropAudio) -> None:
        self._model.parts.pop((command.item_id, command.content_index), None)

    def _make_tones(self, command: do.MakeTones) -> None:
        tones = bytearray(make_tones(command.digits))
        self._model.parts[command.item_id, 0] = tones
        self.deliver(ev.LocalAudioReady(command.item_id, len(tones)))

    def _seal_digits(self, command: do.SealDigits) -> None:
        self._keys.seal(command.reference, command.count)

    def _start_recording(self, command: do.StartRecording) -> None:
        resume = self.call.plan.resume
        offset_ms = round(self._now_ms()) + (resume.elapsed_ms if resume else 0)
        self._spawn(record_call(self.call, desk=self._desk, deliver=self.deliver, offset_ms=offset_ms))

    def _to_model(self, command: Any) -> None:
        for event in encode(command):
            self._model.send(event)

    def _use_agent(self, command: do.UseAgent) -> None:
        diff = describe_hand_off(self.call.plan.agents[command.agent])
        self._model.send(encode_update(diff, event_id=command.event_id))

    def _open_model(self, command: do.ConnectModel) -> None:
        self._spawn(self._model.connect(command.agent))

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
        self._leaving = self._model.is_leaving = True
        task = self._loop.create_task(self._walk_out(leave))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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


_OBEY: dict[type[do.Command], Callable[[Bridge, Any], None]] = {
    do.Play: Bridge._play,
    do.SendMark: Bridge._send_mark,
    do.ClearPlayback: Bridge._clear_playback,
    do.DropAudio: Bridge._drop_audio,
    do.MakeTones: Bridge._make_tones,
    do.SealDigits: Bridge._seal_digits,
    do.StartRecording: Bridge._start_recording,
    do.Leave: Bridge._leave_by_command,
    do.Finish: Bridge._finish,
    do.CreateResponse: Bridge._to_model,
    do.CancelResponse: Bridge._to_model,
    do.TruncateItem: Bridge._to_model,
    do.DeleteItem: Bridge._to_model,
    do.AddMessage: Bridge._to_model,
    do.AddToolExchange: Bridge._to_model,
    do.AddToolOutput: Bridge._to_model,
    do.UseAgent: Bridge._use_agent,
    do.ConnectModel: Bridge._open_model,
    do.RunTool: Bridge._run_tool,
    do.SetTimer: Bridge._set_timer,
    do.CancelTimer: Bridge._cancel_timer,
    do.RecordTurn: Bridge._record,
    do.RecordEvent: Bridge._record,
    do.RecordToolRun: Bridge._record,
    do.RecordUsage: Bridge._record,
    do.SetState: Bridge._set_state,
}

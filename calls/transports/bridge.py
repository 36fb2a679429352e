"""Carries one live call over Media Streams: two sockets in, one pure session, commands out. It translates and times; it never decides.

Caller audio takes a short cut from socket to socket; the session hears only its duration. What all paths share is the driver's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from calls.session import commands as do
from calls.session import events as ev
from calls.session.events import Event
from calls.transports.carrier_writer import CarrierWriter
from calls.transports.driver import LINGER_S, SHARED, CallDriver
from calls.transports.ear import Ear
from calls.transports.errands import record_call
from calls.transports.model_line import ModelLine
from calls.transports.ports import CarrierSocket, Desk, Live, LiveCall, Models, Records, Redeem, Session, Tools
from calls.vocabulary import EventKind
from calls.wire import media_streams as wire
from calls.wire.continuity import STALL_AFTER_MS
from calls.wire.errors import WireError
from calls.wire.media_streams import Encoder
from calls.wire.realtime_session import describe_hand_off, encode, encode_update
from calls.wire.tones import make_tones

log = structlog.get_logger(__name__)

DEAD_STREAM_S = 10.0  # §7.1 fills gaps up to 10 s; beyond it the stream is gone (twilio.md §1.6: audio keeps it busy)


class Bridge(CallDriver):
    """Made when the stream has started and was admitted; `run` returns when the call is over for this process."""

    def __init__(
        self,
        call: LiveCall,
        session: Session,
        *,
        stream_sid: str,
        socket: CarrierSocket,
        models: Models,
        records: Records,
        make_tools: Callable[[Redeem], Tools],
        desk: Desk,
        live: Live,
    ) -> None:
        super().__init__(call, session, records=records, make_tools=make_tools, desk=desk, live=live)
        self.greeting_latency_ms: int | None = None
        self._stream_sid = stream_sid
        self._socket = socket
        self._carrier = CarrierWriter(socket, Encoder(stream_sid))
        self._carrier.hooks = self.on_carrier_frame

        self._ear = Ear(stream_sid, deliver=self.deliver, hooks=self.on_model_event)
        self._model = ModelLine(
            call,
            models,
            ear=self._ear,
            deliver=self._hear_model,
            note_error=self._note_model,
            hooks=self.on_model_event,
        )
        self._last_frame = self._born
        self._stall_watch: asyncio.TimerHandle | None = None

    # --- life -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the call until it is over here. The carrier's socket may be closed after this; the model's is."""
        self._spawn(self._watch_stream())
        self._keep_flight(self._flight.open())
        try:
            self.deliver(ev.StreamStarted(self._stream_sid))
            self._socket.attach(self.hear_frame, self._lose_carrier)
            resume = self.call.plan.resume
            self._spawn(self._model.connect(resume.agent if resume else self.call.plan.agent))
            await self._over.wait()
        finally:
            if self._stall_watch is not None:
                self._stall_watch.cancel()
            self._socket.detach()
            await self._tidy_up()
            for direction, dropped_ms in (("in", self._ear.dropped_ms), ("out", self._carrier.dropped_ms)):
                if dropped_ms:
                    self._note(EventKind.AUDIO_DROPPED, ms=dropped_ms, direction=direction)
            await self._model.close()

    # --- the carrier ----------------------------------------------------------------------------------------------

    def hear_frame(self, text: bytes | None) -> None:
        """One frame of the carrier."""
        if text is None:
            self._note(EventKind.PEER_ERROR, peer="carrier", detail="binary frame")
            return
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
        except Exception:  # as in deliver
            log.exception("bridge_frame_failed")
            self._give_up()

    def _hear_control(self, frame: wire.AnyFrame) -> None:
        self._last_frame = time.monotonic()
        match frame:
            case wire.Mark():
                self.deliver(ev.MarkReturned(frame.mark.name))
            case wire.Dtmf():
                self.hear_key(wire.read_digit(frame))
            case wire.Stop():
                self._carrier_gone = self.caller_hung_up = True
                self.deliver(ev.CallerHungUp())
                self._loop.call_later(LINGER_S, self._over.set)
            case _:
                self._note(EventKind.PEER_ERROR, peer="carrier", detail=f"late {type(frame).__name__.lower()}")

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

    def _hush(self) -> None:
        self._model.is_leaving = True


Bridge.obey = {
    **SHARED,
    do.Play: Bridge._play,
    do.SendMark: Bridge._send_mark,
    do.ClearPlayback: Bridge._clear_playback,
    do.DropAudio: Bridge._drop_audio,
    do.MakeTones: Bridge._make_tones,
    do.StartRecording: Bridge._start_recording,
    do.CreateResponse: Bridge._to_model,
    do.CancelResponse: Bridge._to_model,
    do.TruncateItem: Bridge._to_model,
    do.DeleteItem: Bridge._to_model,
    do.AddMessage: Bridge._to_model,
    do.AddToolExchange: Bridge._to_model,
    do.AddToolOutput: Bridge._to_model,
    do.UseAgent: Bridge._use_agent,
    do.ConnectModel: Bridge._open_model,
}

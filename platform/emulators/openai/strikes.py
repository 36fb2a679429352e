"""The faults that are done to a live session at once (openai-realtime.md §9.3, §4.2, §6.2)."""

from __future__ import annotations

from typing import Protocol

from emulators.openai.faults import Fault, FaultKind
from emulators.openai.wire import JsonObject, read_clock_s


class Target(Protocol):
    """What a strike needs of its session."""

    def emit(self, event: JsonObject) -> None: ...
    def send(self, event: JsonObject) -> None: ...
    def send_raw(self, frame: bytes) -> None: ...
    def expire(self) -> None: ...
    def cut(self, close_code: int) -> None: ...


def strike(target: Target, fault: Fault) -> None:
    """Raises ValueError for a fault that has to wait for its moment."""
    match fault.kind:
        case FaultKind.GARBAGE_FRAME:
            target.send_raw(b'{"type": "response.output_audio.delta", "delta": ')
        case FaultKind.UNKNOWN_EVENT:
            target.emit({"type": "conversation.mood.updated", "mood": {"name": "calm"}})
        case FaultKind.DTMF_EVENT:  # §4.2: SIP only, and the one event without event_id
            event = {"type": "input_audio_buffer.dtmf_event_received", "event": fault.digit}
            target.send(event | {"received_at": read_clock_s()})
        case FaultKind.EXPIRE:
            target.expire()
        case FaultKind.CLOSE:
            target.cut(fault.close_code)
        case _:
            raise ValueError(f"{fault.kind} waits for its moment: inject it")

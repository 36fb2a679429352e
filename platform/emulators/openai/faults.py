"""What can go wrong on purpose: the cases of openai-realtime.md §9.3 and §6, as values that wait for their moment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from emulators.openai.wire import JsonObject


class FaultKind(StrEnum):
    # Taken by the next handshake.
    REFUSE_HANDSHAKE = "refuse_handshake"  # status, code
    HANG_HANDSHAKE = "hang_handshake"
    # Taken by the next session.update.
    NO_SESSION_UPDATED = "no_session_updated"
    # Taken by the next response.
    FAIL_RESPONSE = "fail_response"  # code
    INCOMPLETE = "incomplete"  # reason, after_ms
    SILENT_RESPONSE = "silent_response"  # created, then nothing, never done
    STALL = "stall"  # after_ms, delay_ms: then it goes on
    CUT = "cut"  # after_ms, close_code: the socket goes while the agent speaks
    LATE_DELTAS = "late_deltas"  # count: deltas of a cancelled response that still come
    CANCELLED_TOOL_CALL = "cancelled_tool_call"  # its item is incomplete and the response cancelled
    NO_USAGE = "no_usage"
    USAGE_WITHOUT_DETAILS = "usage_without_details"
    EXTRA_FIELDS = "extra_fields"  # on every event of the response
    REFUSE_RESPONSE = "refuse_response"  # as though another response were active
    # Taken by the next caller turn, or truncation.
    TRANSCRIPT_LATE = "transcript_late"  # delay_ms
    TRANSCRIPT_FAILED = "transcript_failed"
    TRANSCRIPT_MISSING = "transcript_missing"
    TRUNCATE_ERROR = "truncate_error"
    # Taken by the next SIP call (openai-realtime.md §1.4, §2.3).
    NO_WEBHOOK = "no_webhook"  # the vendor's incident: nobody is told
    SECOND_WEBHOOK = "second_webhook"  # the same call under another webhook id
    LIVE_WEBHOOK_TOO = "live_webhook_too"  # the other product's event for the same call
    REFUSE_ACCEPT = "refuse_accept"  # status, code
    HANG_ACCEPT = "hang_accept"  # delay_ms
    DIE_AFTER_ACCEPT = "die_after_accept"  # delay_ms: 200, and then the call is over
    REFER_UNHEARD = "refer_unheard"  # 200, and nothing happens
    # Done at once to a live session.
    GARBAGE_FRAME = "garbage_frame"
    UNKNOWN_EVENT = "unknown_event"
    DTMF_EVENT = "dtmf_event"  # digit; an event without event_id (§4.2)
    EXPIRE = "expire"
    CLOSE = "close"  # close_code


LIVE_KINDS = frozenset(
    {FaultKind.GARBAGE_FRAME, FaultKind.UNKNOWN_EVENT, FaultKind.DTMF_EVENT, FaultKind.EXPIRE, FaultKind.CLOSE}
)
ABNORMAL_CLOSURE = 1006  # never on the wire: the connection simply breaks


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    kind: FaultKind
    times: int = 1  # how often it happens; -1 = until cleared
    session_index: int | None = None  # only this session; None = whoever comes first
    status: int = 500
    code: str = "server_error"
    message: str = ""
    reason: str = "content_filter"
    after_ms: int = 0  # of audio sent
    delay_ms: int = 2000
    count: int = 3
    close_code: int = ABNORMAL_CLOSURE
    digit: str = "1"

    @classmethod
    def read(cls, data: Mapping[str, object]) -> Fault:
        """Raises ValueError for a field or kind that does not exist."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(data.keys() - known)
        if unknown or "kind" not in data:
            raise ValueError(f"a fault has no {', '.join(unknown)}" if unknown else "a fault needs a kind")
        values: JsonObject = {**data, "kind": FaultKind(str(data["kind"]))}
        return cls(**values)


class FaultQueue:
    """Faults in the order they were injected; `take` hands each out as often as it says."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        if fault.kind in LIVE_KINDS:
            raise ValueError(f"{fault.kind} happens to a live session: strike it")
        self._waiting.append(fault)

    def clear(self) -> None:
        self._waiting.clear()

    def take(self, kind: FaultKind, *, session_index: int) -> Fault | None:
        for place, fault in enumerate(self._waiting):
            if fault.kind is kind and fault.session_index in (None, session_index):
                if fault.times == 1:
                    del self._waiting[place]
                elif fault.times > 1:
                    self._waiting[place] = dataclasses.replace(fault, times=fault.times - 1)
                return fault
        return None

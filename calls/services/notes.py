"""Points on a call's time line written by services, and events for the operator; each written once under its key."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from datetime import datetime
from typing import Any

import structlog
from django.utils import timezone

from calls.models import Call, CallEvent, OperatorEvent
from calls.vocabulary import EventKind

log = structlog.get_logger(__name__)

OPERATOR_EVENTS_A_MINUTE = 10  # a kind; strangers must not be able to fill the table
_written: dict[str, deque[float]] = {}
_suppressed: dict[str, int] = {}
_lock = threading.Lock()


def make_event(
    call: Call, key: str, kind: EventKind, *, at: datetime | None = None, data: dict[str, Any] | None = None
) -> CallEvent:
    """The row, unsaved. `key` is unique per call: `w:…` for a webhook, `x:…` for a service."""
    at = at or timezone.now()
    at_ms = max(0, round((at - call.created_at).total_seconds() * 1000))
    return CallEvent(call=call, tenant_id=call.tenant_id, key=key[:80], kind=kind, at=at, at_ms=at_ms, data=data or {})


def note_event(
    call: Call, key: str, kind: EventKind, *, at: datetime | None = None, data: dict[str, Any] | None = None
) -> None:
    """Write it; a repeat under the same key changes nothing."""
    CallEvent.objects.bulk_create([make_event(call, key, kind, at=at, data=data)], ignore_conflicts=True)


def fresh_key(prefix: str) -> str:
    """A key for something that has no name of its own to be repeated under."""
    return f"{prefix}:{uuid.uuid4().hex}"


def tell_operator(kind: str, **data: Any) -> bool:
    """Write an operator event, at most so many a minute and kind in this process; the rest is counted into the next one."""
    now = time.monotonic()
    with _lock:
        times = _written.setdefault(kind, deque())
        while times and now - times[0] > 60.0:
            times.popleft()
        if len(times) >= OPERATOR_EVENTS_A_MINUTE:
            _suppressed[kind] = _suppressed.get(kind, 0) + 1
            return False
        times.append(now)
        suppressed = _suppressed.pop(kind, 0)
    if suppressed:
        data["suppressed_before"] = suppressed
    log.warning("operator_event", kind=kind, **data)
    OperatorEvent.objects.create(kind=kind, data=data)
    return True


def forget_operator_events() -> None:
    """A full allowance again (tests)."""
    with _lock:
        _written.clear()
        _suppressed.clear()

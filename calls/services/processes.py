"""Which process this is: its name in stream addresses, its row in the table, and who wants to know when a call opens here.

The name is made at import and is only a preference in addresses (product 5.1.1): any process may serve any stream.
"""

from __future__ import annotations

import secrets
import threading
import uuid
from collections.abc import Callable

from django.db.models.functions import Now

from agents.spec import AgentSpec
from calls.models import Process
from tenants.ids import new_id

CallOpened = Callable[[str, AgentSpec, str], None]  # call ref, the agent who will speak, the caller's number

_lock = threading.Lock()
_id: uuid.UUID = new_id()
_name: str = f"p{secrets.token_hex(6)}"
_is_registered = False
_on_call_opened: CallOpened | None = None
_is_stopping: Callable[[], bool] | None = None


def current_name() -> str:
    """Stands in `/media/<name>/…` of the streams that this process asked for."""
    return _name


def current_id() -> uuid.UUID:
    """The row of this process; made when first asked for, so that a process without a start command may hold leases, too."""
    register_process()
    return _id


def start_anew() -> str:
    """Become another process in the eyes of the table: after a fork, or when a test empties the database. The new name."""
    global _id, _name, _is_registered, _is_stopping
    with _lock:
        _id, _name, _is_registered, _is_stopping = new_id(), f"p{secrets.token_hex(6)}", False, None
    return _name


def adopt(process_id: uuid.UUID, name: str, *, is_stopping: Callable[[], bool] | None = None) -> None:
    """A media process with a row, a heartbeat and a lock of its own: leases and addresses of this process carry its name from now on.

    `is_stopping` is asked by the readiness check.
    """
    global _id, _name, _is_registered, _is_stopping
    with _lock:
        _id, _name, _is_registered, _is_stopping = process_id, name, True, is_stopping


def is_stopping() -> bool:
    """Whether new calls should go elsewhere."""
    return _is_stopping is not None and _is_stopping()


def register_process(kind: str = "web") -> uuid.UUID:
    """Write this process's row once; `kind` is media or web. Repeating it changes nothing."""
    global _is_registered
    with _lock:
        if not _is_registered:
            Process.objects.bulk_create([Process(id=_id, name=_name, kind=kind)], ignore_conflicts=True)
            _is_registered = True
    return _id


def heartbeat(process_id: uuid.UUID) -> bool:
    """Say by the database's clock that the process lives. False: the row is gone, register anew."""
    return bool(Process.objects.filter(pk=process_id).update(heartbeat_at=Now()))


def mark_stopping(process_id: uuid.UUID) -> None:
    """No new calls here; live ones are being moved."""
    Process.objects.filter(pk=process_id, stopping_at=None).update(stopping_at=Now())


def mark_stopped(process_id: uuid.UUID) -> None:
    Process.objects.filter(pk=process_id).update(stopped_at=Now())


def on_call_opened(listener: CallOpened | None) -> None:
    """The media process registers here who prepares model sessions; None takes it back."""
    global _on_call_opened
    _on_call_opened = listener


def is_preparing() -> bool:
    """Whether anybody in this process wants to hear of opened calls."""
    return _on_call_opened is not None


def call_opened(ref: str, agent: AgentSpec, caller: str) -> None:
    """Tell the listener; it returns at once and never raises into the webhook."""
    if _on_call_opened is not None:
        _on_call_opened(ref, agent, caller)

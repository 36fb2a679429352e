"""Who holds a live call: conditional updates with a fencing token (decision 5). Holds no lease itself and opens no socket."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db import connection
from django.db.models import F, Q
from django.db.models.functions import Now

from calls.models import Call, Lease, Process

DEAD_AFTER_S = 5.0  # five missed heartbeats (decision 5: one a second)


def claim_lease(call: Call, *, process_id: uuid.UUID, token: int) -> int | None:
    """Take the call from whoever held it under `token`. The new token, or None when somebody was faster."""
    won = Lease.objects.filter(call=call, token=token).update(
        process_id=process_id, token=F("token") + 1, claimed_at=Now(), released_at=None
    )
    return token + 1 if won else None


def release_lease(call_id: uuid.UUID, *, token: int) -> bool:
    """Give the call back. False: the token is yesterday's, nothing changed."""
    return bool(
        Lease.objects.filter(call_id=call_id, token=token, released_at=None).update(process=None, released_at=Now())
    )


def fence_lease(call_id: uuid.UUID) -> None:
    """Void the present token: what its holder still writes about where the call goes is refused from here on."""
    Lease.objects.filter(call_id=call_id).update(process=None, token=F("token") + 1, released_at=Now())


def outdate_lease(call_id: uuid.UUID, *, token: int) -> bool:
    """Void the holder's token but leave its name: the call is being asked for, and whoever is late must not decide any more."""
    return bool(Lease.objects.filter(call_id=call_id, token=token).update(token=F("token") + 1))


def holds_lease(call_id: uuid.UUID, *, token: int) -> bool:
    return Lease.objects.filter(call_id=call_id, token=token, released_at=None).exists()


def is_process_dead(process: Process | None) -> bool:
    """Stopped, silent beyond the time-to-live by the database's clock, or without its lock, which drops with the process."""
    if process is None:
        return True
    late = Q(heartbeat_at__lt=Now() - timedelta(seconds=DEAD_AFTER_S)) | Q(stopped_at__isnull=False)
    return Process.objects.filter(late, pk=process.pk).exists() or not is_process_lock_held(process.pk)


def process_lock_key(process_id: uuid.UUID) -> int:
    """The advisory lock that a process holds while it lives: a signed 64-bit number, as PostgreSQL wants it."""
    return int.from_bytes(process_id.bytes[-8:], "big", signed=True)


def hold_process_lock(process_id: uuid.UUID) -> bool:
    """Take the process's lock for as long as this connection lives. False: somebody holds it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [process_lock_key(process_id)])
        row = cursor.fetchone()
    return bool(row and row[0])


def is_process_lock_held(process_id: uuid.UUID) -> bool:
    """Whether some connection holds it now. pg_locks shows a 64-bit key as two halves, objsubid 1."""
    key = process_lock_key(process_id)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
            " AND classid = %s AND objid = %s"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
            [(key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF],
        )
        row = cursor.fetchone()
    return bool(row and row[0])

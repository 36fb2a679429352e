"""Who holds a live call: conditional updates with a fencing token (decision 5). Holds no lease itself and opens no socket."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.db import connection
from django.db.models import F, Q
from django.db.models.functions import Now

from calls.models import Call, Lease, Process

DEAD_AFTER_S = 5.0  # five missed heartbeats (decision 5: one a second)
_LOCK_SPACE = 0x5357  # "SW": keeps our advisory locks apart from anybody else's in the same database


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


def holds_lease(call_id: uuid.UUID, *, token: int) -> bool:
    return Lease.objects.filter(call_id=call_id, token=token, released_at=None).exists()


def is_process_dead(process: Process | None) -> bool:
    """Stopped, or silent for longer than the time-to-live, by the database's clock."""
    if process is None:
        return True
    late = Q(heartbeat_at__lt=Now() - timedelta(seconds=DEAD_AFTER_S)) | Q(stopped_at__isnull=False)
    return Process.objects.filter(late, pk=process.pk).exists()


def hold_process_lock(process_id: uuid.UUID) -> bool:
    """Take the process's advisory lock for as long as this connection lives; it drops when the process dies. Keep the connection open."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [_LOCK_SPACE, _lock_key(process_id)])
        row = cursor.fetchone()
    return bool(row and row[0])


def is_process_lock_held(process_id: uuid.UUID) -> bool:
    """Whether some connection still holds the process's lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
            [_LOCK_SPACE, _lock_key(process_id)],
        )
        row = cursor.fetchone()
    return bool(row and row[0])


def _lock_key(process_id: uuid.UUID) -> int:
    """31 bits of the id's random end: pg's second key is a signed 32-bit number, shown unsigned in pg_locks."""
    return process_id.int & 0x7FFFFFFF

"""Rows that are worked on until they are as they should be: claimed by one conditional UPDATE, put off when it may pass (decision 9).

A worker that dies leaves an expired claim, which the sweeper hands out again; whatever is done must be safe to do twice.
"""

from __future__ import annotations

import random
import uuid
from datetime import datetime, timedelta
from typing import TypeVar

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from tenants.models.carrier import Work

CLAIM_SECONDS = 150  # above CELERY_TASK_TIME_LIMIT: a claim never expires under a worker that still runs
FIRST_BACK_OFF_S = 4.0
LONGEST_BACK_OFF_S = 600.0

Row = TypeVar("Row", bound=Work)


def claim(model: type[Row], row_id: uuid.UUID | str) -> Row | None:
    """The row, if this worker won it: due, and claimed by nobody who may still be at it."""
    now = timezone.now()
    with transaction.atomic():
        won = (
            model._default_manager.filter(pk=row_id, due_at__lte=now)
            .filter(Q(claimed_until=None) | Q(claimed_until__lt=now))
            .update(claimed_until=now + timedelta(seconds=CLAIM_SECONDS), attempt=F("attempt") + 1)
        )
        return model._default_manager.get(pk=row_id) if won else None


def settle(row: Work) -> None:
    """All is as it should be: nothing is due. Unless somebody asked for more meanwhile, who moved `due_at` on."""
    type(row)._default_manager.filter(pk=row.pk, due_at=row.due_at).update(
        due_at=None, claimed_until=None, attempt=0, error="", error_detail=""
    )
    type(row)._default_manager.filter(pk=row.pk).exclude(due_at=row.due_at).update(claimed_until=None)


def put_off(row: Work, *, error: str, detail: str) -> None:
    """Once more, later."""
    type(row)._default_manager.filter(pk=row.pk).update(
        due_at=next_try(row.attempt), claimed_until=None, error=error, error_detail=detail[:2000]
    )


def next_try(attempt: int) -> datetime:
    # Half jitter: workers that failed together do not come back together.
    wait_s = min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2 ** max(0, attempt - 1))
    return timezone.now() + timedelta(seconds=wait_s * random.uniform(0.5, 1.0))


def find_due(model: type[Row], *, limit: int) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """(row, tenant) of what is due and claimed by nobody. Call it where every tenant is in sight."""
    now = timezone.now()
    return list(
        model._default_manager.filter(due_at__lte=now)
        .filter(Q(claimed_until=None) | Q(claimed_until__lt=now))
        .order_by("due_at")
        .values_list("pk", "tenant_id")[:limit]
    )

"""Hints to the workers that a row of this room is due, sent after commit. The rows are the truth: a lost hint is found by the sweeper."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

from tenants.models import CarrierAccount, NumberOrder
from tenants.task import HEADER

log = structlog.get_logger(__name__)

ALIGN_ACCOUNT = "tenants.tasks.align_account"
RUN_ORDER = "tenants.tasks.run_order"


def nudge_account(account: CarrierAccount) -> None:
    transaction.on_commit(_sender(ALIGN_ACCOUNT, str(account.pk), str(account.tenant_id)))


def nudge_order(order: NumberOrder) -> None:
    transaction.on_commit(_sender(RUN_ORDER, str(order.pk), str(order.tenant_id)))


def _sender(task: str, row_id: str, tenant_id: str) -> Callable[[], None]:
    return partial(_send, task, row_id, tenant_id)


def _send(task: str, row_id: str, tenant_id: str) -> None:
    try:
        current_app.send_task(task, args=[row_id], headers={HEADER: tenant_id}, retry=False)
    except (OperationalError, OSError) as error:
        log.warning("nudge_lost", task=task, error=str(error)[:200])

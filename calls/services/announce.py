"""Hints that leave after commit: live events to the dashboards' groups, nudges to Celery. Blocks nobody; loses hints without Redis.

The rows are the truth (decision 8): a lost nudge is found by the sweeper, a lost event by the next page load. One daemon thread with a
loop of its own sends them, so that a Redis that hangs costs no webhook and no call a millisecond.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from celery import current_app
from channels.layers import get_channel_layer
from django.db import transaction

from calls.models import AfterStep, Call, WebhookDelivery
from tenants.task import HEADER

log = structlog.get_logger(__name__)

QUEUE_LENGTH = 2_000  # when full the hint is lost and counted
RUN_STEP = "calls.tasks.run_after_step"
DELIVER = "calls.tasks.deliver_webhook"
SEND_TIMEOUT_S = 2.0  # Redis answers in a millisecond or not at all

Send = Callable[[asyncio.AbstractEventLoop], None]


class Herald:
    """The thread and its queue; made anew after a fork."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Send] = queue.Queue(QUEUE_LENGTH)
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._lock = threading.Lock()
        self.lost = 0

    def put(self, send: Send) -> None:
        if self._pid != os.getpid() or self._thread is None:
            self._start()
        try:
            self._queue.put_nowait(send)
        except queue.Full:
            self.lost += 1

    def wait_until_sent(self) -> None:
        """Block until everything put so far has left (tests, orderly exits)."""
        if self._thread is not None and self._pid == os.getpid():
            self._queue.join()

    def _start(self) -> None:
        with self._lock:
            if self._pid == os.getpid() and self._thread is not None:
                return
            self._queue, self._pid = queue.Queue(QUEUE_LENGTH), os.getpid()
            self._thread = threading.Thread(target=self._run, args=(self._queue,), name="herald", daemon=True)
            self._thread.start()

    def _run(self, sends: queue.Queue[Send]) -> None:
        loop = asyncio.new_event_loop()
        while True:
            send = sends.get()
            try:
                send(loop)
            except Exception as error:  # a hint: whatever went wrong, the next one gets its turn
                self.lost += 1
                log.warning("hint_lost", error=f"{type(error).__name__}: {error}")
            finally:
                sends.task_done()


herald = Herald()


def live_group(tenant_id: uuid.UUID) -> str:
    return f"tenant.{tenant_id}.live"


def call_group(tenant_id: uuid.UUID, call_id: uuid.UUID) -> str:
    return f"tenant.{tenant_id}.call.{call_id}"


def announce_call(call: Call, **facts: Any) -> None:
    """After commit: tell the live board and the call's page that something about this call changed."""
    message = {"type": "call.changed", "call_id": str(call.pk), "state": str(call.state), **facts}
    groups = (live_group(call.tenant_id), call_group(call.tenant_id, call.pk))
    transaction.on_commit(lambda: herald.put(partial(_send_to_groups, groups, message)))


def nudge_steps(call: Call, steps: list[AfterStep]) -> None:
    """After commit: have Celery look at these steps now."""
    tenant_id, ids = call.tenant_id, [str(step.pk) for step in steps]
    if ids:
        transaction.on_commit(lambda: herald.put(partial(_nudge, RUN_STEP, tenant_id, ids)))


def nudge_deliveries(deliveries: list[WebhookDelivery]) -> None:
    """After commit: have Celery send these webhooks now."""
    for delivery in deliveries:
        tenant_id, ids = delivery.tenant_id, [str(delivery.pk)]
        transaction.on_commit(partial(herald.put, partial(_nudge, DELIVER, tenant_id, ids)))


SIDEBANDS = "sidebands"  # all control processes


def nudge_sidebands() -> None:
    """After commit: have the control processes look at once; without it they look every 500 ms (decision 5)."""
    herald.put(partial(_send_to_groups, (SIDEBANDS,), {"type": "sidebands.look"}))


def _send_to_groups(groups: tuple[str, ...], message: dict[str, Any], loop: asyncio.AbstractEventLoop) -> None:
    async def send() -> None:
        layer = get_channel_layer()
        async with asyncio.timeout(SEND_TIMEOUT_S):
            for group in groups:
                await layer.group_send(group, message)

    loop.run_until_complete(send())


def _nudge(task: str, tenant_id: uuid.UUID, row_ids: list[str], _loop: asyncio.AbstractEventLoop) -> None:
    # By name: the tasks stand above the services. The tenant travels in the header, as tenants.task would put it there.
    for row_id in row_ids:
        current_app.send_task(task, (row_id,), headers={HEADER: str(tenant_id)}, retry=False)

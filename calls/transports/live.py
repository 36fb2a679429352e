"""Shows live calls to the dashboards through the channel layer; never slows a call: per call only the newest word waits.

Groups: `tenant.<id>.live` (states and new turns of every call) and `tenant.<id>.call.<id>` (everything of one call). Messages are hints:
the rows are the truth, and consumers check membership on every event.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from uuid import UUID

import msgspec
import structlog
from channels.layers import get_channel_layer

from calls.session.commands import Command, RecordTurn, SetState
from calls.transports.ports import LiveCall

log = structlog.get_logger(__name__)

GATHER_S = 0.5  # a burst of one call becomes one message: people read slower, and each message costs the calls some CPU
SEND_TIMEOUT_S = 2.0  # Redis that takes longer is away
AWAY_S = 1.0  # between attempts meanwhile


class LivePublisher:
    def __init__(self) -> None:
        self._waiting: dict[tuple[UUID, bool], tuple[LiveCall, Command, float]] = {}  # bounded by the live calls
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="live publisher")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def publish(self, call: LiveCall, record: Command, *, at_ms: float) -> None:
        self._waiting[call.call_id, isinstance(record, SetState)] = (call, record, at_ms)
        self._news.set()

    async def _run(self) -> None:
        layer = get_channel_layer()
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHER_S)
            self._news.clear()
            gathered, self._waiting = self._waiting, {}
            for call, record, at_ms in gathered.values():
                try:
                    async with asyncio.timeout(SEND_TIMEOUT_S):
                        await self._send(layer, call, record, at_ms)
                except Exception as error:  # Redis is away (product 7.5): calls go on, pages catch up from the rows
                    log.info("live_view_unreachable", detail=str(error)[:200])
                    await asyncio.sleep(AWAY_S)
                    break

    async def _send(self, layer: Any, call: LiveCall, record: Command, at_ms: float) -> None:
        message = {
            "type": "call.record",
            "tenant_id": str(call.tenant_id),
            "call_id": str(call.call_id),
            "kind": type(record).__name__,
            "at_ms": round(at_ms),
            "record": msgspec.to_builtins(record),
        }
        await layer.group_send(f"tenant.{call.tenant_id}.call.{call.call_id}", message)
        if isinstance(record, SetState | RecordTurn):
            await layer.group_send(f"tenant.{call.tenant_id}.live", message)

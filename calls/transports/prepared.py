"""Model sessions made ready before they are needed, one registry a process; a session nobody claims is closed, none serves two calls.

`prepare` is called from the webhook's thread while the carrier still reads our TwiML; the stream claims the session when it lands here
(product 5.1.1). Spares (`MODEL_STANDBY`) are connected but not configured, because nobody knows yet for whom.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import structlog
from django.conf import settings

from agents.spec import AgentSpec
from calls.transports.model_socket import ModelOpenError, ModelSocket, configure_model, connect_model
from gateways.voice_model import make_endpoint

log = structlog.get_logger(__name__)

UNCLAIMED_S = 10.0  # product 5.1.1: closed after 10 s
SPARE_AGE_S = 300.0  # issue: a spare is recycled after 5 min; its age counts towards the 60-minute limit
RETRY_SPARE_S = 5.0  # a vendor that refuses spares is not asked without pause
MAX_PREPARED = 500  # more calls than one process serves; beyond it a call simply connects afresh


class PreparedModels:
    """All methods run on the loop's thread, but for `prepare`, which may be called from any."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._prepared: dict[str, asyncio.Task[ModelSocket]] = {}
        self._spares: list[ModelSocket] = []
        self._spare_model = ""
        self._keeper: asyncio.Task[None] | None = None
        self._chores: set[asyncio.Task[None]] = set()
        self._wanted = asyncio.Event()

    def bind(self) -> None:
        """Take the running loop as the one that serves streams. Cheap; called for every scope."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._prepared, self._spares, self._keeper = loop, {}, [], None
            self._wanted = asyncio.Event()

    def prepare(self, call_ref: str, spec: AgentSpec, *, end_user: str = "") -> None:
        """Begin a session for this call. Returns at once; does nothing where no loop serves streams (a shell, Celery)."""
        loop = self._loop
        if loop is not None and loop.is_running():
            loop.call_soon_threadsafe(self._begin, call_ref, spec, end_user)

    async def claim(self, call_ref: str, spec: AgentSpec, *, end_user: str = "") -> ModelSocket:
        """The session prepared for this call, a spare, or a fresh one. Raises ModelOpenError within the connect time-out."""
        self._learn(spec.realtime.model)
        task = self._prepared.pop(call_ref, None)
        if task is None:
            return await self._open(spec, end_user)
        try:
            socket = await task
            if socket.is_open:
                return socket
        except ModelOpenError as error:
            log.info("prepared_model_failed", cause=str(error.cause), detail=error.detail)
            if error.permanent:
                raise
        return await self._open(spec, end_user)  # what failed while nobody listened may have passed by now

    def discard(self, call_ref: str) -> None:
        """The call is over before its stream came."""
        task = self._prepared.pop(call_ref, None)
        if task is not None:
            self._do(self._close_task(task))

    async def close(self) -> None:
        """Close everything that nobody claimed."""
        if self._keeper is not None:
            self._keeper.cancel()
        tasks, self._prepared = list(self._prepared.values()), {}
        spares, self._spares = self._spares, []
        await asyncio.gather(*(self._close_task(task) for task in tasks), *(spare.close() for spare in spares))

    # --- inside ---------------------------------------------------------------------------------------------------

    def _begin(self, call_ref: str, spec: AgentSpec, end_user: str) -> None:
        if call_ref in self._prepared or len(self._prepared) >= MAX_PREPARED:
            return
        assert self._loop is not None  # noqa: S101 # prepare() checked
        self._learn(spec.realtime.model)
        task = self._loop.create_task(self._open(spec, end_user), name=f"prepare {call_ref}")
        self._prepared[call_ref] = task
        self._loop.call_later(UNCLAIMED_S, self._expire, call_ref, task)

    def _expire(self, call_ref: str, task: asyncio.Task[ModelSocket]) -> None:
        if self._prepared.get(call_ref) is task:
            log.info("prepared_model_unclaimed", call_ref=call_ref)
            self.discard(call_ref)

    async def _open(self, spec: AgentSpec, end_user: str) -> ModelSocket:
        timeout_s = settings.MODEL_CONNECT_TIMEOUT_S
        spare = self._take_spare(spec.realtime.model)
        if spare is not None:
            with contextlib.suppress(ModelOpenError):  # a spare that died of old age costs a moment, never the call
                await configure_model(spare, spec, timeout_s=timeout_s)
                return spare
        socket = await connect_model(make_endpoint(spec.realtime.model, end_user=end_user), timeout_s=timeout_s)
        await configure_model(socket, spec, timeout_s=timeout_s)
        return socket

    async def _close_task(self, task: asyncio.Task[ModelSocket]) -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ModelOpenError):
            await (await task).close()

    # --- spares ---------------------------------------------------------------------------------------------------

    def _learn(self, model: str) -> None:
        """Spares are of the model that was asked for last: its name is part of the address (openai-realtime.md §1.1)."""
        if settings.MODEL_STANDBY and self._loop is not None:
            self._spare_model = model
            if self._keeper is None or self._keeper.done():
                self._keeper = self._loop.create_task(self._keep_spares(), name="model spares")
            self._wanted.set()

    def _take_spare(self, model: str) -> ModelSocket | None:
        taken = next((spare for spare in self._spares if spare.is_open and spare.endpoint.model == model), None)
        if taken is not None:
            self._spares.remove(taken)
            self._wanted.set()
        return taken

    async def _keep_spares(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            old = [
                spare
                for spare in self._spares
                if not spare.is_open
                or loop.time() - spare.opened_at > SPARE_AGE_S
                or spare.endpoint.model != self._spare_model
            ]
            for spare in old:
                self._spares.remove(spare)
                self._do(spare.close())
            self._wanted.clear()
            try:
                while len(self._spares) < settings.MODEL_STANDBY:
                    endpoint = make_endpoint(self._spare_model)
                    self._spares.append(await connect_model(endpoint, timeout_s=settings.MODEL_CONNECT_TIMEOUT_S))
            except ModelOpenError as error:
                log.warning("model_spare_failed", cause=str(error.cause), detail=error.detail)
                await asyncio.sleep(RETRY_SPARE_S)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SPARE_S):  # also looks for spares that died or grew old
                    await self._wanted.wait()

    def _do(self, chore: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(chore)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)


prepared_models = PreparedModels()

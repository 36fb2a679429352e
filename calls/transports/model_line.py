"""The call's line to the model: the session of the moment, its replacement, and the sound it sent; translates and stores, never decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from calls.session import events as ev
from calls.session.events import Event
from calls.transports.ear import Ear, Hook
from calls.transports.model_socket import ModelOpenError, ModelSocket, cause_of_close
from calls.transports.ports import LiveCall, Models
from calls.wire.errors import WireError
from calls.wire.realtime import AudioDelta, Reader, Unknown

log = structlog.get_logger(__name__)

MAX_STRANGERS = 20  # kinds of events that we do not know, named once each in the log


class ModelLine:
    """Made with the bridge; `connect` puts a session in place, `close` ends it."""

    def __init__(
        self,
        call: LiveCall,
        models: Models,
        *,
        ear: Ear,
        deliver: Callable[[Event], None],
        note_error: Callable[[str], None],
        hooks: list[Hook],
    ) -> None:
        self.parts: dict[tuple[str, int], bytearray] = {}  # received audio by (item, part), until the session drops it
        self.is_leaving = False
        self._call = call
        self._models = models
        self._ear = ear
        self._deliver = deliver
        self._note_error = note_error
        self._hooks = hooks
        self._socket: ModelSocket | None = None
        self._attempts = 0
        self._reader = Reader()
        self._strangers: set[str] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def connect(self, agent: str) -> None:
        """Put a fresh session in place. Meanwhile the old one, if it lives, serves on (a renewal).

        Only the newest attempt counts.
        """
        self._attempts += 1
        attempt = self._attempts
        spec = self._call.plan.agents[agent]
        try:
            socket = await self._models.claim(self._call.ref, spec, end_user=self._call.end_user)
        except ModelOpenError as error:
            if attempt == self._attempts:
                self._deliver(ev.ModelLost(error.cause, error.code, error.detail[:500]))
            return
        if attempt != self._attempts or self.is_leaving:
            await socket.close()
            return
        old, self._socket = self._socket, socket
        if old is not None:
            old.detach()
            task = asyncio.get_running_loop().create_task(old.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self._reader = Reader()
        self._ear.connect(socket)
        age_ms = (asyncio.get_running_loop().time() - socket.opened_at) * 1000
        self._deliver(ev.ModelReady(socket.session_id, spec.realtime.model, age_ms))
        socket.attach(self._hear, self._lose)

    def send(self, event: bytes) -> None:
        """One client event."""
        if self._socket is None:
            log.info("model_event_without_model")  # the session learns of the loss by ModelLost
            return
        for hook in self._hooks:
            hook("out", event)
        self._socket.send(event)

    async def close(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.detach()
            await socket.close()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _hear(self, raw: bytes) -> None:
        """One server event."""
        for hook in self._hooks:
            hook("in", raw)
        try:
            news = self._reader.read(raw)
        except WireError as error:
            log.warning("model_event_malformed", detail=error.reason)
            self._note_error(error.reason)
            return
        if isinstance(news, AudioDelta):
            for event in news.before:
                self._deliver(event)
            key = (news.event.item_id, news.event.content_index)
            part = self.parts.get(key)
            if part is None:
                part = self.parts[key] = bytearray()
            part += news.audio
            self._deliver(news.event)
        elif isinstance(news, Unknown):
            if news.type not in self._strangers and len(self._strangers) < MAX_STRANGERS:
                self._strangers.add(news.type)
                log.info("model_event_unknown", type=news.type)
        else:
            for event in news:
                self._deliver(event)

    def _lose(self, code: int, reason: str) -> None:
        self._socket = None
        self._ear.disconnect()
        self._deliver(ev.ModelLost(cause_of_close(code), code, reason[:500]))

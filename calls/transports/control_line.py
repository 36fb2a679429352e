"""The control socket of a SIP call: attached with patience, attached again when it is lost, frames in and frames out. It never decides."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from calls.session import events as ev
from calls.session.events import Event
from calls.transports.ear import Hook
from calls.transports.model_socket import ModelOpenError, ModelSocket, connect_model
from calls.vocabulary import Cause
from calls.wire.errors import WireError
from calls.wire.realtime import AudioDelta, Unknown
from calls.wire.realtime_sip import SipReader, encode_retrieve
from gateways.voice_calls import sideband_endpoint

log = structlog.get_logger(__name__)

FIRST_S = 5.0  # openai-realtime.md §9.2: after accept the call may not be live yet; 404 is tried again up to 5 s
AGAIN_S = 1.0  # a call that was live and is unknown now has ended; a moment for the edge to make up its mind
PAUSES_S = (0.05, 0.1, 0.2, 0.4)  # between tries; then the last one
NOT_FOUND = 404
MAX_STRANGERS = 20


class CallOver(Exception):
    """The vendor does not know the call: it ended (§1.2)."""

    permanent = True


async def attach(model_call_id: str, model: str, *, end_user: str, patience_s: float) -> ModelSocket:
    """A control socket whose session was seen. Raises CallOver on lasting 404, ModelOpenError when nobody can be reached."""
    deadline = time.monotonic() + patience_s
    endpoint = sideband_endpoint(model_call_id, model, end_user=end_user)
    tries = 0
    while True:
        left_s = deadline - time.monotonic()
        try:
            return await connect_model(endpoint, timeout_s=max(left_s, 0.2))
        except ModelOpenError as error:
            pause_s = PAUSES_S[min(tries, len(PAUSES_S) - 1)]
            tries += 1
            is_refused = error.permanent and error.code != NOT_FOUND
            if is_refused or time.monotonic() + pause_s >= deadline:
                if error.code == NOT_FOUND:
                    raise CallOver(error.detail) from error
                raise
            await asyncio.sleep(pause_s)


class ControlLine:
    """Made with the driver; `take` puts a socket in place, `close` ends it."""

    def __init__(
        self,
        *,
        deliver: Callable[[Event], None],
        press: Callable[[str], None],
        lost: Callable[[int, str], None],
        note_error: Callable[[str], None],
        hooks: list[Hook],
    ) -> None:
        self._deliver = deliver
        self._press = press
        self._lost = lost
        self._note_error = note_error
        self._hooks = hooks
        self._socket: ModelSocket | None = None
        self._reader = SipReader()
        self._strangers: set[str] = set()

    @property
    def is_up(self) -> bool:
        return self._socket is not None

    def take(self, socket: ModelSocket, *, model: str, age_ms: float, attached: bool) -> None:
        """From now on this socket speaks for the call. `attached`: its session has been going on without us."""
        self._socket = socket
        self._reader = SipReader()
        if attached:
            self._reader.look_back()
        self._deliver(ev.ModelReady(socket.session_id, model, age_ms, attached))
        socket.attach(self._hear, self._lose)

    def send(self, event: bytes) -> None:
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

    def _hear(self, raw: bytes) -> None:
        for hook in self._hooks:
            hook("in", raw)
        try:
            news = self._reader.read(raw)
        except WireError as error:
            log.warning("model_event_malformed", detail=error.reason)
            self._note_error(error.reason)
            return
        if isinstance(news, Unknown):
            if news.type not in self._strangers and len(self._strangers) < MAX_STRANGERS:
                self._strangers.add(news.type)
                log.info("model_event_unknown", type=news.type)
            return
        if isinstance(news, AudioDelta):  # the reader drops sound; the type says that it might not
            return
        for event in news:
            if isinstance(event, ev.DigitPressed):
                self._press(event.digit)
            else:
                self._deliver(event)
        tail = self._reader.take_tail()
        if tail:
            self.send(encode_retrieve(tail, "tail"))

    def _lose(self, code: int, reason: str) -> None:
        self._socket = None
        self._lost(code, reason)


def explain_loss(error: ModelOpenError) -> ev.ModelLost:
    cause = error.cause if error.cause is not Cause.MODEL_REFUSED else Cause.MODEL_LOST
    return ev.ModelLost(cause, error.code, error.detail[:500])

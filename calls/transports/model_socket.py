"""One socket to the Realtime API: opened, configured and verified, then frames in and frames out; decides nothing.

The client is picows: it costs about half of what `websockets` does per frame (docs/decisions/015-media-server.md has the figures).
Opening: connect → `session.created` → `session.update` → `session.updated`, held against what was asked (openai-realtime.md §9.1).
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

import picows
import structlog
from picows import WSFrame, WSListener, WSMsgType, WSTransport

from agents.spec import AgentSpec
from calls.vocabulary import Cause
from calls.wire.errors import WireError
from calls.wire.realtime import read_session
from calls.wire.realtime_session import compare_session, describe_session, encode_update, spoils_audio
from gateways.voice_model import Endpoint

log = structlog.get_logger(__name__)

MAX_FRAME_BYTES = 16 * 1024 * 1024  # openai-realtime.md §4.1: events of up to 15 MiB
MAX_WAITING_FRAMES = 500  # 10 s of 20 ms frames while the socket does not drain; then the oldest audio goes
CLOSE_TIMEOUT_S = 1.0  # the call is over; a peer that does not answer our close is cut off
IDLE_PING_S = 20.0  # openai-realtime.md §1.6: the vendor's own client pings every 20 s and waits 20 s
NORMAL, ABNORMAL, NO_STATUS = 1000, 1006, 1005  # RFC 6455 §7.4.1
REFUSED_CLOSE = 3000  # §6.2: `invalid_request_error.<code>`, e.g. a bad key
QUOTA_CODES = frozenset({"insufficient_quota", "rate_limit_exceeded", "rate_limit_error"})  # §4.7, §4.8


class ModelOpenError(Exception):
    """A session could not be opened; `cause` is a vocabulary.Cause value."""

    def __init__(self, cause: Cause, detail: str, *, code: int = 0) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause = cause
        self.code = code
        self.detail = detail
        self.permanent = cause is Cause.MODEL_REFUSED


def cause_of_close(code: int) -> Cause:
    """What a close code of a running session means for the call (§6.2)."""
    return Cause.MODEL_REFUSED if code == REFUSED_CLOSE else Cause.MODEL_LOST


class ModelSocket(WSListener):
    """A connected session. Until `attach`, whatever arrives waits in order."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.session_id = ""
        self.opened_at = 0.0  # loop time; the vendor closes a session after 60 minutes (§6.1)
        self.dropped_frames = 0
        self._transport: WSTransport | None = None
        self._on_event: Callable[[bytes], None] | None = None
        self._on_close: Callable[[int, str], None] | None = None
        self._arrived: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._parts: list[bytes] = []
        self._closed: tuple[int, str] | None = None
        self._paused = False
        self._waiting_control: deque[bytes] = deque()
        self._waiting_audio: deque[bytes] = deque(maxlen=MAX_WAITING_FRAMES)

    # --- for the bridge -------------------------------------------------------------------------------------------

    def attach(self, on_event: Callable[[bytes], None], on_close: Callable[[int, str], None]) -> None:
        """From now on frames go to `on_event`, in order, starting with those that waited; the end goes to `on_close`, once."""
        self._on_event, self._on_close = on_event, on_close
        while self._arrived:
            on_event(self._arrived.popleft())
        if self._closed is not None:
            on_close(*self._closed)

    def detach(self) -> None:
        """Nothing of this session is of interest any more."""
        self._on_event, self._on_close = _ignore_event, _ignore_close

    def send(self, event: bytes) -> None:
        """Send a control event: never dropped, and ahead of audio that waits."""
        if self._paused:
            self._waiting_control.append(event)
        elif self._transport is not None:
            self._transport.send(WSMsgType.TEXT, event)

    def send_audio(self, event: bytes) -> None:
        """Send caller audio; when the socket does not drain, the oldest audio that waits is dropped and counted."""
        if not self._paused:
            if self._transport is not None:
                self._transport.send(WSMsgType.TEXT, event)
            return
        if len(self._waiting_audio) == MAX_WAITING_FRAMES:
            self.dropped_frames += 1
        self._waiting_audio.append(event)

    @property
    def is_open(self) -> bool:
        return self._transport is not None and self._closed is None

    async def close(self) -> None:
        """Close politely, and for certain within a second."""
        transport = self._transport
        if transport is None or self._closed is not None:
            return
        transport.send_close(picows.WSCloseCode.OK)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await transport.wait_disconnected()
        except TimeoutError:
            transport.disconnect(graceful=False)

    # --- opening --------------------------------------------------------------------------------------------------

    async def configure(self, session: dict[str, Any]) -> None:
        """Send the session and wait until the server says it took it. Raises ModelOpenError."""
        self.send(encode_update(session, event_id="session"))
        event = await self._await_event("session.updated")
        got = event.get("session")
        differences = compare_session(session, got if isinstance(got, dict) else {})
        if differences:
            summary = "; ".join(f"{path}: asked {asked!r}, got {got!r}" for path, asked, got in differences)[:1000]
            log.warning("model_session_differs", differences=summary)
            if spoils_audio(differences):  # the caller would hear loud static (§3.2 rule 4)
                raise ModelOpenError(Cause.MODEL_REFUSED, f"audio format not taken: {summary}")

    async def await_created(self) -> None:
        """Wait for the server's first word. Raises ModelOpenError."""
        event = await self._await_event("session.created")
        session = event.get("session")
        self.session_id = str(session.get("id") or "") if isinstance(session, dict) else ""

    async def _await_event(self, wanted: str) -> dict[str, Any]:
        """The caller bounds this wait."""
        while True:
            while self._arrived:
                try:
                    kind, event = read_session(self._arrived.popleft())
                except WireError as malformed:
                    log.warning("model_event_malformed", detail=malformed.reason)
                    continue
                if kind == wanted:
                    return event
                if kind == "error":
                    raise _explain_error(event.get("error") or {})
            if self._closed is not None:
                code, reason = self._closed
                cause = Cause.MODEL_REFUSED if code == REFUSED_CLOSE else Cause.MODEL_UNREACHABLE
                raise ModelOpenError(cause, reason or "closed while opening", code=code)
            self._news.clear()
            await self._news.wait()

    # --- picows' callbacks ----------------------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.TEXT or kind == WSMsgType.CONTINUATION:
            raw = frame.get_payload_as_bytes()
            if not frame.fin or self._parts:
                self._parts.append(raw)
                if not frame.fin:
                    return
                raw = b"".join(self._parts)
                self._parts.clear()
            if self._on_event is not None:
                self._on_event(raw)
            else:
                self._arrived.append(raw)
                self._news.set()
        elif kind == WSMsgType.CLOSE:
            payload = frame.get_payload_as_bytes()
            code = struct.unpack("!H", payload[:2])[0] if len(payload) >= 2 else NO_STATUS
            self._end(code, payload[2:].decode(errors="replace"))
            transport.send_close(picows.WSCloseCode.OK)
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._end(ABNORMAL, "connection lost")

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        for waiting in (self._waiting_control, self._waiting_audio):
            while waiting and not self._paused:
                assert self._transport is not None  # noqa: S101 # only a connected socket resumes
                self._transport.send(WSMsgType.TEXT, waiting.popleft())

    def _end(self, code: int, reason: str) -> None:
        if self._closed is None:
            self._closed = (code, reason)
            self._news.set()
            if self._on_close is not None:
                self._on_close(code, reason)


async def connect_model(endpoint: Endpoint, *, timeout_s: float) -> ModelSocket:
    """A socket whose session exists but is not configured. Raises ModelOpenError within the time."""
    socket = ModelSocket(endpoint)
    try:
        async with asyncio.timeout(timeout_s):
            await picows.ws_connect(
                lambda: socket,
                endpoint.url,
                extra_headers=endpoint.headers,
                websocket_handshake_timeout=timeout_s,
                max_frame_size=MAX_FRAME_BYTES,
                max_redirects=0,  # the key goes nowhere else
                enable_auto_ping=True,
                auto_ping_idle_timeout=IDLE_PING_S,
                auto_ping_reply_timeout=IDLE_PING_S,
            )
            await socket.await_created()
    except TimeoutError as error:
        await _abandon(socket)
        raise ModelOpenError(Cause.MODEL_UNREACHABLE, "no session in time") from error
    except picows.WSHandshakeError as error:
        raise _explain_handshake(error) from error
    except (OSError, picows.WSError) as error:
        raise ModelOpenError(Cause.MODEL_UNREACHABLE, f"{type(error).__name__}: {error}") from error
    except BaseException:
        await _abandon(socket)
        raise
    socket.opened_at = asyncio.get_running_loop().time()
    return socket


async def configure_model(socket: ModelSocket, spec: AgentSpec, *, timeout_s: float) -> None:
    """Make the session this agent's. Raises ModelOpenError within the time, and the socket is closed."""
    try:
        async with asyncio.timeout(timeout_s):
            await socket.configure(describe_session(spec))
    except TimeoutError as error:
        await _abandon(socket)
        raise ModelOpenError(Cause.MODEL_UNREACHABLE, "session.updated did not come") from error
    except BaseException:
        await _abandon(socket)
        raise


async def _abandon(socket: ModelSocket) -> None:
    socket.detach()
    await socket.close()


def _explain_error(error: dict[str, Any]) -> ModelOpenError:
    """An `error` event while opening: the session was not taken (§4.8)."""
    code = str(error.get("code") or error.get("type") or "")
    cause = Cause.MODEL_QUOTA if code in QUOTA_CODES else Cause.MODEL_REFUSED
    return ModelOpenError(cause, f"{code}: {error.get('message')} {error.get('param') or ''}".strip())


def _explain_handshake(error: picows.WSHandshakeError) -> ModelOpenError:
    """§1.2: 401 bad key, 403 no access, 404 unknown, 429 rate or quota; the rest is the server's or the network's trouble."""
    status = int(error.response.status) if error.response is not None else 0
    if status == 429:
        return ModelOpenError(Cause.MODEL_QUOTA, "handshake refused: 429", code=status)
    if 400 <= status < 500:
        return ModelOpenError(Cause.MODEL_REFUSED, f"handshake refused: {status}", code=status)
    return ModelOpenError(Cause.MODEL_UNREACHABLE, f"handshake failed: {status or 'no answer'}", code=status)


def _ignore_event(raw: bytes) -> None:
    return


def _ignore_close(code: int, reason: str) -> None:
    return

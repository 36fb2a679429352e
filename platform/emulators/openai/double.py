"""The OpenAI double: HTTP, sockets and its own control routes in one server, in-process or as a process.

    async with OpenAIDouble(DoubleConfig()) as double:
        double.api_base_url  # http://127.0.0.1:…/v1

It speaks for the vendor and therefore imports nothing of the product.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from types import TracebackType

from aiohttp import WSMsgType, web

from emulators.openai.config import DoubleConfig
from emulators.openai.control import add_control_routes
from emulators.openai.faults import ABNORMAL_CLOSURE, Fault, FaultKind, FaultQueue
from emulators.openai.hearing import Hearing
from emulators.openai.models import MODELS, RealtimeModel, access_model, choose_session_voice
from emulators.openai.script import Script
from emulators.openai.session import APPEND_MAX_BYTES, Closing, RealtimeSession, Shared
from emulators.openai.sip import SipEdge
from emulators.openai.wire import JsonObject, RequestError
from emulators.speech import Synthesiser, Voice

_INVALID_KEY_CLOSE = 3000  # §6.2
_FRAME_MAX_BYTES = APPEND_MAX_BYTES + 64 * 1024  # the largest append and the JSON around it
_CLOSE_WAIT_S = 1.0  # for the peer's half of the close handshake
_HANDSHAKE_CODES = {401: "invalid_api_key", 403: "permission_denied", 429: "rate_limit_exceeded", 500: "server_error"}


class OpenAIDouble:
    """Use as an async context manager. Everything here is for the thread of its event loop."""

    def __init__(self, config: DoubleConfig | None = None, *, script: Script | None = None) -> None:
        self.config = config or DoubleConfig()
        self.script = script or Script()
        self.sessions: list[RealtimeSession] = []
        self.session_count = 0
        self.synthesiser = Synthesiser(cache_dir=self.config.cache_dir)
        self.hearing = Hearing(unheard_text=self.config.unheard_text)
        self.faults = FaultQueue()
        self.shared = Shared(
            config=self.config,
            synthesiser=self.synthesiser,
            hearing=self.hearing,
            faults=self.faults,
            read_script=lambda: self.script,
        )
        self.sip = SipEdge(self)
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._stopped = asyncio.Event()
        self._sockets: set[web.WebSocketResponse] = set()
        self._arrived = asyncio.Condition()
        self._warmed: list[tuple[Script, Voice]] = []
        self._warming: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        return f"http://{self.config.host}:{self._port}"

    @property
    def api_base_url(self) -> str:
        """What OPENAI_BASE_URL is set to."""
        return f"{self.base_url}/v1"

    @property
    def realtime_url(self) -> str:
        return f"ws://{self.config.host}:{self._port}/v1/realtime"

    async def __aenter__(self) -> OpenAIDouble:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        app = web.Application(middlewares=[_answer_refusals], client_max_size=32 * 1024 * 1024)
        app.router.add_get("/v1/realtime", self._serve_realtime)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_get("/v1/models/{model_id}", self._show_model)
        add_control_routes(app, self)
        self.sip.add_routes(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_WAIT_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.config.host, self.config.port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self._stopped.set()
        await self.sip.stop()
        for task in self._warming:
            task.cancel()
        await asyncio.gather(*(_close_for_shutdown(socket) for socket in self._sockets))
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def register_clip(self, mulaw: bytes, text: str) -> None:
        """Call this before the clip is played: a double cannot hear, it knows clips by their bytes."""
        self.hearing.register(mulaw, text)

    def inject(self, fault: Fault) -> None:
        """The fault happens at its next moment; faults to live sessions are `RealtimeSession.strike`."""
        self.faults.add(fault)

    async def wait_for_session(self, index: int = 0, timeout_s: float = 5.0) -> RealtimeSession:
        """The session with that number, counted from 0 since the start. Raises TimeoutError."""

        async def find() -> RealtimeSession:
            async with self._arrived:
                await self._arrived.wait_for(lambda: self.session_count > index)
            return next(session for session in self.sessions if session.index == index)

        return await asyncio.wait_for(find(), timeout_s)

    def warm_up(self, voice: Voice) -> None:
        """Synthesises what the script says as it stands, once per script and voice, off the event loop."""
        if any(script is self.script and known == voice for script, known in self._warmed):
            return
        self._warmed.append((self.script, voice))

        async def speak_all(texts: list[str]) -> None:
            for text in texts:
                await self.synthesiser.speak_soon(text, voice=voice)

        task = asyncio.get_running_loop().create_task(speak_all(self.script.list_fixed_texts()))
        self._warming.add(task)
        task.add_done_callback(self._warming.discard)

    # REST.

    async def _list_models(self, request: web.Request) -> web.Response:
        self.check_key(request)
        return web.json_response({"object": "list", "data": [model.describe() for model in MODELS.values()]})

    async def _show_model(self, request: web.Request) -> web.Response:
        self.check_key(request)
        return web.json_response(access_model(request.match_info["model_id"]).describe())

    def check_key(self, request: web.Request) -> None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if not key:
            raise RequestError(
                "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                "Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
                status=401,
            )
        if scheme.lower() != "bearer" or key not in self.config.api_keys:
            hidden = f"{key[:3]}***{key[-2:]}" if len(key) > 8 else "***"
            raise RequestError(f"Incorrect API key provided: {hidden}.", code="invalid_api_key", status=401)

    # The Realtime socket.

    async def _serve_realtime(self, request: web.Request) -> web.StreamResponse:
        index = self.session_count
        await self._pass_handshake_faults(index)
        await asyncio.sleep(self.config.timing.handshake_ms / 1000)
        if "realtime=v1" in request.headers.get("OpenAI-Beta", ""):  # §1.2
            raise RequestError(
                "The Realtime beta API is no longer supported. Remove the OpenAI-Beta header.",
                code="invalid_request_error",
            )
        if "call_id" in request.query:
            return await self._serve_sideband(request)
        refusal, model = self._check_session(request)
        if refusal is not None and refusal.status != _INVALID_KEY_CLOSE:
            raise refusal
        socket = web.WebSocketResponse(compress=False, max_msg_size=_FRAME_MAX_BYTES, timeout=_CLOSE_WAIT_S)
        if not socket.can_prepare(request).ok:
            raise RequestError("This endpoint requires a WebSocket upgrade.")
        await socket.prepare(request)
        if refusal is not None or model is None:
            await _close_refused(socket, refusal)
            return socket
        session = RealtimeSession(self.shared, index=self.session_count, model=model, headers=_read_headers(request))
        await self._serve_session(request, socket, session)
        return socket

    async def _serve_sideband(self, request: web.Request) -> web.StreamResponse:
        """§1.1: control of a call that is live; its sound stays on the SIP leg."""
        self.check_key(request)
        session = self.sip.find_live(request.query["call_id"])
        socket = web.WebSocketResponse(compress=False, max_msg_size=_FRAME_MAX_BYTES, timeout=_CLOSE_WAIT_S)
        if not socket.can_prepare(request).ok:
            raise RequestError("This endpoint requires a WebSocket upgrade.")
        await socket.prepare(request)
        self._sockets.add(socket)
        outbox = session.attach()
        writer = asyncio.get_running_loop().create_task(_write(request, socket, outbox))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    session.receive(message.data)
        finally:
            self._sockets.discard(socket)
            session.detach(outbox)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        return socket

    def next_index(self) -> int:
        return self.session_count

    def enter(self, session: RealtimeSession) -> None:
        """The session is one of the double's from now on."""
        self.sessions.append(session)
        del self.sessions[: -self.config.remembered_sessions]
        self.session_count += 1
        session.on_settings = self.warm_up
        self.warm_up(choose_session_voice(session.settings))
        self._wake_later()

    def _wake_later(self) -> None:
        async def wake() -> None:
            async with self._arrived:
                self._arrived.notify_all()

        task = asyncio.get_running_loop().create_task(wake())
        self._warming.add(task)
        task.add_done_callback(self._warming.discard)

    def _check_session(self, request: web.Request) -> tuple[RequestError | None, RealtimeModel | None]:
        """A refusal with status 3000 comes after the upgrade, any other instead of it (§1.2)."""
        switches = self.config.switches
        try:
            self.check_key(request)
        except RequestError as refusal:
            if refusal.code == "invalid_api_key" and switches.invalid_key == "close_3000":
                refusal.status = _INVALID_KEY_CLOSE
            return refusal, None
        model_id = request.query.get("model")
        if model_id is None:
            message = "Missing required parameter: 'model'."
            return RequestError(message, code="missing_required_parameter", param="model"), None
        try:
            return None, access_model(model_id)
        except RequestError as refusal:
            if switches.unknown_model == "error_then_close":
                refusal.status = _INVALID_KEY_CLOSE
            return refusal, None

    async def _pass_handshake_faults(self, index: int) -> None:
        if self.faults.take(FaultKind.HANG_HANDSHAKE, session_index=index):
            await self._stopped.wait()  # the client gives up long before
        fault = self.faults.take(FaultKind.REFUSE_HANDSHAKE, session_index=index)
        if fault is not None:
            code = _HANDSHAKE_CODES.get(fault.status, fault.code)
            kind = "server_error" if fault.status >= 500 else "invalid_request_error"
            message = fault.message or f"The request was refused: {code}."
            raise RequestError(message, code=code, status=fault.status, type=kind)

    async def _serve_session(
        self, request: web.Request, socket: web.WebSocketResponse, session: RealtimeSession
    ) -> None:
        self._sockets.add(socket)
        self.sessions.append(session)
        del self.sessions[: -self.config.remembered_sessions]
        self.session_count += 1
        session.on_settings = self.warm_up
        session.open()
        async with self._arrived:
            self._arrived.notify_all()
        writer = asyncio.get_running_loop().create_task(_write(request, socket, session.outbox))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    session.receive(message.data)
                elif message.type is WSMsgType.BINARY:
                    session.emit_error(
                        RequestError("Binary frames are not supported.", code="invalid_event"), event_id=None
                    )
        finally:
            self._sockets.discard(socket)
            session.close(socket.close_code)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer


def _read_headers(request: web.Request) -> dict[str, str]:
    """For assertions on organisation, project and safety identifier; a key is nobody's to keep."""
    return {name: value for name, value in request.headers.items() if name.lower() != "authorization"}


async def _write(request: web.Request, socket: web.WebSocketResponse, outbox: asyncio.Queue[bytes | Closing]) -> None:
    """The one writer of the socket."""
    while True:
        frame = await outbox.get()
        if isinstance(frame, Closing):
            if frame.code == ABNORMAL_CLOSURE:
                if request.transport is not None:
                    request.transport.abort()
            else:
                await socket.close(code=frame.code, message=frame.reason.encode())
            return
        try:
            await socket.send_frame(frame, WSMsgType.TEXT)
        except ConnectionError:  # the client is gone; the reader notices too and ends the session
            return


async def _close_for_shutdown(socket: web.WebSocketResponse) -> None:
    with contextlib.suppress(TimeoutError):  # a peer that does not answer is dropped with the server
        await asyncio.wait_for(socket.close(code=1001, message=b"server shutting down"), _CLOSE_WAIT_S)


async def _close_refused(socket: web.WebSocketResponse, refusal: RequestError | None) -> None:
    """§1.2 and §6.2: the upgrade succeeded, and then the session is refused."""
    refusal = refusal or RequestError("The session was refused.")
    event: JsonObject = {
        "type": "error",
        "event_id": "event_refused",
        "error": {**refusal.describe(), "event_id": None},
    }
    await socket.send_json(event)
    await socket.close(code=_INVALID_KEY_CLOSE, message=f"{refusal.type}.{refusal.code}".encode())


@web.middleware
async def _answer_refusals(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """§1.4: every error over HTTP has the same body."""
    try:
        return await handler(request)
    except RequestError as refusal:
        return web.json_response({"error": refusal.describe()}, status=refusal.status)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as missing:
        message = f"Invalid URL ({request.method} {request.path})"
        return web.json_response({"error": RequestError(message).describe()}, status=missing.status)

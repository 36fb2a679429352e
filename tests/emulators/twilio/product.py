"""A tiny application in the product's place: it answers webhooks with literal TwiML and takes media sockets."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from emulators.twilio.signing import sign_form, sign_url

TOKEN = "12345"
ACCOUNT = "AC00000000000000000000000000000001"
NUMBER = "+15550000000"
NUMBER_SID = "PN00000000000000000000000000000001"


@dataclass(frozen=True)
class Hit:
    method: str
    path: str
    headers: dict[str, str]
    params: dict[str, str]
    signed: bool


@dataclass
class Peer:
    """The product's end of one media socket."""

    ws: web.WebSocketResponse
    url: str
    signed: bool
    transport: asyncio.Transport
    received: list[dict[str, Any]] = field(default_factory=list)

    async def next(self) -> dict[str, Any]:
        message = await asyncio.wait_for(self.ws.receive(), 10)
        if message.type is not WSMsgType.TEXT:
            raise ConnectionError(f"the socket gave {message.type}")
        decoded: dict[str, Any] = json.loads(message.data)
        self.received.append(decoded)
        return decoded

    async def until(self, event: str) -> dict[str, Any]:
        while True:
            message = await self.next()
            if message["event"] == event:
                return message

    async def collect(self) -> list[dict[str, Any]]:
        """Everything until the carrier closes the socket."""
        async for message in self.ws:
            self.received.append(json.loads(message.data))
        return self.received

    @property
    def sid(self) -> str:
        return next(str(message["streamSid"]) for message in self.received if message["event"] == "start")

    async def start(self) -> dict[str, Any]:
        return await self.until("start")

    async def media(self, audio: bytes) -> None:
        await self.ws.send_json(
            {"event": "media", "streamSid": self.sid, "media": {"payload": base64.b64encode(audio).decode()}}
        )

    async def mark(self, name: str) -> None:
        await self.ws.send_json({"event": "mark", "streamSid": self.sid, "mark": {"name": name}})

    async def clear(self) -> None:
        await self.ws.send_json({"event": "clear", "streamSid": self.sid})


Handler = Callable[[Peer], Awaitable[None]]
Responder = Callable[[Hit], web.Response]


class Product:
    def __init__(self) -> None:
        self.hits: list[Hit] = []
        self.base_url = ""
        self._answers: dict[str, list[web.Response | str | Responder]] = {}
        self._sockets: dict[str, Handler] = {}
        self._delays: dict[str, float] = {}
        self._arrived = asyncio.Condition()
        self.peers: list[Peer] = []
        self.failures: list[BaseException] = []

    async def __aenter__(self) -> Product:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.base_url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        if self.failures:
            raise self.failures[0]

    @property
    def ws_url(self) -> str:
        return self.base_url.replace("http", "ws", 1)

    def answer(self, path: str, *answers: web.Response | str | Responder) -> None:
        """One after the other; the last one stays. Text is TwiML inside <Response>."""
        self._answers[path] = list(answers)

    def delay(self, path: str, seconds: float) -> None:
        self._delays[path] = seconds

    def delay_socket(self, path: str, seconds: float) -> None:
        self._delays[path] = seconds

    def socket(self, path: str, handler: Handler) -> None:
        self._sockets[path] = handler

    def hits_of(self, path: str) -> list[Hit]:
        return [hit for hit in self.hits if hit.path.partition("?")[0] == path]

    async def hit(self, path: str, count: int = 1) -> Hit:
        """The `count`-th request of that path, waited for."""
        async with asyncio.timeout(10), self._arrived:
            await self._arrived.wait_for(lambda: len(self.hits_of(path)) >= count)
        return self.hits_of(path)[count - 1]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._take_socket(request)
        url = self.base_url + request.raw_path
        form = {name: str(value) for name, value in (await request.post()).items()}
        signature = request.headers.get("X-Twilio-Signature", "")
        expected = sign_form(url, form.items(), token=TOKEN) if request.method == "POST" else sign_url(url, token=TOKEN)
        params = form if request.method == "POST" else dict(request.query)
        hit = Hit(request.method, request.raw_path, dict(request.headers), params, signature == expected)
        self.hits.append(hit)
        async with self._arrived:
            self._arrived.notify_all()
        await asyncio.sleep(self._delays.get(request.path, 0.0))
        answers = self._answers.get(request.path, ["<Response/>"])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            answer = answer(hit)
        if isinstance(answer, str):
            body = answer if answer.startswith("<Response") else f"<Response>{answer}</Response>"
            return web.Response(text=body, content_type="text/xml")
        # An aiohttp response object serves once: a fresh one with the same content.
        return web.Response(body=answer.body, status=answer.status, headers=answer.headers)

    async def _take_socket(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(self._delays.get(request.path, 0.0))
        handler = self._sockets.get(request.raw_path)
        if handler is None:
            return web.Response(status=403)
        url = self.ws_url + request.raw_path
        ws = web.WebSocketResponse(max_msg_size=0)
        await ws.prepare(request)
        signed = request.headers.get("X-Twilio-Signature") == sign_url(url, token=TOKEN)
        assert request.transport is not None
        peer = Peer(ws, url, signed, request.transport)
        self.peers.append(peer)
        try:
            await handler(peer)
        except (Exception, asyncio.CancelledError) as error:
            if not isinstance(error, ConnectionError | asyncio.CancelledError):
                self.failures.append(error)
        await ws.close()
        return ws

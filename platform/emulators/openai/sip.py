"""The double's SIP edge: invitations over a link, signed webhooks, accept, reject, refer and hang-up (openai-realtime.md §1.3, §1.4, §2).

The link stands for SIP and RTP between a carrier's double and this one: a socket at `/_double/sip`, JSON for signalling and binary frames
of 20 ms μ-law for sound. Nothing of it is any vendor's.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
import orjson
from aiohttp import WSMsgType, web

from emulators.openai.config import DoubleConfig
from emulators.openai.faults import Fault, FaultKind, FaultQueue
from emulators.openai.models import access_model
from emulators.openai.session import Closing, Shared
from emulators.openai.sip_session import SipSession
from emulators.openai.wire import JsonObject, RequestError, make_id

logger = logging.getLogger(__name__)

_WEBHOOK_LIMIT_S = 5.0  # §2.3: "a few seconds"
_RETRIES_S = (0.5, 1.0, 2.0, 4.0)  # exponential; the vendor goes on for 72 h, no caller rings that long
_NO_CALL = "No session found for the provided call_id"


@dataclass(eq=False)
class SipCall:
    """One invitation and what became of it."""

    headers: list[tuple[str, str]]
    link: web.WebSocketResponse
    speed: float
    id: str = field(default_factory=lambda: make_id("rtc"))
    state: str = "ringing"  # ringing, live, ended
    session: SipSession | None = None
    refers: list[str] = field(default_factory=list)
    invited_at: float = field(default_factory=time.monotonic)
    accepted_at: float | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    accepts: int = 0
    ended_by: str = ""

    def tell(self, message: JsonObject) -> None:
        if not self.link.closed:
            asyncio.ensure_future(self._send(orjson.dumps(message).decode()))  # noqa: RUF006 - the link outlives it

    async def _send(self, text: str) -> None:
        with contextlib.suppress(ConnectionError):
            await self.link.send_str(text)

    def play(self, frame: bytes) -> None:
        if not self.link.closed:
            asyncio.ensure_future(self._play(frame))  # noqa: RUF006 - the link outlives it

    async def _play(self, frame: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            await self.link.send_bytes(frame)

    def end(self, by: str, *, code: int | None = None) -> None:
        """Over, whoever ended it: the leg, the session and every control socket."""
        if self.state == "ended":
            return
        was_live, self.state, self.ended_by = self.state == "live", "ended", by
        self.tell({"bye": True} if was_live else {"reject": code or 603})
        if self.session is not None:
            self.session.fanout.put_nowait(Closing(1000))
            self.session.close(1000)
        self.ended.set()


class Host(Protocol):
    """The double as its SIP edge sees it."""

    config: DoubleConfig
    faults: FaultQueue

    @property
    def shared(self) -> Shared: ...

    def check_key(self, request: web.Request) -> None: ...

    def enter(self, session: SipSession) -> None: ...

    def next_index(self) -> int: ...


class SipEdge:
    """`webhook_url` and `webhook_secret` may be set at any time; without a URL nobody is told of a call."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.calls: dict[str, SipCall] = {}
        self.webhook_url = host.config.webhook_url
        self.webhook_secret = host.config.webhook_secret
        self.deliveries: list[JsonObject] = []
        self._client: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/_double/sip", self._serve_link)
        app.router.add_post("/_double/webhook", self._set_webhook)
        app.router.add_get("/_double/calls", self._list_calls)
        for action in (self.accept, self.reject, self.refer, self.hangup):
            app.router.add_post(f"/v1/realtime/calls/{{call_id}}/{action.__name__}", self._guarded(action))

    async def stop(self) -> None:
        for call in self.calls.values():
            call.end("double")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for call in self.calls.values():
            if not call.link.closed:
                await call.link.close()
        if self._client is not None:
            await self._client.close()

    def find_live(self, call_id: str) -> SipSession:
        """The session a control socket attaches to. Raises RequestError 404 for a call that is not live (§1.2)."""
        call = self.calls.get(call_id)
        if call is None or call.state != "live" or call.session is None:
            raise RequestError(_NO_CALL, code="call_id_not_found", status=404)
        return call.session

    # --- REST -----------------------------------------------------------------------------------------------------

    def _guarded(
        self, action: Callable[[SipCall, JsonObject], Awaitable[None]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            self._host.check_key(request)
            raw = await request.read()
            try:
                body = orjson.loads(raw) if raw else {}
            except orjson.JSONDecodeError as error:
                raise RequestError(f"Could not parse the body as JSON: {error}", code="invalid_json") from None
            if not isinstance(body, dict):
                raise RequestError("The body must be a JSON object.", code="invalid_type")
            call = self.calls.get(request.match_info["call_id"])
            if call is None or call.state == "ended":
                raise RequestError(_NO_CALL, code="call_id_not_found", status=404)
            await action(call, body)
            return web.Response(status=200)

        return answer

    def _take(self, kind: FaultKind) -> Fault | None:
        return self._host.faults.take(kind, session_index=-1)

    async def accept(self, call: SipCall, body: JsonObject) -> None:
        call.accepts += 1
        if hang := self._take(FaultKind.HANG_ACCEPT):
            await asyncio.sleep(hang.delay_ms / 1000)
        if refused := self._take(FaultKind.REFUSE_ACCEPT):
            raise RequestError(refused.message or "The request was refused.", code=refused.code, status=refused.status)
        await asyncio.sleep(self._host.config.timing.accept_ms / 1000)
        if call.state == "live":
            raise RequestError("The call has already been accepted.", code="call_already_accepted", status=409)
        if call.state == "ended":  # it left while we worked
            raise RequestError(_NO_CALL, code="call_id_not_found", status=404)
        model = access_model(str(body.get("model") or ""))
        session = SipSession(
            self._host.shared,
            index=self._host.next_index(),
            model=model,
            headers={},
            play=call.play,
            speed=call.speed,
        )
        session.configure(body)
        call.session, call.state, call.accepted_at = session, "live", time.monotonic()
        session.on_expired = lambda: call.end("session expired")
        self._host.enter(session)
        session.begin()
        call.tell({"answer": True})
        if dying := self._take(FaultKind.DIE_AFTER_ACCEPT):
            asyncio.get_running_loop().call_later(dying.delay_ms / 1000, call.end, "fault")

    async def reject(self, call: SipCall, body: JsonObject) -> None:
        if call.state != "ringing":
            raise RequestError("Only a ringing call can be rejected.", code="invalid_request_error")
        code = body.get("status_code", 603)
        if not isinstance(code, int) or not 300 <= code <= 699:
            raise RequestError("Invalid status_code.", code="invalid_value", param="status_code")
        call.end("rejected", code=code)

    async def refer(self, call: SipCall, body: JsonObject) -> None:
        target = body.get("target_uri")
        if not isinstance(target, str) or not target.startswith(("tel:", "sip:")):
            raise RequestError("Missing or invalid target_uri.", code="invalid_value", param="target_uri")
        if call.state != "live":
            raise RequestError(_NO_CALL, code="call_id_not_found", status=404)
        call.refers.append(target)
        if not self._take(FaultKind.REFER_UNHEARD):
            call.tell({"refer": target})  # 200 means "relayed"

    async def hangup(self, call: SipCall, body: JsonObject) -> None:
        call.end("hangup")

    # --- the link -------------------------------------------------------------------------------------------------

    async def _serve_link(self, request: web.Request) -> web.StreamResponse:
        link = web.WebSocketResponse(compress=False)
        await link.prepare(request)
        call: SipCall | None = None
        try:
            async for message in link:
                if message.type is WSMsgType.BINARY:
                    if call is not None and call.session is not None:
                        call.session.hear(message.data)
                elif message.type is WSMsgType.TEXT:
                    said = orjson.loads(message.data)
                    if "invite" in said and call is None:
                        call = self._ring(link, said["invite"])
                    elif "digit" in said and call is not None and call.session is not None:
                        event = {"type": "input_audio_buffer.dtmf_event_received", "event": said["digit"]}
                        call.session.send(event | {"received_at": int(time.time())})
                    elif "bye" in said:
                        break
        finally:
            if call is not None:
                call.end("carrier")
        return link

    def _ring(self, link: web.WebSocketResponse, invite: JsonObject) -> SipCall | None:
        """§1.3: the project stands in the user part; another one's calls are not ours."""
        uri = str(invite.get("to", ""))
        project = uri.partition(":")[2].partition("@")[0]
        headers = [(str(name), str(value)) for name, value in invite.get("headers", [])]
        call = SipCall(headers, link, float(invite.get("speed", 1.0)))
        wanted = self._host.config.project
        if wanted and project != wanted:
            call.tell({"reject": 404})
            return None
        self.calls[call.id] = call
        call.tell({"ringing": True})
        task = asyncio.get_running_loop().create_task(self._announce(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return call

    # --- webhooks -------------------------------------------------------------------------------------------------

    async def _announce(self, call: SipCall) -> None:
        if not self.webhook_url or self._take(FaultKind.NO_WEBHOOK):
            return
        data: JsonObject = {
            "call_id": call.id,
            "sip_headers": [{"name": name, "value": value} for name, value in call.headers],
            "sip_media_security": "rtp",
        }
        deliveries = [self._deliver("realtime.call.incoming", data, call)]
        if self._take(FaultKind.LIVE_WEBHOOK_TOO):  # §1.7: both products are subscribed to
            live = {"type": "sip", "session_id": make_id("live"), "sip_headers": data["sip_headers"]}
            deliveries.insert(0, self._deliver("live.transport.incoming", live, call))
        if self._take(FaultKind.SECOND_WEBHOOK):  # §2.3: duplicates are possible, also under another id
            deliveries.append(self._deliver("realtime.call.incoming", data, call))
        await asyncio.gather(*deliveries)

    async def _deliver(self, kind: str, data: JsonObject, call: SipCall) -> None:
        """§2.1, §2.3: until a 2xx, or until nobody rings any more."""
        event = {"object": "event", "id": make_id("evt"), "type": kind, "created_at": int(time.time()), "data": data}
        body = orjson.dumps(event)
        webhook_id = make_id("wh")
        for pause_s in (*_RETRIES_S, None):
            status = await self._post(body, webhook_id)
            self.deliveries.append({"id": webhook_id, "type": kind, "call_id": call.id, "status": status})
            if 200 <= status < 300 or pause_s is None or call.state != "ringing":
                return
            await asyncio.sleep(pause_s)

    async def _post(self, body: bytes, webhook_id: str) -> int:
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_WEBHOOK_LIMIT_S))
        headers = sign_webhook(body, secret=self.webhook_secret, webhook_id=webhook_id, now=time.time())
        try:
            async with self._client.post(self.webhook_url, data=body, headers=headers) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            logger.info("webhook %s: %s", webhook_id, error)
            return 0

    # --- control --------------------------------------------------------------------------------------------------

    async def _set_webhook(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        self.webhook_url = str(body.get("url", self.webhook_url))
        self.webhook_secret = str(body.get("secret", self.webhook_secret))
        return web.json_response({"url": self.webhook_url})

    async def _list_calls(self, request: web.Request) -> web.Response:
        shown = [
            {
                "id": call.id,
                "state": call.state,
                "ended_by": call.ended_by,
                "accepts": call.accepts,
                "refers": call.refers,
                "session_index": call.session.index if call.session else None,
            }
            for call in self.calls.values()
        ]
        return web.json_response({"calls": shown, "deliveries": self.deliveries})


def sign_webhook(body: bytes, *, secret: str, webhook_id: str, now: float) -> dict[str, str]:
    """§2.2, Standard Webhooks."""
    sent_at = str(int(now))
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    digest = hmac.new(key, f"{webhook_id}.{sent_at}.".encode() + body, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": sent_at,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }

"""The carrier's media socket as a Channels consumer with its own loop (decision 3): checks who knocks, then hands over to a bridge.

Channels' stock dispatch hops to a thread for every message; this consumer reads the socket itself. Refusals come before the socket is
accepted (HTTP 403, twilio.md §1.3): Twilio then runs the verb after `<Connect>`, so no caller is left in silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import structlog

from calls.session.machine import CallSession
from calls.transports.asgi_socket import AsgiSocket, Receive, Send
from calls.transports.bridge import Bridge
from calls.transports.debug import watch_call
from calls.transports.frame_socket import FrameSocket
from calls.transports.ports import CarrierSocket, Desk, LiveCall, Redeem, Tools
from calls.transports.process import MediaProcess, current_process
from calls.wire.errors import WireError
from calls.wire.media_streams import MAX_FRAME_CHARS, Connected, Media, MediaFormat, Start, parse

log = structlog.get_logger(__name__)

START_S = 10.0  # product 5.1.1 holds a prepared session as long; Twilio sends `start` right after `connected` (twilio.md §1.4)
ADMIT_S = 5.0  # two row reads and a conditional update; beyond it the database is away and the next verb must decide
MAX_EARLY_FRAMES = 500  # frames before `start`: 10 s of audio that nobody asked for
CLOSE_NORMAL, CLOSE_REFUSED, CLOSE_TRY_LATER = 1000, 1008, 1013  # RFC 6455 §7.4.1
EXPECTED_FORMAT = MediaFormat()
COMPILED_FRAMES = "switchboard.frames"  # our server's ASGI extension: hands the open socket to a FrameSocket

Scope = dict[str, Any]


class House(Protocol):
    """What the door asks of the rest: rows, secrets and rules."""

    async def check_handshake(self, ref: str, *, path: str, signature: str) -> bool:
        """Whether the carrier signed this very address with the token of the account that owns the call."""

    async def check_page(self, ref: str, *, origin: str) -> bool:
        """Whether a page of that origin began this test call and nobody has answered it yet."""

    async def admit(self, ref: str, start: Start) -> LiveCall | None:
        """Use up the ticket, take the lease, read the plan. None when the ticket does not hold."""

    def release(self, call: LiveCall, *, reason: str, fault: str, is_over: bool) -> None:
        """The bridge is done: give the lease back, soon. `is_over`: the carrier said that the caller is gone."""

    @property
    def desk(self) -> Desk: ...

    def make_tools(self, call: LiveCall, redeem: Redeem) -> Tools: ...


class Refused(Exception):
    """The peer may not have a bridge; `code` closes the socket."""

    def __init__(self, reason: str, *, code: int = CLOSE_REFUSED) -> None:
        super().__init__(reason)
        self.code = code


class MediaStreams:
    """One carrier socket. Mounted by `as_asgi`."""

    def __init__(self, house: House, scope: Scope, receive: Receive, send: Send) -> None:
        self._house = house
        self._scope = scope
        self._receive = receive
        self._send = send
        self._ref: str = scope["url_route"]["kwargs"]["ref"]

    @classmethod
    def as_asgi(cls, make_house: Callable[[], House]) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        async def media_streams(scope: Scope, receive: Receive, send: Send) -> None:
            await cls(make_house(), scope, receive, send).serve()

        return media_streams

    async def serve(self) -> None:
        message = await self._receive()
        if message["type"] != "websocket.connect":
            return
        process = current_process()
        process.start(kind="web")  # `run_media` started it long before; under daphne the first socket does
        if process.draining or not await self._may_enter():
            await self._send({"type": "websocket.close", "code": CLOSE_REFUSED})  # not accepted yet: becomes HTTP 403
            return
        socket = await self._accept()
        code = CLOSE_NORMAL
        try:
            await self._bridge(process, socket)
        except Refused as refusal:
            log.warning("stream_refused", reason=str(refusal), call_ref=self._ref)
            code = refusal.code
        except ConnectionResetError:
            return  # gone before it began
        await socket.close(code)

    async def _accept(self) -> CarrierSocket:
        """The compiled socket where the server offers one, plain ASGI elsewhere."""
        take_over = self._scope.get("extensions", {}).get(COMPILED_FRAMES)
        if take_over is not None:
            socket = FrameSocket(max_message_bytes=MAX_FRAME_CHARS)
            take_over(socket)
            return socket
        await self._send({"type": "websocket.accept"})
        return AsgiSocket(self._receive, self._send)

    async def _may_enter(self) -> bool:
        headers = dict(self._scope["headers"])
        signature = headers.get(b"x-twilio-signature", b"").decode("latin-1")
        if not signature:
            return False
        # The path as sent, still percent-encoded; some servers put the query into raw_path (twilio.md §3.4).
        raw = self._scope.get("raw_path") or self._scope["path"].encode()
        path = raw.decode("latin-1").partition("?")[0]
        try:
            async with asyncio.timeout(ADMIT_S):
                return await self._house.check_handshake(self._ref, path=path, signature=signature)
        except TimeoutError:
            log.warning("handshake_check_timed_out", call_ref=self._ref)
            return False

    async def _bridge(self, process: MediaProcess, socket: CarrierSocket) -> None:
        try:
            async with asyncio.timeout(START_S):
                start = await self._await_start(socket)
        except TimeoutError as error:
            raise Refused("no start in time") from error
        if start.start.media_format != EXPECTED_FORMAT:
            raise Refused(f"media format {start.start.media_format}")
        try:
            async with asyncio.timeout(ADMIT_S):
                await process.wait_registered(ADMIT_S)  # the lease will name it
                call = await self._admit(start)
        except TimeoutError as error:
            raise Refused("the store is away", code=CLOSE_TRY_LATER) from error
        if call is None:
            raise Refused("ticket refused")
        with structlog.contextvars.bound_contextvars(tenant_id=str(call.tenant_id), call_id=str(call.call_id)):
            await self._serve_call(process, call, socket, start.stream_sid)

    async def _admit(self, start: Start) -> LiveCall | None:
        return await self._house.admit(self._ref, start)

    async def _serve_call(self, process: MediaProcess, call: LiveCall, socket: CarrierSocket, stream_sid: str) -> None:
        bridge = Bridge(
            call,
            CallSession(call.plan),
            stream_sid=stream_sid,
            socket=socket,
            models=process.prepared_models,
            records=process.writer,
            make_tools=lambda redeem: self._house.make_tools(call, redeem),
            desk=self._house.desk,
            live=process.live,
        )
        process.hold(bridge)
        try:
            with watch_call(bridge):
                log.info("stream_started", stream_sid=stream_sid, token=call.token)
                await bridge.run()
        finally:
            process.release(bridge)
            reason, fault = bridge.ending
            self._house.release(call, reason=reason, fault=fault, is_over=bridge.caller_hung_up)
            log.info("stream_ended")

    async def _await_start(self, socket: CarrierSocket) -> Start:
        """The carrier's first words. Whatever comes before `start` is passed over, within a bound."""
        for _ in range(MAX_EARLY_FRAMES):
            try:
                frame = parse(await socket.next_frame() or b"")
            except WireError as error:
                log.info("early_frame_malformed", detail=error.reason[:200], call_ref=self._ref)
                continue
            if isinstance(frame, Start):
                return frame
            if not isinstance(frame, Connected | Media):
                log.info("early_frame", kind=type(frame).__name__, call_ref=self._ref)
        raise Refused("frames without a start")


class BrowserStreams(MediaStreams):
    """The same socket for a member's test call (product 11.1): a page speaks the carrier's part, so its origin stands for the signature.

    Browsers send no cookie to another host, so the page's session is not asked again: the web process checked it and handed out the
    ticket, which holds for this one call.
    """

    async def _may_enter(self) -> bool:
        origin = dict(self._scope["headers"]).get(b"origin", b"").decode("latin-1")
        try:
            async with asyncio.timeout(ADMIT_S):
                return await self._house.check_page(self._ref, origin=origin)
        except TimeoutError:
            log.warning("page_check_timed_out", call_ref=self._ref)
            return False

    async def _admit(self, start: Start) -> LiveCall | None:
        if start.start.call_sid != f"TC{self._ref}":  # a ticket of a call with a carrier opens nothing here
            return None
        return await super()._admit(start)

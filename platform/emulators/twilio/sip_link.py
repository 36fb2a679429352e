"""A call's far end at a SIP endpoint: the link to another double that stands for SIP and RTP (emulators/DEVIATIONS.md)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote

import aiohttp

from emulators.twilio.call import Call
from emulators.twilio.leg import Frame

UNREACHABLE, TIMED_OUT = 503, 408  # what a carrier makes of a host that does not answer (twilio.md §7.3)
CONNECT_S = 5.0


class SipFailed(Exception):
    """The endpoint did not take the call; `code` is its final SIP answer."""

    permanent = True

    def __init__(self, code: int) -> None:
        super().__init__(f"SIP {code}")
        self.code = code


class SipLink:
    """One dialog. `dial` returns when it was answered; then frames flow until `over`."""

    def __init__(self, call: Call, uri: str, *, endpoint: str, caller: str, parent_sid: str) -> None:
        self.over = asyncio.Event()
        self.on_refer: Callable[[str], None] = lambda target: None
        self._call = call
        self._uri = uri
        self._endpoint = endpoint
        self._caller = caller
        self._parent_sid = parent_sid
        self._client: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None
        self._outgoing: asyncio.Queue[bytes | str] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None

    async def dial(self) -> None:
        """Raises SipFailed. Cancel it to give up ringing."""
        self._client = aiohttp.ClientSession()
        try:
            self._socket = await asyncio.wait_for(self._client.ws_connect(self._endpoint), CONNECT_S)
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise SipFailed(UNREACHABLE) from None
        await self._socket.send_str(json.dumps({"invite": self._describe()}))
        async for message in self._socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            said = json.loads(message.data)
            if "ringing" in said and not self._call.over:
                self._call.ring()
            elif "answer" in said:
                self._reader = asyncio.create_task(self._read())
                self._writer = asyncio.create_task(self._write())
                self._call.leg.watchers.append(self)
                return
            elif "reject" in said:
                raise SipFailed(int(said["reject"]))
        raise SipFailed(UNREACHABLE)

    def hear_frame(self, position: int, frame: Frame) -> None:
        """What is played to the far end: the other side's voice."""
        self._outgoing.put_nowait(frame.audio)

    def press(self, digit: str) -> None:
        """RFC 4733 events, §7.2."""
        self._outgoing.put_nowait(json.dumps({"digit": digit}))

    async def close(self) -> None:
        """BYE, or CANCEL while it rings."""
        if self in self._call.leg.watchers:
            self._call.leg.watchers.remove(self)
        for task in (self._reader, self._writer):
            if task is not None:
                task.cancel()
        if self._socket is not None and not self._socket.closed:
            with contextlib.suppress(ConnectionError):
                await self._socket.send_str('{"bye": true}')
            await self._socket.close()
        if self._client is not None:
            await self._client.close()
        self.over.set()

    async def _read(self) -> None:
        assert self._socket is not None  # noqa: S101 # dialled
        try:
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    self._call.leg.say(message.data)
                elif message.type is aiohttp.WSMsgType.TEXT:
                    said = json.loads(message.data)
                    if "refer" in said:
                        self.on_refer(str(said["refer"]))
                    elif "bye" in said:
                        break
        finally:
            self.over.set()

    async def _write(self) -> None:
        assert self._socket is not None  # noqa: S101 # dialled
        with contextlib.suppress(ConnectionError):
            while True:
                item = await self._outgoing.get()
                if isinstance(item, bytes):
                    await self._socket.send_bytes(item)
                else:
                    await self._socket.send_str(item)

    def _describe(self) -> dict[str, object]:
        """§7.4: what the INVITE carries."""
        address, _, query = self._uri.partition("?")
        own = [[name, unquote(value)] for name, value in parse_qsl(query, keep_blank_values=True)]
        call = self._call
        headers = [
            ["From", f'"{self._caller}" <sip:{self._caller}@pstn.twilio.com>;tag={secrets.token_hex(5)}'],
            ["To", f"<{address}>"],
            ["Call-ID", f"{call.sid}@twilio"],
            ["X-Twilio-CallSid", call.sid],
            ["X-Twilio-AccountSid", call.account.sid],
            *own,
        ]
        return {"to": address, "headers": headers, "speed": call.exchange.clock.speed}


def find_endpoint(call: Call, uri: str) -> str:
    """The link's address of the host in a SIP URI; empty when nobody stands there."""
    host = uri.partition("?")[0].partition(";")[0].rpartition("@")[2]
    return call.exchange.config.sip_hosts.get(host, "")

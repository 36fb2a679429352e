"""A WebSocket client without a task: text out at once from the ticker, text in by callback. It knows no media message."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import lru_cache
from typing import cast
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from emulators.twilio.values import TwilioFault

MAX_MESSAGE_BYTES = 1 << 20  # the limit of Twilio is not published; beyond it the socket fails with 1009 (31924)
MAX_BACKLOG_BYTES = 64 * 1024  # about six seconds of caller audio; then frames are dropped, 31930
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """Reading the trust store takes some ten milliseconds: once for all calls."""
    return ssl.create_default_context()


def check_stream_url(url: str) -> str:
    """The URL that is called and signed: without query (§1.2). Raises TwilioFault 31922, 31923.

    `ws` is accepted for loopback addresses only: a deviation, so that a demo needs no certificate.
    """
    parts = urlsplit(url)
    if parts.scheme == "ws" and parts.hostname not in _LOOPBACK:
        raise TwilioFault(31922, f"only wss is supported: {url!r}")
    if parts.scheme not in {"ws", "wss"}:
        raise TwilioFault(31922, f"scheme {parts.scheme!r} is not supported: {url!r}")
    bare = url.partition("?")[0]
    try:
        parse_uri(bare)
    except (InvalidURI, ValueError) as error:
        raise TwilioFault(31923, f"malformed URL {url!r}") from error
    return bare


class MediaSocket(asyncio.Protocol):
    """`connect` first; then `send` until `closed` is done. `closed` holds True after a proper close by the server."""

    def __init__(self, url: str, *, headers: dict[str, str], on_text: Callable[[bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[bool] = loop.create_future()
        self.close_code: int | None = None
        self.protocol_error = ""
        self._uri = parse_uri(url)
        self._url = url
        self._headers = headers
        self._on_text = on_text
        self._protocol = ClientProtocol(self._uri, max_size=MAX_MESSAGE_BYTES)
        self._handshake: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._fragments: list[bytes] = []

    async def connect(self, *, limit_s: float) -> None:
        """Raises TwilioFault 31901, 31902, 31904, 31910, 31920, 31924 (§1.7)."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(limit_s):
                await loop.create_connection(
                    lambda: self,
                    self._uri.host,
                    self._uri.port,
                    ssl=_trust() if self._uri.secure else None,
                )
                await self._handshake
        except TimeoutError as error:
            self.abort()
            raise TwilioFault(31901, f"{self._url}: connection timeout") from error
        except ConnectionRefusedError as error:
            raise TwilioFault(31902, f"{self._url}: connection refused") from error
        except ssl.SSLError as error:
            raise TwilioFault(31910, f"{self._url}: {error}") from error
        except socket.gaierror as error:
            raise TwilioFault(31904, f"{self._url}: unknown host") from error
        except OSError as error:
            raise TwilioFault(31904, f"{self._url}: {error}") from error
        except asyncio.CancelledError:
            self.abort()
            raise

    @property
    def open(self) -> bool:
        return self._protocol.state is State.OPEN and self._transport is not None

    @property
    def backlog_bytes(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def send(self, text: str) -> None:
        if self.open:
            self._protocol.send_text(text.encode())
            self._flush()

    def close(self) -> None:
        """Starts the closing handshake; `closed` is done when the server has answered or is gone."""
        if self.open:
            self._protocol.send_close(1000)
            self._flush()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol -----------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = self._protocol.connect()
        # The request target as it stands in the TwiML: the signature is over these bytes (§1.3).
        _, _, after_scheme = self._url.partition("://")
        _, slash, path = after_scheme.partition("/")
        request.path = slash + path or "/"
        for name, value in self._headers.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        self._take_events()

    def eof_received(self) -> bool:
        self._protocol.receive_eof()
        self._take_events()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._protocol.state is not State.CLOSED:
            self._protocol.receive_eof()
        received = self._protocol.close_rcvd
        self.close_code = received.code if received is not None else None
        sent = self._protocol.close_sent
        if received is None and sent is not None and sent.code in {1002, 1003, 1007, 1009}:
            self.protocol_error = sent.reason or f"close code {sent.code}"
        if not self._handshake.done():
            self._handshake.set_exception(TwilioFault(31920, f"{self._url}: the server hung up during the handshake"))
        if not self.closed.done():
            self.closed.set_result(received is not None)
        self._transport = None

    # -- the wire ---------------------------------------------------------------

    def _take_events(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._finish_handshake(event)
            elif isinstance(event, Frame):
                self._take_frame(event)
        self._flush()
        if self._protocol.close_expected() and self._transport is not None:
            self._transport.close()  # nothing more to say: a peer that keeps TCP open shall not keep us

    def _finish_handshake(self, response: Response) -> None:
        if self._handshake.done():
            return
        if self._protocol.handshake_exc is not None:
            self._handshake.set_exception(TwilioFault(31920, f"{self._url}: answered {response.status_code}, not 101"))
        else:
            self._handshake.set_result(None)

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT and frame.fin:
            self._on_text(bytes(frame.data))
        elif frame.opcode in {Opcode.TEXT, Opcode.CONT}:
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                message, self._fragments = b"".join(self._fragments), []
                self._on_text(message)
        elif frame.opcode is Opcode.BINARY:
            self._on_text(b"")  # not JSON: counted as malformed by the reader

    def _flush(self) -> None:
        if self._transport is None:
            self._protocol.data_to_send()
            return
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():
                self._transport.write_eof()

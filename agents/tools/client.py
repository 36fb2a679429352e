"""Sends one HTTP request for a tool through the egress fence and reads a bounded answer; knows no tool, no secret and no retry.

One client per process keeps connections alive. It has no cookies, reads no proxy from the environment, follows at most three redirects by
hand (each through the fence) and stops reading where the answer grows too large.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urljoin

import httpcore

from agents.tools.fence import EgressFence, FenceError, ResolveError, Target

MAX_ANSWER_BYTES = 64 * 1024  # brief of a tool's answer: far more than a model should read on the phone
MAX_REDIRECTS = 3
MAX_CONNECT_S = (
    3.0  # a server that lets a connection wait longer is down; what is left of the tool's time goes to a second try
)
MAX_CONNECTIONS = 200
MAX_IDLE_CONNECTIONS = 50
IDLE_EXPIRY_S = 30.0  # below the 60 s after which common servers and balancers close
USER_AGENT = "Switchboard-Tools/1"
REDIRECTS = frozenset((301, 302, 303, 307, 308))
_BODY_HEADERS = frozenset(("content-type", "content-length"))
_LOCATION_SAFE = "%/:?#[]@!$&'()*+,;=~-._"

Fault = Literal["fenced", "unreachable", "broken", "redirects", "encoded"]


class ExchangeError(Exception):
    """No usable answer. `sent` of the progress tells whether the server may have acted; `permanent`: trying again will not help."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault: Fault = fault
        self.permanent = fault not in ("unreachable", "broken")


@dataclass(slots=True)
class Progress:
    """How far an exchange came; filled while it runs, so that a time-out can tell what the server has seen."""

    sent: bool = False
    hops: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. `private` names the headers that only the first origin may see (they may hold secrets)."""

    method: str
    target: Target
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    private: frozenset[str] = frozenset()
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back after redirects, decoded. `cut`: the body was larger than MAX_ANSWER_BYTES; its beginning is kept."""

    status: int
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    cut: bool = False

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class ToolClient:
    """The process's HTTP client for tools. Close it when the process ends."""

    def __init__(
        self, fence: EgressFence, *, ssl_context: ssl.SSLContext | None = None, user_agent: str = USER_AGENT
    ) -> None:
        self.fence = fence
        self._user_agent = user_agent
        self._pool = httpcore.AsyncConnectionPool(
            # Made once: httpcore would read the trust store for every new connection, 30 ms in which no call hears anything.
            ssl_context=ssl_context or httpcore.default_ssl_context(),
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_EXPIRY_S,
            network_backend=FencedBackend(fence),
        )

    async def aclose(self) -> None:
        await self._pool.aclose()
        self.fence.close()

    async def exchange(self, request: Request, *, timeout_s: float, progress: Progress, follows: bool = True) -> Answer:
        """Send and follow redirects, unless told to hand them back. Raises ExchangeError, or TimeoutError when the whole took longer
        than `timeout_s`."""
        async with asyncio.timeout(timeout_s):
            while True:
                answer = await self._send(request, timeout_s, progress)
                location = answer.headers.get("location")
                if answer.status not in REDIRECTS or location is None or not follows:
                    return answer
                if progress.hops == MAX_REDIRECTS:
                    raise ExchangeError("redirects", f"more than {MAX_REDIRECTS} redirects")
                progress.hops += 1
                request = self.follow(request, answer.status, location)

    def follow(self, request: Request, status: int, location: str) -> Request:
        """The next request, by the Fetch standard's rules (HTTP-redirect fetch), stricter where secrets are concerned."""
        try:
            target = self.fence.read_url(
                urljoin(request.target.url, quote(location.encode("latin-1"), safe=_LOCATION_SAFE))
            )
        except (FenceError, ValueError) as error:
            raise ExchangeError("fenced", f"redirect refused: {error}") from error
        if request.target.scheme == "https" and target.scheme == "http":
            raise ExchangeError("fenced", "redirect refused: from https to http")
        headers = request.headers
        if target.origin != request.target.origin and not _is_upgrade(request.target, target):
            headers = tuple((name, value) for name, value in headers if name.lower() not in request.private)
        method, body = request.method, request.body
        if (status in (301, 302) and method == "POST") or (status == 303 and method != "GET"):
            method, body = "GET", None
            headers = tuple((name, value) for name, value in headers if name.lower() not in _BODY_HEADERS)
        return Request(method, target, headers, request.private, body)

    async def _send(self, request: Request, timeout_s: float, progress: Progress) -> Answer:
        async def watch(event: str, _info: dict[str, Any]) -> None:
            if event.endswith("send_request_headers.started"):
                progress.sent = True

        target = request.target
        headers = [
            ("Host", target.authority),
            ("User-Agent", self._user_agent),
            ("Accept-Encoding", "gzip"),
            *request.headers,
        ]
        url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        try:
            async with self._pool.stream(
                request.method,
                url,
                headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in headers],
                content=request.body,
                extensions={"timeout": {"connect": min(timeout_s, MAX_CONNECT_S)}, "trace": watch},
            ) as response:
                found = {
                    name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
                }  # of a repeated header the last counts; none of those read here may repeat
                body = await _read_body(response, found.get("content-encoding", ""))
                return Answer(response.status, found, body[:MAX_ANSWER_BYTES], cut=len(body) > MAX_ANSWER_BYTES)
        except FenceError as error:
            raise ExchangeError("fenced", str(error)) from error
        except (ResolveError, httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            raise ExchangeError("unreachable", str(error) or type(error).__name__) from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise ExchangeError("broken", str(error) or type(error).__name__) from error


class FencedBackend(httpcore.AsyncNetworkBackend):
    """Where every connection of the client begins: by name in, to a checked address out. TLS above it still verifies the name."""

    def __init__(self, fence: EgressFence) -> None:
        self._fence = fence
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature of the network backend's interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        *others, last = await self._fence.find_addresses(host, port)
        share = None if timeout is None else timeout / (len(others) + 1)
        for address in others:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._inner.connect_tcp(address, port, share, local_address, socket_options)
        return await self._inner.connect_tcp(last, port, share, local_address, socket_options)


def _is_upgrade(before: Target, after: Target) -> bool:
    """The same host asks for https instead of http: what it may see in the clear it may see encrypted."""
    return before.host == after.host and (before.scheme, before.port, after.scheme, after.port) == (
        "http",
        80,
        "https",
        443,
    )


async def _read_body(response: httpcore.Response, encoding: str) -> bytes:
    """The body, decoded; reading stops with the first byte beyond MAX_ANSWER_BYTES, compressed bombs included."""
    inflater = None
    if encoding.strip().lower() in ("gzip", "x-gzip"):
        inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    elif encoding.strip().lower() not in ("", "identity"):
        raise ExchangeError("encoded", f"answer in the encoding {encoding[:40]!r}, which was not asked for")
    body = bytearray()
    async for chunk in response.aiter_stream():
        if inflater is not None:
            try:
                chunk = inflater.decompress(chunk, MAX_ANSWER_BYTES + 1 - len(body))
            except zlib.error as error:
                raise ExchangeError("encoded", "answer is not the gzip it claims to be") from error
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            return bytes(body)
    if inflater is not None and body and not inflater.eof:
        raise ExchangeError("encoded", "answer is cut gzip")
    return bytes(body)

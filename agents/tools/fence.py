"""The egress fence: decides which URL a tool may call and to which checked address the connection goes; sends nothing itself.

A name is resolved once, every address it has must be public, and the connection is made to one of those very addresses, so a name that
answers differently a moment later (DNS rebinding) gains nothing. `allow` opens named host:port pairs, exactly, for development.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, urlsplit

from agents.tools.addresses import find_address_fault

DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_URL_CHARS = 8_000  # what common servers take in a request line
MAX_HOST_CHARS = 253  # RFC 1035 §2.3.4
MAX_ADDRESSES = 4  # tried in the resolver's order; more would only eat the tool's time
RESOLVER_THREADS = 8
# Fetch standard, "bad ports": services that could be talked into something by an HTTP request.
BAD_PORTS = frozenset(
    (1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110, 111, 113, 115,
     117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601,
     636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679,
     6697, 10080, 11211)
)  # fmt: skip

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER_LABEL = re.compile(r"([0-9]+|0x[0-9a-f]*)")  # URL standard: a host that ends in a number is an IPv4 address
_URL_SAFE = (
    "%/:?#[]@!$&'()*+,;=~-._"  # RFC 3986: reserved and unreserved characters, and escapes that are there already
)

Resolver = Callable[[str, int], Awaitable[list[str]]]


class FenceError(Exception):
    """A URL or address that tools may not use. `permanent`: asking again gives the same answer."""

    def __init__(self, message: str, *, permanent: bool = True) -> None:
        super().__init__(message)
        self.permanent = permanent


class ResolveError(Exception):
    """The name has no address now; nothing was sent."""

    permanent = False


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart once; all later steps use these parts and never parse the text again."""

    scheme: str
    host: str  # lower case, no brackets, no trailing dot
    port: int
    path: str  # path and query as sent

    @property
    def origin(self) -> tuple[str, str, int]:
        return (self.scheme, self.host, self.port)

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


class EgressFence:
    """Checks URLs and resolves names for every tool of this process."""

    def __init__(self, *, allow: Iterable[str] = (), resolve: Resolver | None = None) -> None:
        self._allow = frozenset(_read_allowance(entry) for entry in allow if entry.strip())
        self._executor: ThreadPoolExecutor | None = None
        self._resolve = resolve or self._ask_system

    def read_url(self, url: str) -> Target:
        """Take a URL apart. Raises FenceError for anything but a plain http(s) URL whose host can be read in one way only."""
        if len(url) > MAX_URL_CHARS:
            raise FenceError("the URL is too long")
        if any(char <= " " or char in '\\\x7f"<>^`{|}' for char in url):
            raise FenceError("the URL holds characters that no URL may hold")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise FenceError("the URL cannot be read") from error
        scheme = parts.scheme.lower()
        if scheme not in DEFAULT_PORTS:
            raise FenceError("only http and https URLs may be called")
        if "@" in parts.netloc:
            raise FenceError("the URL holds a user name or password")
        host = _read_host(parts.netloc)
        if port is None:
            port = DEFAULT_PORTS[scheme]
        if port == 0:
            raise FenceError("the URL cannot be read")
        path = quote(parts.path or "/", safe=_URL_SAFE)
        if parts.query:
            path += "?" + quote(parts.query, safe=_URL_SAFE)
        return Target(scheme, host, port, path)

    async def find_addresses(self, host: str, port: int) -> list[str]:
        """The addresses a connection may be made to, in order. Raises FenceError when any address of the name is not public."""
        if _is_literal(host):
            addresses = [host]
        else:
            addresses = await self._resolve(host, port)
        if not addresses:
            raise ResolveError(f"{host} has no address")
        if (host, port) not in self._allow:
            if port in BAD_PORTS:
                raise FenceError(f"port {port} belongs to another service")
            for address in addresses:
                if fault := find_address_fault(address):
                    raise FenceError(f"{host} leads to an address that is {fault}")
        return list(dict.fromkeys(addresses))[:MAX_ADDRESSES]

    def close(self) -> None:
        """Let go of the resolver's threads without waiting for a name server that does not answer."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None

    async def _ask_system(self, host: str, port: int) -> list[str]:
        # Own threads: a zone whose servers never answer must not hold up the loop's resolver, which the model's socket needs too.
        if self._executor is None:
            self._executor = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="tool-names")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._executor, _look_up, host, port)
        except (OSError, UnicodeError) as error:
            raise ResolveError(f"{host} has no address") from error
        return found


def parse_allowances(text: str) -> tuple[str, ...]:
    """Read `TOOL_EGRESS_ALLOW`. Raises ValueError naming the entry that is not host:port."""
    entries = tuple(entry.strip() for entry in text.split(",") if entry.strip())
    for entry in entries:
        _read_allowance(entry)
    return entries


def _look_up(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _read_allowance(entry: str) -> tuple[str, int]:
    host, separator, port = entry.strip().rpartition(":")
    try:
        if not separator or not 1 <= int(port) <= 65_535:
            raise ValueError(port)
        return _read_host(f"{host}:{port}"), int(port)
    except (ValueError, FenceError) as error:
        raise ValueError(f"TOOL_EGRESS_ALLOW: {entry!r} is not host:port, for example 127.0.0.1:8080") from error


def _read_host(netloc: str) -> str:
    """The host of `host[:port]`. Raises FenceError unless it is a name, a dotted IPv4 or a bracketed IPv6 address."""
    if netloc.startswith("["):
        text, bracket, rest = netloc[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or "%" in text:
            raise FenceError("the host is no address without a zone")
        try:
            return IPv6Address(text).compressed
        except ValueError as error:
            raise FenceError("the host is no address") from error
    name, _, port = netloc.partition(":")
    host = name.lower().removesuffix(".")
    if port and not (port.isascii() and port.isdecimal()):
        raise FenceError("the port is not a number")
    if not host.isascii():
        raise FenceError("the host must be written in ASCII (xn--…)")
    labels = host.split(".")
    if len(host) > MAX_HOST_CHARS or not all(_LABEL.fullmatch(label) for label in labels):
        raise FenceError("the host is not a name")
    if _NUMBER_LABEL.fullmatch(labels[-1]):
        try:
            return str(
                IPv4Address(host)
            )  # refuses octal, hexadecimal and short forms, which resolvers read in several ways
        except ValueError as error:
            raise FenceError("the host is a number that is not a dotted IPv4 address") from error
    return host


def _is_literal(host: str) -> bool:
    return ":" in host or _NUMBER_LABEL.fullmatch(host.rpartition(".")[2]) is not None

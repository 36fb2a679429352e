"""Fetches webhooks as Twilio does: signed, timed by connection overrides, retried, redirected. It reads no TwiML."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlencode, urljoin, urlsplit

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from emulators.twilio.signing import sign_request
from emulators.twilio.values import TwilioFault

MAX_BODY_BYTES = 64 * 1024  # §3.2, 11750
MAX_REDIRECTS = 10  # §3.2, 11215
_RETRY_WORDS = frozenset({"ct", "rt", "4xx", "5xx", "all"})
_RANGES = {"ct": (100, 10_000), "rt": (100, 15_000), "tt": (100, 15_000), "rc": (0, 5)}  # §3.3
_EDGES = frozenset(["ashburn", "dublin", "frankfurt", "sao-paulo", "singapore", "sydney", "tokyo", "umatilla"])
_URL_CHARACTERS = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Overrides:
    """§3.3, milliseconds as on the wire."""

    ct: int = 5000
    rt: int = 15_000
    tt: int = 15_000
    rc: int = 1
    rp: frozenset[str] = frozenset({"ct"})

    def retries(self, reason: str) -> bool:
        return "all" in self.rp or reason in self.rp


@dataclass(frozen=True, slots=True)
class Reply:
    url: str  # of the last redirect, without fragment: what relative URLs resolve against
    status: int
    content_type: str
    body: bytes


@dataclass(slots=True)
class Cookies:
    """Kept per call (§3.2), by host."""

    _by_host: dict[str, dict[str, str]] = field(default_factory=dict)

    def take(self, url: str, header_values: list[str]) -> None:
        jar = self._by_host.setdefault(urlsplit(url).netloc, {})
        for value in header_values:
            try:
                parsed = SimpleCookie(value)
            except CookieError:
                continue  # a cookie nobody can read is a cookie nobody sends back
            jar.update({name: morsel.value for name, morsel in parsed.items()})

    def header(self, url: str) -> str:
        return "; ".join(f"{name}={value}" for name, value in self._by_host.get(urlsplit(url).netloc, {}).items())


def split_overrides(url: str) -> tuple[str, Overrides]:
    """The URL without its fragment, which is neither sent nor signed. Raises TwilioFault 11100, 11241."""
    bare, _, fragment = url.partition("#")
    numbers: dict[str, int] = {}
    policy = frozenset({"ct"})
    for part in filter(None, fragment.split("&")):
        key, _, value = part.partition("=")
        if key in _RANGES:
            low, high = _RANGES[key]
            if not value.isdigit() or not low <= int(value) <= high:
                raise TwilioFault(11100, f"connection override {part!r} is not within {low}–{high}")
            numbers[key] = int(value)
        elif key == "rp":
            policy = frozenset(value.split(","))
            if not policy <= _RETRY_WORDS:
                raise TwilioFault(11100, f"unknown retry policy {value!r}")
        elif key == "e":
            if not {edge.removesuffix("-ix") for edge in value.split(",")} <= _EDGES:
                raise TwilioFault(11241, f"unknown edge {value!r}")
        elif key != "sni" or value not in {"y", "n"}:
            raise TwilioFault(11100, f"unknown connection override {part!r}")
    return bare, Overrides(**numbers, rp=policy)


def check_url(url: str) -> None:
    """Raises TwilioFault 11100 for what Twilio would not call (§3.2)."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not _URL_CHARACTERS.fullmatch(url):
        raise TwilioFault(11100, f"invalid URL {url!r}")
    if "_" in parts.hostname:
        raise TwilioFault(11100, f"host names containing an underscore are rejected: {url!r}")


def resolve_url(base: str | None, url: str) -> str:
    """§3.2: relative to the document. Raises TwilioFault 11100 when there is no document URL."""
    if urlsplit(url).scheme:
        return url
    if base is None:
        raise TwilioFault(11100, f"relative URL {url!r} in a document that has no URL of its own")
    return urljoin(base, url)


def make_idempotency_token() -> str:
    return str(uuid.uuid4())  # the same across the retries of one webhook, §3.3


class _Attempt(Exception):
    """One try failed; `reason` is the word of the retry policy it belongs to."""

    def __init__(self, reason: str, fault: TwilioFault) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fault = fault


class Fetcher:
    """One per double; `open` before use, `close` after."""

    def __init__(self, *, limit_s: float, retry_pause_s: float = 0.0) -> None:
        self._limit_s = limit_s
        self._retry_pause_s = retry_pause_s
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            # A fresh connection each time: a pooled one to a process that died would look like a fault of the next one.
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            headers={"User-Agent": "TwilioProxy/1.1", "Accept": "*/*"},
            auto_decompress=True,
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(
        self,
        url: str,
        *,
        method: str,
        params: Mapping[str, str],
        token: str | None,
        cookies: Cookies,
        note: Callable[..., None],
        idempotency_token: str | None = None,
    ) -> Reply:
        """Raises TwilioFault with the code of §13 when no 2xx came within the limits. No token, no signature."""
        bare, overrides = split_overrides(url)
        check_url(bare)
        idempotency_token = idempotency_token or make_idempotency_token()
        deadline = time.monotonic() + min(overrides.tt / 1000, self._limit_s)
        attempt = 0
        while True:
            started = time.monotonic()
            fault: TwilioFault | None
            try:
                reply = await self._follow(
                    bare,
                    method=method,
                    params=params,
                    token=token,
                    cookies=cookies,
                    overrides=overrides,
                    idempotency_token=idempotency_token,
                    deadline=deadline,
                )
            except _Attempt as failed:
                outcome: dict[str, object] = {"error": str(failed.fault)}
                fault = failed.fault
                again = attempt < overrides.rc and overrides.retries(failed.reason) and time.monotonic() < deadline
            else:
                outcome = {
                    "status": reply.status,
                    "content_type": reply.content_type,
                    "body": reply.body[:4096].decode(errors="replace"),
                }
                fault = None
                again = False
            note(
                "webhook",
                url=bare,
                method=method,
                params=dict(params),
                attempt=attempt,
                idempotency_token=idempotency_token,
                took_ms=round((time.monotonic() - started) * 1000, 1),
                **outcome,
            )
            if fault is None:
                return reply
            if not again:
                raise fault
            attempt += 1
            await asyncio.sleep(self._retry_pause_s)

    async def _follow(
        self,
        url: str,
        *,
        method: str,
        params: Mapping[str, str],
        token: str | None,
        cookies: Cookies,
        overrides: Overrides,
        idempotency_token: str,
        deadline: float,
    ) -> Reply:
        for _ in range(MAX_REDIRECTS + 1):
            status, headers, body = await self._request(
                url,
                method=method,
                params=params,
                token=token,
                cookies=cookies,
                overrides=overrides,
                idempotency_token=idempotency_token,
                deadline=deadline,
            )
            cookies.take(url, headers.getall("Set-Cookie", []))
            if status in {301, 302, 303, 307, 308} and "Location" in headers:
                url = urljoin(url, headers["Location"]).partition("#")[0]
                if status in {301, 302, 303}:
                    method = "GET"
                continue
            if not 200 <= status < 300:
                word = "4xx" if 400 <= status < 500 else "5xx"
                raise _Attempt(word, TwilioFault(11200, f"HTTP retrieval failure: {status} from {url}"))
            content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
            return Reply(url, status, content_type, body)
        raise _Attempt("redirects", TwilioFault(11215, f"more than {MAX_REDIRECTS} redirects from {url}"))

    async def _request(
        self,
        url: str,
        *,
        method: str,
        params: Mapping[str, str],
        token: str | None,
        cookies: Cookies,
        overrides: Overrides,
        idempotency_token: str,
        deadline: float,
    ) -> tuple[int, CIMultiDictProxy[str], bytes]:
        if self._session is None:
            raise RuntimeError("the fetcher is not open")
        if method == "GET" and params:
            url += ("&" if "?" in url else "?") + urlencode(params)
        headers = {"I-Twilio-Idempotency-Token": idempotency_token}
        if token is not None:
            headers["X-Twilio-Signature"] = sign_request(url, params, method=method, token=token)
        if cookie := cookies.header(url):
            headers["Cookie"] = cookie
        data = None
        if method == "POST":
            data = urlencode(params).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=UTF-8"
        left = deadline - time.monotonic()
        if left <= 0:
            raise _Attempt("tt", TwilioFault(11200, f"no time left for {url}"))
        timeout = aiohttp.ClientTimeout(total=left, sock_connect=overrides.ct / 1000, sock_read=overrides.rt / 1000)
        try:
            async with self._session.request(
                method, URL(url, encoded=True), data=data, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                body = await _read_limited(response)
                return response.status, response.headers, body
        except aiohttp.ConnectionTimeoutError as error:
            raise _Attempt("ct", TwilioFault(11205, f"connecting to {url} took too long")) from error
        except aiohttp.ClientConnectorDNSError as error:
            raise _Attempt("ct", TwilioFault(11210, f"unknown host in {url}")) from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise _Attempt("tls", TwilioFault(11237, f"certificate of {url}: {error}")) from error
        except aiohttp.ClientConnectorError as error:
            raise _Attempt("ct", TwilioFault(11205, f"cannot connect to {url}")) from error
        except TimeoutError as error:
            raise _Attempt("rt", TwilioFault(11200, f"{url} did not answer in time")) from error
        except aiohttp.ClientError as error:
            raise _Attempt("protocol", TwilioFault(11206, f"{url}: {error!r}")) from error


async def _read_limited(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(16 * 1024):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _Attempt("size", TwilioFault(11750, f"{response.url}: more than 64 kB"))
    return bytes(body)

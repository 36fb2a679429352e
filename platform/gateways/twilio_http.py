"""The HTTP client handed to Twilio's SDK: rewrites hosts to the configured ones and never waits without a limit. Logs no secret."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from requests import Session
from requests.adapters import HTTPAdapter
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response

# The SDK logs headers and bodies at INFO; ours stay silent whatever the root logger does.
_quiet = logging.getLogger("gateways.twilio_http")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False

TWILIO_DOMAIN = ".twilio.com"


@dataclass(frozen=True, slots=True)
class CarrierHosts:
    """Where the carrier's hosts are. `base_url` takes them all as `<base>/<host>/…`; `hosts` overrides single ones by short name."""

    base_url: str = ""
    hosts: Mapping[str, str] = field(default_factory=dict)

    def place(self, url: str) -> str:
        """The address to call instead of `https://<name>.twilio.com/…`; other addresses stay as they are."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not host.endswith(TWILIO_DOMAIN):
            return url
        name = host.removesuffix(TWILIO_DOMAIN).split(".")[0]  # api.dublin.ie1.twilio.com is still the `api` host
        base = self.hosts.get(name, "")
        if not base and self.base_url:
            base = f"{self.base_url}/{name}{TWILIO_DOMAIN}"
        if not base:
            return url
        target = urlsplit(base if "://" in base else f"https://{base}")
        return urlunsplit((target.scheme, target.netloc, target.path.rstrip("/") + parts.path, parts.query, ""))


class RoutedHttpClient(TwilioHttpClient):
    """TwilioHttpClient with our hosts. The time-out is required: the SDK's own default is none (twilio.md §0.3)."""

    def __init__(self, hosts: CarrierHosts, *, timeout_s: float) -> None:
        super().__init__(timeout=timeout_s, logger=_quiet)
        self.hosts = hosts
        self.pool = Session()
        # With hosts of one's own (a double, a private relay) the machine's proxy has no part in it.
        self.pool.trust_env = not (hosts.base_url or hosts.hosts)
        for scheme in ("https://", "http://"):
            self.pool.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=16))
        self.session = self.pool

    def request(
        self,
        method: str,
        url: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        return super().request(
            method, self.hosts.place(url), params, data, headers, auth, timeout, allow_redirects=False
        )

"""The model vendor's SIP calls: where they are sent, how its webhooks are signed, and accept, reject, refer, hang up. Knows no tenant.

openai-realtime.md §1.3, §1.4, §2.2. Nothing here is tried twice: a repeated accept may hit a call whose first attempt succeeded.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import httpx
import orjson
from django.conf import settings

from gateways.errors import GatewayError
from gateways.voice_model import Endpoint, make_headers

TOLERANCE_S = 300  # §2.2, in both directions
SIP_HOST, SIP_HOST_EU = "sip.api.openai.com", "sip-eu.api.openai.com"  # §1.3
EU_API_HOST = "eu.api.openai.com"  # §1.1: SIP, REST and sockets must be of one region, or the call id is unknown
LONGEST_SIGNATURES = 4_096  # several secrets at once during a rotation; each entry has 47 characters
LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=50)


def sip_address() -> str:
    """Where the carrier rings the model. Empty when this installation has none."""
    if settings.OPENAI_SIP_URI:
        return str(settings.OPENAI_SIP_URI)
    if not settings.OPENAI_PROJECT:
        return ""
    is_eu = urlsplit(settings.OPENAI_BASE_URL).hostname == EU_API_HOST
    return f"sip:{settings.OPENAI_PROJECT}@{SIP_HOST_EU if is_eu else SIP_HOST};transport=tls"


def is_sip_ready() -> bool:
    """Whether calls may be sent to the model by SIP: without the secret we would never hear of them."""
    return bool(sip_address() and settings.OPENAI_WEBHOOK_SECRETS)


def regions_differ() -> bool:
    """Whether the SIP host and the API host are of two regions (§1.1)."""
    host = sip_address().partition("@")[2].partition(";")[0]
    if host not in (SIP_HOST, SIP_HOST_EU):
        return False
    is_eu_api = urlsplit(settings.OPENAI_BASE_URL).hostname == EU_API_HOST
    return bool((host == SIP_HOST_EU) != is_eu_api)


def check_webhook(raw: bytes, headers: Mapping[str, str], *, secrets: Iterable[str], now: float) -> bool:
    """Whether the vendor signed exactly this, not long ago (§2.2, Standard Webhooks). The names of `headers` are lower case."""
    webhook_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    signatures = headers.get("webhook-signature", "")
    if not webhook_id or not (sent_at.isascii() and sent_at.isdigit()) or len(signatures) > LONGEST_SIGNATURES:
        return False
    if len(sent_at) > 12 or abs(now - int(sent_at)) > TOLERANCE_S:
        return False
    wanted = [_sign(raw, secret=secret, webhook_id=webhook_id, sent_at=sent_at) for secret in secrets]
    given = [entry.partition(",") for entry in signatures.split()]
    matches = [
        hmac.compare_digest(want, signature.encode())
        for version, _, signature in given
        if version == "v1"
        for want in wanted
    ]
    return True in matches


def make_webhook_headers(raw: bytes, *, secret: str, webhook_id: str, now: float) -> dict[str, str]:
    """What the vendor would send with this body (our own round-trip checks)."""
    sent_at = str(int(now))
    signature = _sign(raw, secret=secret, webhook_id=webhook_id, sent_at=sent_at).decode()
    return {"webhook-id": webhook_id, "webhook-timestamp": sent_at, "webhook-signature": f"v1,{signature}"}


def _sign(raw: bytes, *, secret: str, webhook_id: str, sent_at: str) -> bytes:
    signed = f"{webhook_id}.{sent_at}.".encode() + raw
    return base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest())


def _key(secret: str) -> bytes:
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret[6:], validate=True)
        except binascii.Error:
            return secret.encode()
    return secret.encode()


def sideband_endpoint(model_call_id: str, model: str, *, end_user: str = "") -> Endpoint:
    """The control socket of a SIP call (§1.1). The call has its model already: the address names none."""
    parts = urlsplit(settings.OPENAI_BASE_URL)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    query = f"call_id={quote(model_call_id)}"
    url = urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + "/realtime", query, ""))
    return Endpoint(url, model, make_headers(end_user=end_user))


class VoiceCalls:
    """One a process, on its loop. Each method raises GatewayError; status 404 means that the call is over (`is_gone`)."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

    async def accept(self, model_call_id: str, session: dict[str, Any], *, end_user: str = "") -> None:
        """Have the model take the call with this session. 200 is no proof that media flow (§1.4)."""
        await self._post(model_call_id, "accept", session, end_user=end_user)

    async def reject(self, model_call_id: str, *, status_code: int) -> None:
        """Before accept only. A final 4xx or 6xx is an answer to a trunk; 503 makes it fail over (twilio.md §7.3)."""
        await self._post(model_call_id, "reject", {"status_code": status_code})

    async def refer(self, model_call_id: str, *, target_uri: str) -> None:
        """Relay a REFER; 200 means "relayed", not "transferred"."""
        await self._post(model_call_id, "refer", {"target_uri": target_uri})

    async def hang_up(self, model_call_id: str) -> None:
        await self._post(model_call_id, "hangup", None)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def open(self) -> None:
        """Make the client before the first call: its trust store takes 60 ms to read, which no caller has to spare."""
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=settings.OPENAI_TIMEOUT_S, limits=LIMITS, trust_env=False)

    async def _post(self, model_call_id: str, action: str, body: dict[str, Any] | None, *, end_user: str = "") -> None:
        self.open()
        assert self._client is not None  # noqa: S101 # just made
        url = f"{settings.OPENAI_BASE_URL}/realtime/calls/{quote(model_call_id, safe='')}/{action}"
        headers = dict(make_headers(end_user=end_user))
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            answer = await self._client.post(
                url, content=orjson.dumps(body) if body is not None else None, headers=headers
            )
        except httpx.HTTPError as error:
            raise GatewayError(f"{action}: {type(error).__name__}: {error}"[:300], permanent=False) from None
        if not answer.is_success:
            raise _explain(action, answer)


def is_gone(error: GatewayError) -> bool:
    """The caller left, or the call ended (§2.3): nothing to mend."""
    return error.status == 404


def _explain(action: str, answer: httpx.Response) -> GatewayError:
    code, message = "", answer.text[:200]
    try:
        error = orjson.loads(answer.content)["error"]
        code, message = str(error.get("code") or error.get("type") or ""), str(error.get("message") or "")
    except (ValueError, TypeError, KeyError, AttributeError):
        pass  # a proxy's page: its text says what there is to say
    status = answer.status_code
    permanent = status < 500 and status not in (408, 409, 429)
    text = f"{action}: HTTP {status} {code}: {message}"[:300]
    return GatewayError(text, permanent=permanent, code=code, status=status)

"""The voice model's vendor: where its socket and REST API are and how to sign in; the only place that knows the OPENAI_* settings.

Knows no tenant and no row. The socket itself is opened by calls.transports.model_socket with the `Endpoint` made here.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit, urlunsplit

import openai
from django.conf import settings

from gateways.errors import GatewayError

REST_TIMEOUT_S = 10.0  # the SDK's own default is 600 s; a screen or doctor waits for this
SAFETY_IDENTIFIER_CHARS = 64  # openai-realtime.md §1.2: keep ≤ 64 characters


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One socket to open. The headers carry the key, so they are kept out of `repr` and logs."""

    url: str
    model: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model of the account, with the day it stops (openai-realtime.md §3.8), when one is announced."""

    id: str
    shutdown_date: str = ""


def make_endpoint(model: str, *, end_user: str = "") -> Endpoint:
    """Where a speech session of this model is opened (openai-realtime.md §1.1). `end_user` is hashed, never sent."""
    parts = urlsplit(settings.OPENAI_BASE_URL)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    url = urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + "/realtime", f"model={quote(model)}", ""))
    return Endpoint(url, model, make_headers(end_user=end_user))


def make_headers(*, end_user: str = "") -> tuple[tuple[str, str], ...]:
    """Who asks, on sockets and REST alike. No `OpenAI-Beta`: it pins the retired event schema (§1.2)."""
    headers = [("Authorization", f"Bearer {settings.OPENAI_API_KEY}")]
    if settings.OPENAI_ORGANIZATION:
        headers.append(("OpenAI-Organization", settings.OPENAI_ORGANIZATION))
    if settings.OPENAI_PROJECT:
        headers.append(("OpenAI-Project", settings.OPENAI_PROJECT))
    if end_user:
        headers.append(("OpenAI-Safety-Identifier", hash_end_user(end_user)))
    return tuple(headers)


def hash_end_user(end_user: str) -> str:
    """A stable name for a caller that tells the vendor nothing (§1.2: never a raw phone number)."""
    digest = hmac.new(settings.SECRET_KEY.encode(), f"safety:{end_user}".encode(), hashlib.sha256).hexdigest()
    return digest[:SAFETY_IDENTIFIER_CHARS]


def list_models() -> list[ModelInfo]:
    """The models this key may use. Raises GatewayError."""
    try:
        with _client() as client:
            models = list(client.models.list())
    except openai.APIStatusError as error:
        code = str(error.code or error.status_code)
        permanent = error.status_code < 500 and error.status_code != 429
        raise GatewayError(error.message, permanent=permanent, code=code, status=error.status_code) from error
    except openai.APIError as error:  # no answer, or none that can be read
        raise GatewayError(str(error), permanent=False) from error
    return [ModelInfo(model.id, model.shutdown_date or "") for model in models]


def _client() -> openai.OpenAI:
    return openai.OpenAI(
        api_key=settings.OPENAI_API_KEY
        or "unset",  # the SDK refuses an empty key before it asks; the vendor's 401 says more
        organization=settings.OPENAI_ORGANIZATION or None,
        project=settings.OPENAI_PROJECT or None,
        base_url=settings.OPENAI_BASE_URL,
        timeout=REST_TIMEOUT_S,
        max_retries=0,  # callers decide what may be asked twice (§1.4)
    )

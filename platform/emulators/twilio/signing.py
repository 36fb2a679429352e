"""Signs what Twilio signs, as twilio.md §3.4 and §1.3 write it down. It verifies nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping


def sign_form(url: str, params: Iterable[tuple[str, str]], *, token: str) -> str:
    """§3.4: the URL, then every name and value, sorted by name, repeated names with sorted distinct values."""
    values: dict[str, set[str]] = {}
    for name, value in params:
        values.setdefault(name, set()).add(value)
    signed = url + "".join(name + value for name in sorted(values) for value in sorted(values[name]))
    return _digest(signed, token=token)


def sign_url(url: str, *, token: str) -> str:
    """§1.3 (sockets) and §3.4 (GET): the URL alone."""
    return _digest(url, token=token)


def sign_request(url: str, params: Mapping[str, str], *, method: str, token: str) -> str:
    return sign_url(url, token=token) if method == "GET" else sign_form(url, params.items(), token=token)


def _digest(text: str, *, token: str) -> str:
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()

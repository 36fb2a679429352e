"""Twilio's webhook and handshake signatures (twilio.md §1.3, §3.4): checked and, for our own round-trip checks, made. Knows no request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from twilio.request_validator import RequestValidator

HEADER = "X-Twilio-Signature"
# 28 characters of base64 for HMAC-SHA1; anything longer is not a signature and not worth hashing for.
LONGEST_SIGNATURE = 64

Params = Mapping[str, str | Sequence[str]]


class _Form(dict[str, Sequence[str]]):
    """Form values in the shape the SDK reads repeated names from."""

    def getlist(self, name: str) -> Sequence[str]:
        return self[name]


def check_signature(url: str, params: Params, signature: str, tokens: Iterable[str]) -> bool:
    """Whether one of the account's tokens (primary first) signed this. `params` are the decoded form values; empty for a handshake."""
    if not signature or len(signature) > LONGEST_SIGNATURE or not signature.isascii():
        return False
    form = _form(params)
    return any(RequestValidator(token).validate(url, form, signature) for token in tokens if token)


def make_signature(url: str, params: Params, token: str) -> str:
    """What the carrier would send with this request."""
    signature: str = RequestValidator(token).compute_signature(url, _form(params))
    return signature


def _form(params: Params) -> _Form:
    return _Form({name: [value] if isinstance(value, str) else list(value) for name, value in params.items()})

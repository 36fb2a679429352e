"""Words of the Realtime wire: JSON objects, ids and refusals. It knows no session and no socket."""

from __future__ import annotations

import secrets
import time
from typing import Any

import orjson

# The one place where a value may be anything: JSON as it travels. It is narrowed where it is used.
JsonObject = dict[str, Any]

EVENT_ID_MAX_CHARS = 512  # openai-realtime.md §6.1


class RequestError(Exception):
    """What the service refuses: an `error` event on the socket (openai-realtime.md §4.8), a body over HTTP (§1.4)."""

    permanent = True

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str = "invalid_request_error",  # noqa: A002 - the wire's own word
        status: int = 400,
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.param, self.type, self.status = message, code, param, type, status

    def describe(self) -> JsonObject:
        return {"type": self.type, "code": self.code, "message": self.message, "param": self.param}


def read_event(text: str) -> JsonObject:
    """A client event with at least a `type`. Raises RequestError."""
    try:
        event = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"Could not parse the event as JSON: {error}", code="invalid_event") from None
    if not isinstance(event, dict):
        raise RequestError("An event must be a JSON object.", code="invalid_event")
    kind = event.get("type")
    if not isinstance(kind, str):
        code = "missing_required_parameter" if kind is None else "invalid_type"
        raise RequestError("Missing or invalid parameter: 'type'.", code=code, param="type")
    return event


def make_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(10)}"


def read_clock_s() -> int:
    return int(time.time())


def split_words(text: str) -> list[str]:
    """Words with the white space before them, so that joining gives the text back."""
    words: list[str] = []
    start = 0
    for index in range(1, len(text)):
        if text[index].isspace() and not text[index - 1].isspace():
            words.append(text[start:index])
            start = index
    return [*words, text[start:]] if text else []

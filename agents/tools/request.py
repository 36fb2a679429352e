"""Turns a tool's declaration and the model's arguments into the request that is sent; checks, fills in, and sends nothing.

Refusals are written for the model: they say which argument is wrong and how, and never hold a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry

from agents.placeholders import ARGUMENT, SECRET, split_origin
from agents.schemas import find_schema_fault
from agents.spec import HttpCall, ToolSpec
from agents.tools.client import Request
from agents.tools.fence import EgressFence, FenceError

MAX_ARGUMENTS_CHARS = 16_384
MAX_ARGUMENT_VALUES = 300  # times agents.schemas.MAX_CHECKS, 5 µs each: the longest that a check can hold up the loop
MAX_PROBLEMS = 5
MAX_PROBLEM_CHARS = 300
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# Set by us or by the connection; a tool that set them could smuggle a second request.
OWN_HEADERS = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect", "accept-encoding",
     "idempotency-key", "user-agent", "cookie")
)  # fmt: skip

Secrets = Callable[[str], str | None]


class RefusedError(Exception):
    """The tool is not run. The text is for the model; `permanent`: the same arguments would be refused again."""

    permanent = True

    def __init__(self, message: str, *, declaration: bool = False) -> None:
        super().__init__(message)
        self.declaration = declaration  # the tool is declared wrongly; other arguments will not help


def read_arguments(text: str) -> dict[str, Any]:
    """The model's arguments as an object. Raises RefusedError; a cut response can end in half a JSON text (openai-realtime.md §3.7)."""
    if len(text) > MAX_ARGUMENTS_CHARS:
        raise RefusedError(f"The arguments are longer than {MAX_ARGUMENTS_CHARS} characters.")
    try:
        arguments = json.loads(text or "{}", parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RefusedError(
            "The arguments are not valid JSON. Call the tool again with a complete JSON object."
        ) from error
    if not isinstance(arguments, dict):
        raise RefusedError("The arguments must be one JSON object.")
    if _count_values(arguments, MAX_ARGUMENT_VALUES) > MAX_ARGUMENT_VALUES:
        raise RefusedError(f"The arguments hold more than {MAX_ARGUMENT_VALUES} values.")
    return arguments


def check_arguments(tool: ToolSpec, arguments: dict[str, Any]) -> None:
    """Hold the arguments against the tool's schema. Raises RefusedError that lists what is wrong, field by field."""
    try:
        validator = _compile(json.dumps(tool.parameters, sort_keys=True))
        problems = sorted(islice(validator.iter_errors(arguments), MAX_PROBLEMS), key=lambda problem: problem.json_path)
    except (RecursionError, TypeError, ValueError) as error:
        raise RefusedError("This tool is not set up correctly and cannot be used.", declaration=True) from error
    if problems:
        words = "; ".join(_describe(problem) for problem in problems)
        raise RefusedError(
            f"The arguments do not fit: {words}. Correct them, asking the caller if needed, and call the tool again."
        )


def build_request(
    tool: ToolSpec, arguments: dict[str, Any], *, fence: EgressFence, secrets: Secrets, idempotency_key: str
) -> tuple[Request, list[str]]:
    """The request to send, and the secret values in it. Raises RefusedError; the caller validated the arguments."""
    call = tool.http
    if call is None:
        raise RefusedError("This tool cannot be called over HTTP.", declaration=True)
    url, used = _fill_url(call.url, arguments)
    rest = {name: value for name, value in arguments.items() if name not in used}
    body: bytes | None = None
    headers = [("Accept", "application/json, text/plain;q=0.9, */*;q=0.1"), ("Idempotency-Key", idempotency_key)]
    if call.method == "GET":
        url = _add_query(url, rest)
    elif rest or call.method != "DELETE":
        body = json.dumps(rest, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        headers.append(("Content-Type", "application/json"))
    declared, used_secrets = _fill_headers(call, secrets)
    names = {name.lower() for name, _ in declared}
    headers = [(name, value) for name, value in headers if name.lower() not in names] + declared
    try:
        target = fence.read_url(url)
    except FenceError as error:
        raise RefusedError("The address of this tool may not be called.", declaration=True) from error
    return Request(
        call.method, target, tuple(headers), frozenset(names - {"accept", "content-type"}), body
    ), used_secrets


@lru_cache(maxsize=1024)
def _compile(schema_text: str) -> Draft202012Validator:
    schema = json.loads(schema_text)
    if fault := find_schema_fault(schema):
        raise ValueError(fault)
    # An own registry: the default one would fetch a remote $ref, past the fence.
    return Draft202012Validator(schema, registry=Registry())


def _count_values(value: object, most: int) -> int:
    """How many values there are, counted up to a little over `most`."""
    count = 1
    for entry in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if count > most:
            break
        count += _count_values(entry, most - count)
    return count


def _describe(problem: ValidationError) -> str:
    path = problem.json_path.removeprefix("$").removeprefix(".")
    text = f"{path}: {problem.message}" if path else problem.message
    return text if len(text) <= MAX_PROBLEM_CHARS else text[: MAX_PROBLEM_CHARS - 1] + "…"


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _fill_url(template: str, arguments: dict[str, Any]) -> tuple[str, set[str]]:
    split = split_origin(template)
    if split is None:
        raise RefusedError("The address of this tool is not set up correctly.", declaration=True)
    origin, rest = split
    used: set[str] = set()

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        value = arguments.get(name)
        text = _to_text(value)
        if value is None or not text.strip():
            raise RefusedError(f"The argument {name} is needed. Ask the caller for it.")
        if any(char < " " or char == "\x7f" for char in text):
            raise RefusedError(f"The argument {name} holds control characters.")
        used.add(name)
        return quote(text, safe="", errors="replace")

    url = origin + ARGUMENT.sub(fill, rest)
    # "." and "%2e" are dot segments to every server (RFC 3986 §5.2.4), and some read %2F as a slash: an argument must not climb.
    for segment in urlsplit(url).path.split("/"):
        if any(part in (".", "..") for part in re.split(r"[/\\]", unquote(segment))):
            raise RefusedError("An argument would change the address of the tool. Give the plain value.")
    return url, used


def _add_query(url: str, values: dict[str, Any]) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        for entry in value if isinstance(value, list) else [value]:
            if entry is not None:
                pairs.append((name, _to_text(entry)))
    if not pairs:
        return url
    address, hash_sign, fragment = url.partition("#")
    return address + ("&" if "?" in address else "?") + urlencode(pairs, errors="replace") + hash_sign + fragment


def _to_text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _fill_headers(call: HttpCall, secrets: Secrets) -> tuple[list[tuple[str, str]], list[str]]:
    headers: list[tuple[str, str]] = []
    used: list[str] = []

    def fill(match: re.Match[str]) -> str:
        value = secrets(match.group(1))
        if not value:
            raise RefusedError(f"This tool lacks its secret {match.group(1)} and cannot be used.", declaration=True)
        used.append(value)
        return value

    for name, template in call.headers.items():
        value = SECRET.sub(fill, template).strip()
        if _HEADER_NAME.fullmatch(name) is None or name.lower() in OWN_HEADERS or name.lower().startswith("proxy-"):
            raise RefusedError("A header of this tool is not set up correctly.", declaration=True)
        # RFC 9110 §5.5: no line breaks or control characters; beyond Latin-1 nothing can be sent.
        if any((char < " " and char != "\t") or char == "\x7f" or char > "\xff" for char in value):
            raise RefusedError("A header of this tool is not set up correctly.", declaration=True)
        headers.append((name, value))
    return headers, used

"""Turns a tool server's answer into the text the model gets: parsed, mapped, without secrets, bounded; decides success, sends nothing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

from agents.tools.client import Answer

MAX_OUTPUT_CHARS = 8_000  # about 2,000 tokens, re-read in every later turn of the call
MAX_DETAILS_CHARS = 1_000
MAX_DEPTH = 64  # of nested JSON; deeper is no answer for a phone call, and would exhaust the stack
REDACTED = "[secret]"


class UnfitError(Exception):
    """The server answered 2xx, but not as the tool's declaration says. The text is for the model."""

    permanent = True


@dataclass(frozen=True, slots=True)
class Scrubber:
    """Takes secret values out of texts before anyone sees them, also as JSON and URLs would write them."""

    pattern: re.Pattern[str] | None

    @classmethod
    def of(cls, secrets: list[str]) -> Scrubber:
        forms: set[str] = set()
        for secret in secrets:
            escaped = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
            for form in (secret, *escaped, quote(secret, safe=""), quote_plus(secret)):
                # Digits typed by the caller may be short: only whole numbers are taken out, not digits inside others.
                forms.add(rf"(?<!\d){form}(?!\d)" if form.isdecimal() else re.escape(form))
        if not forms:
            return cls(None)
        return cls(re.compile("|".join(sorted(forms, key=len, reverse=True))))

    def clean(self, text: str) -> str:
        return text if self.pattern is None else self.pattern.sub(REDACTED, text)

    def clean_value(self, value: Any) -> Any:
        """The same for parsed JSON, keys and numbers included."""
        if self.pattern is None:
            return value
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, dict):
            return {self.clean(name): self.clean_value(entry) for name, entry in value.items()}
        if isinstance(value, list):
            return [self.clean_value(entry) for entry in value]
        if isinstance(value, int | float) and not isinstance(value, bool) and self.clean(repr(value)) != repr(value):
            return REDACTED
        return value


def read_result(answer: Answer, response_path: str) -> Any:
    """What a 2xx answer means for the model. Raises UnfitError when it is not what was agreed."""
    if answer.cut:
        raise UnfitError("The tool's server answered with far more than can be read on a call.")
    if not answer.body.strip():
        if response_path:
            raise UnfitError("The tool's server answered with nothing.")
        return None
    value, is_json = _read_json(answer)
    if not is_json:
        if response_path or answer.media_type.endswith(("/json", "+json")):
            raise UnfitError("The tool's server did not answer with JSON.")
        return _read_text(answer)
    return _walk(value, response_path)


def read_details(answer: Answer) -> Any:
    """What an error answer says, if a model can use it; None for pages, oversized and binary bodies."""
    if answer.cut or not answer.body.strip():
        return None
    value, is_json = _read_json(answer)
    try:
        return value if is_json else _read_text(answer)
    except UnfitError:
        return None


def render_success(value: Any, scrub: Scrubber) -> str:
    """The output of a run that worked, bounded."""
    output = _dump({"ok": True, "result": scrub.clean_value(value)})
    if len(output) <= MAX_OUTPUT_CHARS:
        return output
    text = value if isinstance(value, str) else _dump(scrub.clean_value(value))
    return _dump_cut({"ok": True, "truncated": True}, "result", scrub.clean(text))


def render_failure(message: str, scrub: Scrubber, *, say: str = "", details: Any = None) -> str:
    """The output of a run that did not work: what happened, and what the agent is to say."""
    output: dict[str, Any] = {"ok": False, "error": scrub.clean(message)}
    if say:
        output["say"] = say
    if details is not None:
        clean = scrub.clean_value(details)
        text = clean if isinstance(clean, str) else _dump(clean)
        output["details"] = clean if len(text) <= MAX_DETAILS_CHARS else text[:MAX_DETAILS_CHARS] + "…"
    return _dump(output)


def _read_json(answer: Answer) -> tuple[Any, bool]:
    try:
        value = json.loads(answer.body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None, False
    return (None, False) if _is_deeper(value, MAX_DEPTH) else (value, True)


def _is_deeper(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        return depth == 0 or any(_is_deeper(entry, depth - 1) for entry in value.values())
    if isinstance(value, list):
        return depth == 0 or any(_is_deeper(entry, depth - 1) for entry in value)
    return False


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _read_text(answer: Answer) -> str:
    kind = answer.media_type
    if "html" in kind or answer.body.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        raise UnfitError(
            "The tool's server answered with a web page."
        )  # a login or error page, whatever its status says
    if b"\x00" in answer.body or kind.startswith(("image/", "audio/", "video/", "font/")) or kind == "application/pdf":
        raise UnfitError("The tool's server answered with something that is no text.")
    charset = re.search(r"charset=\"?([\w.:-]+)", answer.headers.get("content-type", ""), re.IGNORECASE)
    try:
        return answer.body.decode(charset.group(1) if charset else "utf-8", "replace").strip()
    except LookupError:  # a charset that nobody knows
        return answer.body.decode("utf-8", "replace").strip()


def _walk(value: Any, path: str) -> Any:
    """Follow a dotted path; numbers index lists."""
    for step in path.split(".") if path else ():
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isascii() and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            raise UnfitError(f"The tool's server left {path} out of its answer.")
    return value


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _dump_cut(head: dict[str, Any], name: str, text: str) -> str:
    """`head` plus as much of the text as fits; escapes count, so the cut is searched for."""
    low, high = 0, min(len(text), MAX_OUTPUT_CHARS)
    while low < high:
        middle = (low + high + 1) // 2
        if len(_dump({**head, name: text[:middle]})) <= MAX_OUTPUT_CHARS:
            low = middle
        else:
            high = middle - 1
    return _dump({**head, name: text[:low]})

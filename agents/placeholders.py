"""The two kinds of holes in a tool's declaration: `{argument}` in its URL and `{secret:name}` in its headers; finds them, fills nothing."""

from __future__ import annotations

import re

ARGUMENT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]*)\}")
SECRET = re.compile(r"\{secret:([A-Za-z0-9_.-]+)\}")
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


def split_origin(url: str) -> tuple[str, str] | None:
    """Scheme and host of a URL template, and the rest; None when there is none or when it has holes: arguments never choose the host."""
    head = _ORIGIN.match(url)
    if head is None or "{" in head.group():
        return None
    return head.group(), url[head.end() :]

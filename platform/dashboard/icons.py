"""Reads single icons of @tabler/icons for inlining; nothing else of the package reaches a page (decision 10)."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from django.conf import settings

_NAME = re.compile(r"^[a-z0-9-]+$")
_SHAPES = re.compile(r"<svg\b[^>]*>(.*)</svg>", re.DOTALL)


class IconError(LookupError):
    """The icon is not in the installed package, or the package is missing. Mend: `make install`, or another name."""


@cache
def read_icon(name: str, *, filled: bool = False) -> str:
    """The shapes inside the icon's SVG element. Raises IconError."""
    if not _NAME.match(name):
        raise IconError(f"{name!r} is not an icon's name")
    path = Path(settings.TABLER_ICONS_DIR) / ("filled" if filled else "outline") / f"{name}.svg"
    try:
        found = _SHAPES.search(path.read_text())
    except FileNotFoundError:
        raise IconError(
            f"icon {name!r} is missing: run `make install` (or `npm ci`), or choose a name of @tabler/icons"
        ) from None
    if found is None:
        raise IconError(f"{path} is not an SVG file")
    return " ".join(found.group(1).split())

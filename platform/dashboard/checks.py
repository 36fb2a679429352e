"""System checks of the screens: says how to mend a missing front end before a page fails; reads files only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, register
from django.core.checks import Warning as CheckWarning


@register("staticfiles")
def check_front_end(app_configs: Sequence[AppConfig] | None, **_kwargs: Any) -> list[CheckMessage]:
    """One warning that names what is missing. No error: a media process must answer calls without any of it."""
    needed = [*settings.PACKAGE_FILES.values(), Path(settings.TABLER_ICONS_DIR) / "outline" / "phone.svg"]
    missing = [path.name for path in needed if not path.is_file()]
    if not missing:
        return []
    return [
        CheckWarning(
            f"The front end's packages are not installed: {', '.join(missing)}.",
            hint="Run `make install` (or `npm ci`) in the checkout.",
            id="dashboard.W001",
        )
    ]

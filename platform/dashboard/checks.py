"""System checks of the screens: says how to mend a missing front end before a page fails; reads files only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

REQUIRED = (
    "@tabler/core/dist/css/tabler.min.css",
    "@tabler/icons/icons/outline/phone.svg",
    "wavesurfer.js/dist/wavesurfer.min.js",
)


@register("staticfiles")
def check_front_end(app_configs: Sequence[AppConfig] | None, **_kwargs: Any) -> list[CheckMessage]:
    """One error that names what is missing from node_modules."""
    modules = Path(settings.BASE_DIR) / "node_modules"
    missing = [name for name in REQUIRED if not (modules / name).is_file()]
    if not missing:
        return []
    return [
        Error(
            f"The front end's packages are not installed: {', '.join(missing)}.",
            hint="Run `make install` (or `npm ci`) in the checkout.",
            id="dashboard.E001",
        )
    ]

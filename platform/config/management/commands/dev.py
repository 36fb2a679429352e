"""`manage.py dev`: the demo's processes without the call, restarted when code or templates change; for people who work on the product."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from config import provision
from config.demo import scene, stage
from config.processes import ProcessError, ProcessGroup, StopRequested

WATCHED = ("platform", "tenants", "agents", "calls")
LOOK_SECONDS = 1.0


class Command(BaseCommand):
    help = (
        "Run the whole product beside emulated vendors and restart it when its code changes; Ctrl-C stops everything."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        addresses = stage.find_addresses()
        os.environ.update(addresses.environment())
        settings.PUBLIC_BASE_URL = settings.MEDIA_BASE_URL = addresses.media
        call_command("migrate", verbosity=0)
        provision.apply(scene.read_office(tools_url=addresses.tools))
        logs = settings.DATA_DIR / "logs"
        try:
            with ProcessGroup(logs=logs) as vendors:
                vendors.start(*stage.doubles(addresses, cache=settings.DATA_DIR / "speech"))
                while True:
                    self._serve_until_change(addresses, vendors, logs)
        except StopRequested:
            self.stdout.write("Stopped.")
        except ProcessError as error:
            raise CommandError(str(error)) from error

    def _serve_until_change(self, addresses: stage.Addresses, vendors: ProcessGroup, logs: Path) -> None:
        before = _read_times()
        with ProcessGroup(logs=logs, echo=self.stderr.write) as product:
            try:
                product.start(*stage.product(addresses, manage=settings.BASE_DIR / "manage.py"))
                self.stdout.write(f"Serving at {addresses.web}/")
            except ProcessError as error:  # a typing error on the way: say so, and try again when it is mended
                self.stderr.write(str(error))
            while _read_times() == before:
                vendors.check()
                time.sleep(LOOK_SECONDS)
        self.stdout.write("Something changed: restarting.")


def _read_times() -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in _find_code()}


def _find_code() -> Iterator[Path]:
    for folder in WATCHED:
        yield from (settings.BASE_DIR / folder).rglob("*.py")

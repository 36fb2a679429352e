"""`manage.py restore FILE`: see config.backup for what the file holds."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.backup import BackupError, load


class Command(BaseCommand):
    help = "Restore a backup into an empty database, with its recordings."
    requires_system_checks: list[str] = []  # noqa: RUF012 # the database is empty: nothing to check against yet

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE.tar")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            manifest = load(options["file"].resolve())
        except BackupError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{options['file']}: database and {manifest.recordings} recordings of {manifest.made_at}")

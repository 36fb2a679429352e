"""`manage.py backup FILE`: see config.backup for what the file holds."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.backup import BackupError, save


class Command(BaseCommand):
    help = "Write the database and the stored recordings into one file; keys are not in it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE.tar")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            manifest = save(options["file"].resolve())
        except BackupError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{options['file']}: database and {manifest.recordings} recordings of {manifest.made_at}")

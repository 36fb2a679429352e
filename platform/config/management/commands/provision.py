"""`manage.py provision FILE.yaml [--print]`: apply a declarative file (product 1.6)."""

from __future__ import annotations

import dataclasses
import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.provision import ProvisionError, apply, read_file


class Command(BaseCommand):
    help = "Create or update tenants, members, tools, agents and numbers from a YAML file; running it again changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE.yaml")
        parser.add_argument(
            "--print", action="store_true", dest="prints", help="print each number's URLs as JSON on stdout"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            numbers = apply(read_file(options["file"]))
        except ProvisionError as error:
            raise CommandError(str(error)) from error
        if options["prints"]:
            self.stdout.write(json.dumps({"numbers": [dataclasses.asdict(number) for number in numbers]}, indent=2))
            return
        for number in numbers:
            self.stdout.write(f"{number.tenant} {number.e164} → {number.agent or '-'} by {number.path}")

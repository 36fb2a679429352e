"""`manage.py doctor [--call]`: one line a check, exit status 1 when one fails, each failure with its mend (product 1.4)."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand

from config.doctor import inside, loopback, outside
from config.doctor.result import Check, Verdict

CHECKS: tuple[Check, ...] = (
    inside.check_settings,
    inside.check_database,
    inside.check_redis,
    inside.check_workers,
    outside.check_public_url,
    outside.check_webhooks,
    outside.check_socket,
    outside.check_model,
    outside.check_carrier,
)


class Command(BaseCommand):
    help = "Check every hop a call takes; with --call, ring a number of ours through all of them and time each."
    requires_system_checks: list[str] = []  # noqa: RUF012 # Django's own declaration; the doctor reports the checks itself

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--call", action="store_true", help="place a loopback call and report each hop's latency")
        parser.add_argument("--number", default="", help="the number to ring with --call; default: the first one")

    def handle(self, *args: Any, **options: Any) -> None:
        worst = Verdict.OK
        checks: list[Check] = list(CHECKS)
        if options["call"]:
            checks.append(partial(loopback.place_call, options["number"]))
        for check in checks:
            for finding in check():
                self.stdout.write(str(finding))
                if finding.verdict is Verdict.FAILED:
                    worst = Verdict.FAILED
        if worst is Verdict.FAILED:
            sys.exit(1)

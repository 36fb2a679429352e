"""`manage.py doctor [--call]`: one line a check, exit status 1 when one fails, each failure with its mend (product 1.4)."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError

from config.doctor import inside, loopback, outside
from config.doctor.result import Check, Finding, Verdict, failed

CHECKS: dict[str, Check] = {
    "settings": inside.check_settings,
    "database": inside.check_database,
    "second wall": inside.check_wall,
    "redis": inside.check_redis,
    "worker": inside.check_workers,
    "public URL": outside.check_public_url,
    "webhook signature": outside.check_webhooks,
    "socket upgrade": outside.check_socket,
    "model": outside.check_model,
    "carrier account": outside.check_carrier,
}


class Command(BaseCommand):
    help = "Check every hop a call takes; with --call, ring a number of ours through all of them and time each."
    requires_system_checks: list[str] = []  # noqa: RUF012 # Django's own declaration; the doctor reports the checks itself

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--call", action="store_true", help="place a loopback call and report each hop's latency")
        parser.add_argument("--number", default="", help="the number to ring with --call; default: the first one")

    def handle(self, *args: Any, **options: Any) -> None:
        worst = Verdict.OK
        checks = dict(CHECKS)
        if options["call"]:
            checks["call"] = partial(loopback.place_call, options["number"])
        for name, check in checks.items():
            for finding in _examine(name, check):
                self.stdout.write(str(finding))
                if finding.verdict is Verdict.FAILED:
                    worst = Verdict.FAILED
        if worst is Verdict.FAILED:
            sys.exit(1)


def _examine(name: str, check: Check) -> Iterator[Finding]:
    """What the check finds. Many need rows: without a database, or without its tables, each says so in its own line."""
    try:
        yield from check()
    except DatabaseError as error:
        detail = (str(error).strip() or type(error).__name__).splitlines()[0]
        yield failed(name, f"not checked: {detail}", mend="mend the database and the migrations first")

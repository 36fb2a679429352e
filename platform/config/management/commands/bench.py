"""`manage.py bench`: the figures of the issue's bars, measured on this machine against a bare relay in the same run."""

from __future__ import annotations

import asyncio
import os
import time
from argparse import ArgumentParser
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import uvloop
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from config.bench.accuracy import measure_accuracy
from config.bench.figures import Row, render
from config.bench.latency import measure_greeting, measure_load, measure_memory
from config.bench.rig import Rig, pin, serve_tool
from config.bench.survival import measure_bookkeeping, measure_deploy, measure_kill
from config.processes import ProcessGroup, StopRequested
from emulators.load.model import ModelCrowd

LOAD_CORE = 1
LONGEST_S = 240.0  # of one measurement: a hung one must not eat the run
MEASUREMENTS: dict[str, Callable[[Rig], Awaitable[list[Row]]]] = {
    "greeting": measure_greeting,
    "load": measure_load,
    "accuracy": measure_accuracy,
    "memory": measure_memory,
    "deploy": measure_deploy,
    "kill": measure_kill,
    "books": measure_bookkeeping,
}


class Command(BaseCommand):
    requires_system_checks: list[str] = []  # it needs no front end
    help = "Measure latency, barge-in accuracy, CPU and memory per call, survival and bookkeeping; print them beside their bars."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--only", default=os.environ.get("ONLY", ""), help=f"some of: {', '.join(MEASUREMENTS)}")
        parser.add_argument("--strict", action="store_true", help="fail when a bar was missed")

    def handle(self, *args: Any, only: str, strict: bool, **options: Any) -> None:
        chosen = [name for name in only.replace(",", " ").split() if name] or list(MEASUREMENTS)
        unknown = set(chosen) - set(MEASUREMENTS)
        if unknown:
            raise CommandError(f"no such measurement: {', '.join(sorted(unknown))}")
        call_command("migrate", verbosity=0)
        try:
            rows = uvloop.run(self._run(chosen))
        except StopRequested:
            return
        self.stdout.write(render(rows))
        if strict and any(row.met is False for row in rows):
            raise CommandError("a bar was missed")

    async def _run(self, chosen: list[str]) -> list[Row]:
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # this process serves nobody; it may wait for its own database
        pin(os.getpid(), LOAD_CORE)
        rows: list[Row] = []
        with ProcessGroup(logs=settings.DATA_DIR / "logs") as group:
            async with ModelCrowd() as crowd, httpx.AsyncClient(trust_env=False, timeout=20) as client:
                rig = Rig(group, crowd, "", client)
                async with serve_tool(rig.count_tool_call) as tool_url:
                    rig.tool_url = tool_url
                    for name in chosen:
                        began = time.monotonic()
                        async with asyncio.timeout(LONGEST_S):
                            rows += await MEASUREMENTS[name](rig)
                        self.stderr.write(f"{name}: {time.monotonic() - began:.0f} s")
                        for row in rows[-4:]:
                            self.stderr.write(f"  {row.what}: {row.seen} ({row.bar})")
        return rows

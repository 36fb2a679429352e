"""`manage.py replay CALL`: run a recorded call through the session again; the commands must be those of the call (product 5.4.5)."""

from __future__ import annotations

import sys
import uuid
from argparse import ArgumentParser
from itertools import groupby
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError

from calls.models import Call, FlightChunk
from calls.session.flight import FlightError, Step, read_flight, replay
from tenants.scope import every_tenant


class Command(BaseCommand):
    help = "Replay a call's flight recording; exit status 1 when the session would answer differently today."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("call", help="the call's id, or the carrier's call SID")
        parser.add_argument("--print", action="store_true", dest="prints", help="print every event with its commands")

    def handle(self, *args: Any, **options: Any) -> None:
        with every_tenant(reason="an operator replays a call of any tenant"):
            call = _find_call(options["call"])
            chunks = list(FlightChunk.objects.filter(call=call).order_by("session", "sequence"))
        if not chunks:
            raise CommandError("this call has no flight recording: it never reached an agent")
        differs = False
        for session, parts in groupby(chunks, key=lambda chunk: chunk.session):
            try:
                flight = read_flight(b"".join(bytes(part.data) for part in parts))
            except FlightError as error:
                raise CommandError(f"session {session}: {error}") from error
            steps = list(replay(flight))
            different = [step for step in steps if not step.same]
            differs = differs or bool(different)
            for step in steps if options["prints"] else different[:1]:
                self._print(step)
            verdict = (
                f"{len(different)} of {len(steps)} events differ"
                if different
                else f"{len(steps)} events, all as in the call"
            )
            self.stdout.write(f"session {session}: {verdict}{', last chunk torn' if flight.torn else ''}")
        if differs:
            sys.exit(1)

    def _print(self, step: Step) -> None:
        mark = " " if step.same else "≠"
        self.stdout.write(f"{mark} {step.at_ms:10.1f} ms  {msgspec.json.encode(step.event).decode()}")
        for command in step.commands:
            self.stdout.write(f"{'':18}→ {msgspec.json.encode(command).decode()}")


def _find_call(name: str) -> Call:
    try:
        call = Call.objects.filter(pk=uuid.UUID(name)).first()
    except ValueError:
        call = Call.objects.filter(carrier_sid=name).first()
    if call is None:
        raise CommandError(f"there is no call {name}")
    return call

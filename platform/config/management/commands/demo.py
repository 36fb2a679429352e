"""`manage.py demo`: everything on this machine, one rehearsal call end to end, then a running product until Ctrl-C (product 1.1)."""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from config import provision
from config.demo import report, scene, stage
from config.processes import ProcessError, ProcessGroup, StopRequested
from tenants.models import Tenant

CALL_SECONDS = 90.0  # the longest a rehearsal may take


class Command(BaseCommand):
    help = "Start the whole product beside emulated vendors, ring it once, print what was said and what it cost, and keep serving."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--say", default="", help="ring with this sentence instead of the prepared conversation")
        parser.add_argument("--exit-after-call", action="store_true", help="stop after the rehearsal call")
        parser.add_argument("--verbose-logs", action="store_true", help="repeat what the processes log")

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        addresses = stage.find_addresses()
        # This process provisions and reads; it must build the same URLs as the processes it starts.
        os.environ.update(addresses.environment())
        settings.PUBLIC_BASE_URL = settings.MEDIA_BASE_URL = addresses.media
        call_command("migrate", verbosity=0)
        echo = self.stderr.write if options["verbose_logs"] else None
        try:
            with ProcessGroup(logs=settings.DATA_DIR / "logs", echo=echo) as processes:
                processes.start(
                    *stage.doubles(addresses, cache=settings.DATA_DIR / "speech"),
                    *stage.product(addresses, manage=settings.BASE_DIR / "manage.py"),
                )
                office = scene.read_office(tools_url=addresses.tools)
                numbers = provision.apply(office)
                doubles = scene.Doubles(twilio_url=addresses.twilio, openai_url=addresses.openai)
                entry = office["tenants"][0]
                doubles.set_the_stage(
                    account_sid=entry["twilio"]["account_sid"],
                    auth_token=entry["twilio"]["auth_token"],
                    number_sid=numbers[0].sid,
                    voice_url=numbers[0].voice_url,
                    fallback_url=numbers[0].fallback_url,
                    status_url=numbers[0].status_url,
                    person=entry["numbers"][0]["person"]["e164"],
                )
                self.stdout.write(f"Ringing {scene.NUMBER} …")
                self._ring(processes, doubles, options["say"], slug=entry["slug"], began=began)
                member = entry["members"][0]
                self.stdout.write(f"READY {addresses.web}/ after {time.monotonic() - began:.1f} s")
                self.stdout.write(
                    f"Log in as {member['email']} with the password {member['password']}. Ctrl-C stops everything."
                )
                self.stdout.flush()
                if not options["exit_after_call"]:
                    processes.wait()
        except StopRequested:
            self.stdout.write("Stopped.")
        except ProcessError as error:
            raise CommandError(str(error)) from error

    def _ring(self, processes: ProcessGroup, doubles: scene.Doubles, sentence: str, *, slug: str, began: float) -> None:
        sid = doubles.ring(scene.one_sentence(sentence) if sentence else scene.CONVERSATION)
        deadline = time.monotonic() + CALL_SECONDS
        is_answered = False
        while not (seen := doubles.look_at(sid)).is_over:
            if seen.first_voice_ms is not None and not is_answered:
                is_answered = True
                self.stdout.write(f"ANSWERED after {time.monotonic() - began:.1f} s")
                self.stdout.flush()
            processes.check()
            if time.monotonic() > deadline:
                raise CommandError(
                    f"the rehearsal did not end within {CALL_SECONDS:g} s; see {settings.DATA_DIR / 'logs'}"
                )
            time.sleep(0.1)
        if not is_answered:
            raise CommandError(f"the call was {seen.status} and nobody was heard; see {settings.DATA_DIR / 'logs'}")
        tenant = Tenant.objects.get(slug=slug)
        call = report.wait_for_record(tenant, sid, check=processes.check)
        for line in report.describe_call(tenant, call):
            self.stdout.write(line)
        for alert in doubles.alerts():
            self.stderr.write(f"the carrier complains: {alert}")

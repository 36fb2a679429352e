"""`manage.py run_sidebands`: holds the control sockets of SIP calls. Any number run side by side; a call moves when its process stops."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Any

import structlog
import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand

from calls.transports.process import current_process
from calls.transports.sidebands import Sidebands
from calls.transports.sip_house import SipHouse
from gateways.voice_calls import VoiceCalls, is_sip_ready

log = structlog.get_logger(__name__)

REGISTER_S = 10.0


class Command(BaseCommand):
    help = "Serve the control sockets of SIP calls until SIGTERM; live calls go to another control process then."

    def handle(self, *args: Any, **options: Any) -> None:
        if not is_sip_ready():
            log.info("sip_not_set_up", mend="set OPENAI_PROJECT (or OPENAI_SIP_URI) and OPENAI_WEBHOOK_SECRET")
        uvloop.run(self._run())

    async def _run(self) -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        process, house, calls = current_process(), SipHouse(), VoiceCalls()
        process.start(kind="sidebands")
        await house.warm_up()
        calls.open()
        await process.wait_registered(REGISTER_S)
        work = asyncio.create_task(Sidebands(process, house, calls).run(), name="sidebands")
        self.stdout.write(f"sidebands {process.name} ready")
        self.stdout.flush()
        waiting = asyncio.create_task(stopped.wait())
        await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        await process.drain(timeout_s=settings.MEDIA_DRAIN_SECONDS)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        await house.close()
        await calls.close()
        await process.stop()

"""A SIP call end to end in one process: both doubles, the product's door, and a control process."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pytest_django.fixtures import Settings

from calls.models import Call, CallEvent, LedgerEntry, Leg, ToolRun, Turn
from calls.services import addresses, processes
from calls.transports.house import close_house
from calls.transports.process import MediaProcess, current_process
from calls.transports.sidebands import Sidebands
from calls.transports.sip_house import SipHouse
from config.management.commands.run_media import make_config
from emulators.callers import Caller, read_steps
from emulators.openai.config import DoubleConfig as ModelConfig
from emulators.openai.config import Timing
from emulators.openai.double import OpenAIDouble
from emulators.twilio.call import Call as CarrierCall
from emulators.twilio.config import DoubleConfig as CarrierConfig
from emulators.twilio.double import TwilioDouble
from gateways.voice_calls import VoiceCalls
from tenants.models import Tenant
from tenants.scope import every_tenant
from tests.calls.transports.rows import in_thread
from tests.factories import AUTH_TOKEN, make_account, make_agent, make_route, make_tenant

SECRET = "whsec_dGVzdC1rZXktMDEyMzQ1Njc4OWFiY2RlZg=="
PROJECT = "proj_test"
QUICK = Timing(
    handshake_ms=0,
    session_updated_ms=1,
    response_created_ms=1,
    first_delta_ms=2,
    speech_factor=200,
    transcription_ms=1,
    accept_ms=1,
)
SPEED = 4.0  # the carrier's clock; the model's playout follows it
DEADLINE_S = 25.0


@dataclass
class Record:
    """What was written about one call."""

    call: Call
    legs: list[Leg]
    turns: list[Turn]
    events: list[CallEvent]
    tools: list[ToolRun]
    ledger: list[LedgerEntry]

    def kinds(self) -> list[str]:
        return [str(event.kind) for event in self.events]

    def find(self, kind: str) -> list[dict[str, Any]]:
        return [event.data for event in self.events if event.kind == kind]


@in_thread
def read_record(carrier_sid: str) -> Record | None:
    with every_tenant(reason="a test looks at what was written"):
        call = Call.objects.filter(carrier_sid=carrier_sid).first()
        if call is None:
            return None
        return Record(
            call,
            list(Leg.objects.filter(call=call)),
            list(Turn.objects.filter(call=call)),
            list(CallEvent.objects.filter(call=call)),
            list(ToolRun.objects.filter(call=call)),
            list(LedgerEntry.objects.filter(call=call)),
        )


@dataclass
class Control:
    """One control process in this one."""

    process: MediaProcess
    house: SipHouse
    calls: VoiceCalls
    work: asyncio.Task[None]

    async def stop(self) -> None:
        """In order: calls are let go, rows say goodbye."""
        await self.process.drain(timeout_s=0.1)
        await self.die()

    async def die(self) -> None:
        self.work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.work
        await self.house.close()
        await self.calls.close()
        await self.process.stop()


@dataclass
class Office:
    """Everything a SIP call needs; `dial` rings a number of its own."""

    carrier: TwilioDouble
    model: OpenAIDouble
    settings: Settings
    controls: list[Control] = field(default_factory=list)

    async def open_line(self, *, ladder: tuple[str, ...] = ("sip", "voicemail"), **spec: Any) -> str:
        """A number with an agent; its E.164."""
        return await self._open(ladder, spec)

    @in_thread
    def _open(self, ladder: tuple[str, ...], spec: dict[str, Any]) -> str:
        tenant: Tenant = make_tenant()
        fields = {key: spec.pop(key) for key in ("person_name", "person_e164") if key in spec}
        make_agent(tenant, **{"greeting": "Good morning.", **spec})
        route = make_route(tenant, ladder=ladder, path="sip", arrangement="dial", **fields)
        account = make_account(tenant)
        self.carrier.add_account(sid=account.account_sid, auth_token=AUTH_TOKEN)
        self.carrier.add_number(
            route.number.e164,
            sid=route.number.carrier_sid,
            account=account.account_sid,
            voice_url=addresses.voice_url(route.public_id),
            voice_fallback_url=addresses.fallback_url(route.public_id),
            status_callback=addresses.number_status_url(route.public_id),
        )
        e164: str = route.number.e164
        return e164

    async def ring(self, number: str, *steps: dict[str, Any]) -> CarrierCall:
        caller = Caller(read_steps(list(steps)))
        for text, mulaw in await asyncio.to_thread(caller.clips):
            self.model.register_clip(mulaw, text)
        return await self.carrier.ring(to=number, caller=caller)

    async def record_when(
        self, call: CarrierCall, condition: Callable[[Record], bool], *, timeout_s: float = DEADLINE_S
    ) -> Record:
        """The record, as soon as the condition holds. Raises TimeoutError with what is on it."""
        record: Record | None = None
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    record = await read_record(call.sid)
                    if record is not None and condition(record):
                        return record
                    await asyncio.sleep(0.05)
        except TimeoutError:
            seen = [(str(e.kind), e.data) for e in record.events] if record else None
            log = [(entry.kind, entry.detail) for entry in call.log][-12:]
            raise TimeoutError(f"events {seen}; carrier {log}") from None

    async def start_control(self) -> Control:
        process = MediaProcess()
        process.name = f"s{uuid.uuid4().hex[:12]}"
        house, calls = SipHouse(), VoiceCalls()
        process.start(kind="sidebands")
        await process.wait_registered(10)
        work = asyncio.create_task(Sidebands(process, house, calls).run())
        control = Control(process, house, calls, work)
        self.controls.append(control)
        return control


@pytest.fixture(scope="session")
def speech_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("speech")


@pytest.fixture
async def office(
    redis_url: str, transactional_db: None, settings: Settings, tmp_path: Path, speech_dir: Path
) -> AsyncIterator[Office]:
    """The product under uvicorn, both doubles and one control process."""
    from config.asgi import application

    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    settings.DATA_DIR = tmp_path
    processes.start_anew()
    config = make_config(host="127.0.0.1", port=0)
    config.app = application
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign] # pytest owns the signals
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 # uvicorn tells nobody
        await asyncio.sleep(0.005)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    settings.PUBLIC_BASE_URL = settings.MEDIA_BASE_URL = address
    settings.OPENAI_WEBHOOK_SECRETS = [SECRET]
    settings.OPENAI_SIP_URI = f"sip:{PROJECT}@sip.api.openai.com;transport=tls"
    settings.OPENAI_API_KEY = "sk-emulator"
    model_config = ModelConfig(
        timing=QUICK,
        cache_dir=speech_dir,
        project=PROJECT,
        webhook_url=f"{address}/hooks/openai/",
        webhook_secret=SECRET,
    )
    async with OpenAIDouble(model_config) as model:
        settings.OPENAI_BASE_URL = model.api_base_url
        link = f"{model.base_url}/_double/sip"
        async with TwilioDouble(CarrierConfig(speed=SPEED, sip_hosts={"sip.api.openai.com": link})) as carrier:
            settings.TWILIO_API_BASE_URL = carrier.base_url
            office = Office(carrier, model, settings)
            await office.start_control()
            yield office
            for control in office.controls:
                if not control.work.done():
                    await control.stop()
    server.should_exit = True
    await serving
    await close_house()
    media = current_process()
    if media._loop is not None:
        await media.stop()

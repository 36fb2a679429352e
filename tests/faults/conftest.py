"""The product as `run_media` serves it, on real engines, between the two doubles; quick where that bends nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn
from pytest_django.fixtures import Settings

from calls.services import processes
from calls.services.notes import forget_operator_events
from calls.transports.house import close_house
from calls.transports.process import current_process
from config.management.commands.run_media import make_config
from emulators.callers import keep_clips_in
from emulators.openai.config import DoubleConfig as ModelConfig
from emulators.openai.config import Timing
from emulators.openai.double import OpenAIDouble
from emulators.toolserver import ToolServer
from emulators.twilio.config import DoubleConfig as CarrierConfig
from emulators.twilio.double import TwilioDouble
from tests.faults.stage import Stage

QUICK = Timing(
    handshake_ms=0,
    session_updated_ms=1,
    response_created_ms=1,
    first_delta_ms=2,
    speech_factor=200,
    transcription_ms=1,
)
SPEED = 5.0  # seconds of call in one of the wall's


@pytest.fixture(scope="session")
def speech_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One memory of clips for both doubles and the tests: a sentence is the same bytes whoever asks for it."""
    folder = tmp_path_factory.mktemp("speech")
    keep_clips_in(folder)
    return folder


@pytest.fixture
def carrier_config(request: pytest.FixtureRequest) -> CarrierConfig:
    """The parameter, if a test gives one, is the speed."""
    return CarrierConfig(
        speed=getattr(request, "param", SPEED), recording_processing_s=0.1, close_handshake_limit_s=0.5
    )


@pytest.fixture
def model_config(speech_dir: Path) -> ModelConfig:
    return ModelConfig(timing=QUICK, cache_dir=speech_dir)


@pytest.fixture
async def doubles(
    redis_url: str,
    transactional_db: None,
    settings: Settings,
    tmp_path: Path,
    carrier_config: CarrierConfig,
    model_config: ModelConfig,
) -> AsyncIterator[Stage]:
    """The world around the product, and settings that point at it; nobody answers yet."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    settings.DATA_DIR = tmp_path
    settings.MEDIA_ROOT = str(tmp_path / "storage")
    settings.DIAL_TIMEOUT_S = 5
    settings.PLAYBACK_LEAD_MS = 2_000  # at a multiple of real time the usual lead would run dry
    forget_operator_events()
    async with ToolServer() as tools, OpenAIDouble(model_config) as model, TwilioDouble(carrier_config) as carrier:
        settings.OPENAI_BASE_URL = model.api_base_url
        settings.OPENAI_API_KEY = "sk-emulator"
        settings.TWILIO_API_BASE_URL = carrier.base_url
        settings.TOOL_EGRESS_ALLOW = [urlsplit(tools.base_url).netloc]
        yield Stage(carrier, model, tools)


@pytest.fixture
async def stage(doubles: Stage, settings: Settings) -> AsyncIterator[Stage]:
    """The whole application under uvicorn in this process."""
    from config.asgi import application

    processes.start_anew()
    config = make_config(host="127.0.0.1", port=0)
    config.app = application
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign] # pytest owns the signals
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 # uvicorn tells nobody
        await asyncio.sleep(0.005)
    process = current_process()
    process.start()
    assert await process.wait_registered(5.0)
    doubles.address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    settings.PUBLIC_BASE_URL = settings.MEDIA_BASE_URL = doubles.address
    yield doubles
    for call in list(doubles.carrier.calls.values()):
        call.hang_up(by="test")
    await process.drain(timeout_s=2.0)
    server.should_exit = True
    await task
    await close_house()
    await process.stop()

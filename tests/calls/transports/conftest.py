"""The two vendors' doubles, in-process and quick, and the product served by the server it runs under."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn
from pytest_django.fixtures import Settings

from calls.services import processes
from calls.transports.house import close_house
from calls.transports.prepared import PreparedModels
from calls.transports.process import current_process
from config.management.commands.run_media import make_config
from emulators.openai.config import DoubleConfig, Timing
from emulators.openai.double import OpenAIDouble

QUICK = Timing(
    handshake_ms=0,
    session_updated_ms=1,
    response_created_ms=1,
    first_delta_ms=2,
    speech_factor=200,
    transcription_ms=1,
)


@pytest.fixture(scope="session")
def speech_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("speech")


@pytest.fixture
async def model(speech_dir: Path, settings: Settings) -> AsyncIterator[OpenAIDouble]:
    async with OpenAIDouble(DoubleConfig(timing=QUICK, cache_dir=speech_dir)) as double:
        settings.OPENAI_BASE_URL = double.api_base_url
        settings.OPENAI_API_KEY = "sk-emulator"
        yield double


@pytest.fixture
async def models(model: OpenAIDouble) -> AsyncIterator[PreparedModels]:
    registry = PreparedModels()
    registry.bind()
    yield registry
    await registry.close()


@pytest.fixture
async def served(
    model: OpenAIDouble, redis_url: str, transactional_db: None, settings: Settings, tmp_path: Path
) -> AsyncIterator[str]:
    """The whole application under uvicorn, as `run_media` sets it up; its address."""
    from config.asgi import application

    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    settings.DATA_DIR = tmp_path
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
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    settings.PUBLIC_BASE_URL = settings.MEDIA_BASE_URL = address
    yield address
    await process.drain(timeout_s=0.1)
    server.should_exit = True
    await task
    await close_house()
    await process.stop()

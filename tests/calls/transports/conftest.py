"""The OpenAI double, in-process and quick, behind the product's own settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from calls.transports.prepared import PreparedModels
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

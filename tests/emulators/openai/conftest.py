from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from emulators.openai.config import DoubleConfig, Timing
from emulators.openai.double import OpenAIDouble
from emulators.speech import Synthesiser

QUICK = Timing(
    handshake_ms=0,
    session_updated_ms=1,
    response_created_ms=1,
    first_delta_ms=2,
    speech_factor=400,
    transcription_ms=1,
)


@pytest.fixture(scope="session")
def speech_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("speech")


@pytest.fixture
def config(speech_dir: Path) -> DoubleConfig:
    return DoubleConfig(timing=QUICK, cache_dir=speech_dir)


@pytest.fixture
async def double(config: DoubleConfig) -> AsyncIterator[OpenAIDouble]:
    async with OpenAIDouble(config) as started:
        yield started


@pytest.fixture
def synthesiser(speech_dir: Path) -> Synthesiser:
    return Synthesiser(cache_dir=speech_dir)

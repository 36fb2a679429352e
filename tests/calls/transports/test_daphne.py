"""The same application object serves a whole call under daphne, too (issue: "works whole under daphne (tested)")."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from calls.services import addresses
from emulators.load.carrier import Line, LoadCall
from emulators.load.model import ModelCrowd, ModelTiming
from tests.calls.transports.rows import in_thread
from tests.factories import AUTH_TOKEN, make_account, make_agent, make_route, make_tenant

pytestmark = pytest.mark.django_db(transaction=True)
QUICK = ModelTiming(handshake_ms=1, updated_ms=1, first_delta_ms=1)


@in_thread
def make_line() -> Line:
    tenant = make_tenant()
    make_agent(tenant, greeting="Good morning.")
    route = make_route(tenant)
    voice_url = addresses.voice_url(route.public_id)
    return Line(route.number.e164, voice_url, make_account(tenant).account_sid, AUTH_TOKEN)


@pytest.fixture
async def daphne(
    redis_url: str, transactional_db: None, settings: Settings, unused_tcp_port: int, tmp_path: Path
) -> AsyncIterator[ModelCrowd]:
    """Daphne as a process of its own, on the tests' database."""
    address = f"http://127.0.0.1:{unused_tcp_port}"
    settings.PUBLIC_BASE_URL = settings.MEDIA_BASE_URL = address
    async with ModelCrowd(QUICK, answer_ms=400) as crowd:
        environment = {
            **os.environ,
            "PUBLIC_BASE_URL": address,
            "MEDIA_BASE_URL": address,
            "OPENAI_BASE_URL": crowd.api_base_url,
            "OPENAI_API_KEY": secrets.token_hex(4),
            "DATABASE_URL": _database_url(),
            "REDIS_URL": redis_url,
            "SWITCHBOARD_DATA_DIR": str(tmp_path),
            "SECRET_KEY": settings.SECRET_KEY,
        }
        command = [
            sys.executable,
            "-m",
            "daphne",
            "-b",
            "127.0.0.1",
            "-p",
            str(unused_tcp_port),
            "config.asgi:application",
        ]
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(30), httpx.AsyncClient(trust_env=False) as client:
                while True:
                    try:
                        await client.get(f"{address}/healthz")
                        break
                    except httpx.TransportError:
                        await asyncio.sleep(0.1)
            yield crowd
        finally:
            process.terminate()
            await process.wait()


def _database_url() -> str:
    found = connection.settings_dict
    return f"postgres://{found['USER']}:{found['PASSWORD']}@/{found['NAME']}?host={found['HOST']}&port={found['PORT'] or 5432}"


async def test_a_call_is_answered_under_daphne(daphne: ModelCrowd) -> None:
    line = await make_line()
    call = LoadCall(line)
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        document = await call.ask(client, line.voice_url)
        assert document.verbs[:2] == ("Connect", "Redirect")
        await call.connect(document)
        assert await call.wait_for_media(10) < 10
        call.hang_up()
        async with asyncio.timeout(10):
            await call.closed.wait()
    assert call.close_code == 1000

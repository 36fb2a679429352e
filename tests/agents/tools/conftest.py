"""The bench of servers and clients, closed behind each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.agents.tools.bench import Bench


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    for client in bench.clients:
        await client.aclose()
    for server in bench.servers:
        await server.stop()

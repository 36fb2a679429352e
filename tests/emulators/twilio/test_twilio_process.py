"""The double as a process of its own: one line tells its address, SIGTERM ends it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp
import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("module", ["emulators.twilio", "emulators.toolserver"])
async def test_process_prints_its_address_serves_and_ends(module: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, "--port", "0", cwd=ROOT / "platform", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            address = (await process.stdout.readline()).decode().strip()
        health = f"{address}/_double/health" if module == "emulators.twilio" else f"{address}/health"
        async with aiohttp.ClientSession() as session, session.get(health) as response:
            assert (await response.json())["ok"] is True
    finally:
        process.terminate()
        async with asyncio.timeout(10):
            code = await process.wait()
    assert code == 0

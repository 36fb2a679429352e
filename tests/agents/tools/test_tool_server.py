"""The runner against the demo's back office: the tools a demo agent really uses, and each way in which that server misbehaves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from agents.declare import read_tool
from agents.tools.runner import ToolResult
from emulators.toolserver import ToolServer
from tests.agents.tools.bench import Bench


@pytest.fixture
async def office() -> AsyncIterator[ToolServer]:
    async with ToolServer() as server:
        yield server


async def run(bench: Bench, office: ToolServer, path: str, arguments: dict[str, object], **keys: object) -> ToolResult:
    """Declared as a file would declare it."""
    tool = read_tool(
        {
            "name": "tool",
            "url": office.base_url + path,
            "parameters": {"type": "object"},
            "timeout_s": 2,
            "on_failure": "Say that you will call back.",
            **keys,
        },
        "tools[0]",
    )
    client = bench.client(allow=(office.base_url.removeprefix("http://"),))
    return await bench.run(tool, arguments, client=client)


async def test_an_order_is_looked_up_by_body_and_by_path(bench: Bench, office: ToolServer) -> None:
    posted = await run(bench, office, "/orders", {"order_id": "1001"})
    fetched = await run(bench, office, "/orders/{order_id}", {"order_id": "1001"}, method="GET", response_path="status")
    assert json.loads(posted.output)["result"]["order_id"] == "1001"
    assert json.loads(fetched.output) == {"ok": True, "result": json.loads(posted.output)["result"]["status"]}
    assert office.requests == [("POST", "/orders"), ("GET", "/orders/1001")]


async def test_a_customer_nobody_knows_is_found_missing(bench: Bench, office: ToolServer) -> None:
    result = await run(bench, office, "/crm/customers", {"phone": "+10000000000"}, method="GET")
    assert (result.status, result.http_status) == ("failed", 404)
    assert json.loads(result.output)["details"] == {"found": False}


@pytest.mark.parametrize(
    ("path", "status", "http_status", "words"),
    [
        ("/slow?seconds=30", "timed_out", None, "did not answer in time"),
        ("/500", "failed", 500, "failed (HTTP 500)"),
        ("/not-json", "failed", 200, "web page"),
        ("/huge", "failed", 200, "far more"),
        ("/redirect-to-metadata", "failed", None, "may not be called"),
    ],
)
async def test_each_misbehaviour_is_answered_well(
    bench: Bench, office: ToolServer, path: str, status: str, http_status: int | None, words: str
) -> None:
    result = await run(bench, office, path, {}, timeout_s=0.5)
    output = json.loads(result.output)
    assert (result.status, result.http_status) == (status, http_status)
    assert words in output["error"]
    assert output["say"] == "Say that you will call back."
    assert len(result.output) < 500
    assert len(office.requests) == 1


async def test_a_server_that_fails_every_first_time_is_asked_again_only_when_that_is_safe(
    bench: Bench, office: ToolServer
) -> None:
    careful = await run(bench, office, "/flaky?a", {})
    bold = await run(bench, office, "/flaky?b", {}, idempotent=True)
    assert (careful.status, careful.attempts) == ("failed", 1)
    assert (bold.status, bold.attempts) == ("succeeded", 2)

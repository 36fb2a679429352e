"""Time-outs, broken connections and repeats: every run ends in time, and nothing is done twice by guess."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import pytest
from aiohttp import web

from agents.tools.runner import ToolRunner
from tests.agents.tools.bench import (
    SECRET,
    Bench,
    answer_with,
    free_port_url,
    hang,
    make_tool,
)


async def test_a_tool_that_does_not_answer_ends_in_time_and_its_outcome_is_called_unknown(bench: Bench) -> None:
    server = await bench.serve(hang)
    started = time.monotonic()
    result = await bench.run(make_tool(server.url, timeout_s=0.3, on_failure="The system is slow today."))
    output = json.loads(result.output)
    assert time.monotonic() - started < 1.5
    assert (result.status, result.attempts, len(server.seen)) == ("timed_out", 1, 1)
    assert "unknown" in output["error"]
    assert output["say"] == "The system is slow today."


async def test_an_idempotent_tool_is_asked_again_after_a_time_out_inside_the_same_time(bench: Bench) -> None:
    async def slow_once(request: web.Request) -> web.StreamResponse:
        return await hang(request) if len(server.seen) == 1 else web.json_response({"second": True})

    server = await bench.serve(slow_once)
    started = time.monotonic()
    result = await bench.run(make_tool(server.url, timeout_s=0.9, idempotent=True))
    assert time.monotonic() - started < 1.5
    assert (result.status, result.attempts) == ("succeeded", 2)
    assert {headers["Idempotency-Key"] for _, _, headers, _ in server.seen} == {"key-1"}


async def test_an_idempotent_tool_that_never_answers_times_out_without_doubt(bench: Bench) -> None:
    server = await bench.serve(hang)
    result = await bench.run(make_tool(server.url, timeout_s=1.2, idempotent=True))
    assert (result.status, result.attempts) == ("timed_out", 2)
    assert "unknown" not in result.output


@pytest.mark.parametrize(
    ("idempotent", "status", "count"), [(True, 500, 2), (True, 503, 2), (True, 429, 2), (True, 404, 1), (False, 500, 1)]
)
async def test_only_idempotent_tools_are_repeated_after_an_error(
    bench: Bench, idempotent: bool, status: int, count: int
) -> None:
    server = await bench.serve(answer_with({}, status=status))
    result = await bench.run(make_tool(server.url, idempotent=idempotent))
    assert (result.http_status, result.attempts, len(server.seen)) == (status, count, count)


async def test_repeats_are_as_many_as_declared_and_never_more_than_three(bench: Bench) -> None:
    server = await bench.serve(answer_with({}, status=500))
    assert (await bench.run(make_tool(server.url, idempotent=True, retries=0))).attempts == 1
    assert (await bench.run(make_tool(server.url, idempotent=True, retries=99, timeout_s=9.0))).attempts == 4


@pytest.mark.parametrize(("wait", "attempts"), [("60", 1), ("0", 2), ("soon", 2), ("9999999", 2)])
async def test_a_server_that_asks_for_patience_gets_it_if_the_caller_can_wait(
    bench: Bench, wait: str, attempts: int
) -> None:
    async def busy(request: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=503, headers={"Retry-After": wait})

    server = await bench.serve(busy)
    assert (await bench.run(make_tool(server.url, idempotent=True))).attempts == attempts


async def test_a_refused_connection_is_tried_again_even_when_not_idempotent(bench: Bench) -> None:
    url = free_port_url()
    client = bench.client(allow=(url.removeprefix("http://"),))
    result = await bench.run(make_tool(url, retries=2), client=client)
    assert (result.status, result.attempts, result.http_status) == ("failed", 3, None)
    assert json.loads(result.output)["error"] == "The tool's server cannot be reached."


async def test_a_name_without_an_address_is_unreachable(bench: Bench) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return []

    result = await bench.run(make_tool("http://nowhere.example/"), client=bench.client(resolve=resolve))
    assert (result.status, result.attempts) == ("failed", 2)


async def test_a_name_server_that_never_answers_ends_with_the_tools_time(bench: Bench) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.sleep(30)
        return []

    result = await bench.run(make_tool("http://slow.example/", timeout_s=0.2), client=bench.client(resolve=resolve))
    assert result.status == "timed_out"
    assert "unknown" not in result.output  # nothing was sent


@pytest.mark.parametrize(("idempotent", "status", "attempts"), [(False, "unknown", 1), (True, "failed", 2)])
async def test_a_connection_cut_after_the_request_is_not_repeated_blindly(
    bench: Bench, idempotent: bool, status: str, attempts: int
) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    server = await bench.serve(cut)
    result = await bench.run(make_tool(server.url, idempotent=idempotent))
    assert (result.status, result.attempts) == (status, attempts)
    assert ("unknown" in result.output) is (not idempotent)


async def test_a_server_that_speaks_no_http_breaks_the_exchange(bench: Bench) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    result = await bench.run(make_tool(f"http://127.0.0.1:{port}"), client=bench.client(allow=(f"127.0.0.1:{port}",)))
    assert result.status == "unknown"
    server.close()
    await server.wait_closed()


async def test_a_bug_of_ours_still_answers_the_model_and_shows_no_text_of_the_error(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(name: str) -> str | None:
        raise KeyError(SECRET)

    runner = ToolRunner(explode, client=bench.client())
    tool = make_tool("http://127.0.0.1:1", headers={"X": "{secret:crm}"}, on_failure="Sorry.")
    result = await runner.run(tool, '{"order_id": "1"}', call_id="c", idempotency_key="k")
    assert (result.status, json.loads(result.output)["say"]) == ("failed", "Sorry.")
    assert "KeyError" in caplog.text
    assert "sk-live" not in caplog.text + result.output


async def test_a_cancelled_call_cancels_its_tool(bench: Bench) -> None:
    server = await bench.serve(hang)
    task = asyncio.create_task(bench.run(make_tool(server.url)))
    async with asyncio.timeout(2):
        await server.called.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_connections_are_kept_alive_between_runs(bench: Bench) -> None:
    ports: set[int] = set()

    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        return web.json_response({})

    server = await bench.serve(handle)
    client = bench.client()
    for _ in range(3):
        await bench.run(make_tool(server.url), client=client)
    assert len(ports) == 1


async def test_an_address_that_lets_connections_wait_is_given_up_for_the_next(bench: Bench) -> None:
    """A full accept queue looks like a host that drops packets: the connection neither opens nor fails."""
    server = await bench.serve(answer_with({}))
    with socket.socket() as full:
        full.bind(("127.0.0.3", server.port))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for plug in waiting:
            plug.setblocking(False)
            plug.connect_ex(("127.0.0.3", server.port))

        async def resolve(host: str, port: int) -> list[str]:
            return ["127.0.0.3", "127.0.0.1"]

        client = bench.client(allow=(f"tools.example:{server.port}",), resolve=resolve)
        result = await bench.run(make_tool(f"http://tools.example:{server.port}/", timeout_s=1.0), client=client)
        for plug in waiting:
            plug.close()
    assert (result.status, result.attempts) == ("succeeded", 1)
    assert result.duration_ms >= 400

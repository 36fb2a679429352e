"""What the model is told: parsed, mapped, bounded answers and errors it can speak about."""

from __future__ import annotations

import gzip
import json

import pytest
from aiohttp import web

from tests.agents.tools.bench import (
    Bench,
    answer_with,
    gzip_answer,
    make_tool,
    text_of,
)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "did not accept the request"),
        (401, "credentials"),
        (403, "credentials"),
        (404, "found nothing"),
        (429, "too busy"),
        (500, "failed (HTTP 500)"),
    ],
)
async def test_an_error_answer_tells_the_model_what_and_what_to_say(bench: Bench, status: int, words: str) -> None:
    server = await bench.serve(answer_with({"message": "no such order"}, status=status))
    result = await bench.run(make_tool(server.url, on_failure="I can't find it just now."))
    output = json.loads(result.output)
    assert (result.status, result.http_status, result.attempts) == ("failed", status, 1)
    assert words in output["error"]
    assert output["say"] == "I can't find it just now."
    assert output["details"] == {"message": "no such order"}


async def test_an_error_page_is_not_read_to_the_model(bench: Bench) -> None:
    server = await bench.serve(text_of("<h1>Internal</h1>", "text/html", 502))
    result = await bench.run(make_tool(server.url))
    assert "details" not in json.loads(result.output)


@pytest.mark.parametrize(("body", "kind"), [(b"\x00\x01", "application/octet-stream"), (b"x" * 2000, "text/plain")])
async def test_details_of_an_error_are_bounded_text(bench: Bench, body: bytes, kind: str) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=kind, status=409)

    server = await bench.serve(handle)
    result = await bench.run(make_tool(server.url))
    assert len(result.output) < 1200


async def test_plain_text_is_passed_on(bench: Bench) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        charset = request.query["charset"]
        known = "latin-1" if charset == "nonsense" else charset
        return web.Response(
            body=" Caf\u00e9 open ".encode(known), headers={"Content-Type": f"text/plain; charset={charset}"}
        )

    server = await bench.serve(handle)
    for charset, text in [("utf-8", "Caf\u00e9 open"), ("latin-1", "Caf\u00e9 open"), ("nonsense", "Caf\ufffd open")]:
        result = await bench.run(make_tool(f"{server.url}/?charset={charset}"))
        assert json.loads(result.output)["result"] == text


@pytest.mark.parametrize(
    "body", ["{'not': json}", "[NaN]", "[" * 20000, "[" * 65 + "]" * 65, '{"a":' * 65 + "1" + "}" * 65, '{"a": "cut']
)
async def test_what_is_called_json_and_is_not_is_an_error(bench: Bench, body: str) -> None:
    server = await bench.serve(text_of(body, "application/json"))
    result = await bench.run(make_tool(server.url, idempotent=True))
    assert (result.status, result.http_status) == ("failed", 200)
    assert json.loads(result.output)["error"] == "The tool's server did not answer with JSON."


async def test_json_without_its_name_is_still_json(bench: Bench) -> None:
    server = await bench.serve(text_of('{"a": 12345678901234567890}'))
    result = await bench.run(make_tool(server.url))
    assert json.loads(result.output)["result"] == {"a": 12345678901234567890}


@pytest.mark.parametrize("kind", ["text/html", "application/xhtml+xml", "text/plain"])
async def test_a_web_page_is_no_answer_whatever_its_status(bench: Bench, kind: str) -> None:
    server = await bench.serve(text_of("\n<!DOCTYPE html><title>Log in</title>", kind))
    result = await bench.run(make_tool(server.url, idempotent=True))
    assert result.status == "failed"
    assert json.loads(result.output)["error"] == "The tool's server answered with a web page."


@pytest.mark.parametrize("kind", ["image/png", "audio/wav", "application/pdf"])
async def test_binary_answers_are_no_text(bench: Bench, kind: str) -> None:
    server = await bench.serve(text_of("xx", kind))
    assert (await bench.run(make_tool(server.url))).status == "failed"


@pytest.mark.parametrize(
    ("path", "result"),
    [("data.items.0.name", "Ann"), ("data", {"items": [{"name": "Ann"}]}), ("data.items.0", {"name": "Ann"})],
)
async def test_the_response_path_picks_what_the_model_needs(bench: Bench, path: str, result: object) -> None:
    server = await bench.serve(answer_with({"data": {"items": [{"name": "Ann"}]}}))
    run = await bench.run(make_tool(server.url, response_path=path))
    assert json.loads(run.output) == {"ok": True, "result": result}


@pytest.mark.parametrize(
    "path", ["nope", "data.items.1", "data.items.x", "data.items.0.name.first", "data.items.\u00b2"]
)
async def test_a_missing_response_path_is_an_error(bench: Bench, path: str) -> None:
    server = await bench.serve(answer_with({"data": {"items": [{"name": "Ann"}]}}))
    run = await bench.run(make_tool(server.url, response_path=path))
    assert run.status == "failed"
    assert path in json.loads(run.output)["error"]


async def test_text_where_a_path_was_promised_is_an_error(bench: Bench) -> None:
    server = await bench.serve(text_of("hello"))
    assert (await bench.run(make_tool(server.url, response_path="a"))).status == "failed"


async def test_an_empty_answer_is_a_success_without_a_result(bench: Bench) -> None:
    server = await bench.serve(text_of("", status=204))
    assert json.loads((await bench.run(make_tool(server.url))).output) == {"ok": True, "result": None}
    assert (await bench.run(make_tool(server.url, response_path="a"))).status == "failed"


@pytest.mark.parametrize("value", ['\u00e9"\n' * 4000, [{"n": n, "text": "x" * 50} for n in range(300)]])
async def test_a_long_answer_is_cut_for_the_model_and_stays_json(bench: Bench, value: object) -> None:
    server = await bench.serve(answer_with(value))
    result = await bench.run(make_tool(server.url))
    output = json.loads(result.output)
    assert result.status == "succeeded"
    assert 7_900 < len(result.output) <= 8_000
    assert output["truncated"] is True


async def test_five_megabytes_are_not_read_to_the_end(bench: Bench) -> None:
    sent = 0

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for _ in range(5 * 1024):
            await response.write(b'"' + b"x" * 1023)
            sent += 1024
        return response

    server = await bench.serve(pour)
    result = await bench.run(make_tool(server.url, on_failure="That list is too long."))
    output = json.loads(result.output)
    assert (result.status, result.http_status) == ("failed", 200)
    assert "far more" in output["error"]
    assert output["say"] == "That list is too long."
    assert result.response == "application/json, more than 65536 bytes"
    assert len(result.output) < 500


async def test_an_oversized_error_keeps_its_status(bench: Bench) -> None:
    server = await bench.serve(text_of("x" * 100_000, status=500))
    result = await bench.run(make_tool(server.url))
    assert result.http_status == 500
    assert "details" not in result.output


async def test_a_compressed_answer_is_read(bench: Bench) -> None:
    server = await bench.serve(gzip_answer(gzip.compress(b'{"a": 1}')))
    assert json.loads((await bench.run(make_tool(server.url))).output)["result"] == {"a": 1}


async def test_a_compressed_bomb_is_cut_off(bench: Bench) -> None:
    server = await bench.serve(gzip_answer(gzip.compress(b" " * 20_000_000)))
    assert "far more" in (await bench.run(make_tool(server.url))).output


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"no gzip", "gzip"), (gzip.compress(b'{"a": 1}', mtime=0)[:-9], "gzip"), (b"x", "br"), (b"x", "deflate")],
    ids=["no gzip", "cut gzip", "brotli", "deflate"],
)
async def test_an_unreadable_encoding_is_an_error(bench: Bench, body: bytes, encoding: str) -> None:
    server = await bench.serve(gzip_answer(body, encoding))
    result = await bench.run(make_tool(server.url, idempotent=True))
    assert (result.status, len(server.seen)) == ("failed", 1)


@pytest.mark.parametrize("depth", [63, 64])
async def test_nested_json_is_read_to_a_sane_depth(bench: Bench, depth: int) -> None:
    server = await bench.serve(text_of("[" * depth + "]" * depth, "application/json"))
    assert (await bench.run(make_tool(server.url))).status == "succeeded"


@pytest.mark.parametrize(("status", "body"), [(200, "no json"), (500, "{}"), (200, '"' + "x" * 70_000 + '"')])
async def test_an_action_without_a_good_answer_may_have_been_done_and_the_model_knows(
    bench: Bench, status: int, body: str
) -> None:
    server = await bench.serve(text_of(body, "application/json", status))
    once = await bench.run(make_tool(server.url))
    again = await bench.run(make_tool(server.url, idempotent=True, retries=0))
    reading = await bench.run(make_tool(server.url, method="GET"))
    assert "do not call it again" in once.output
    assert "do not call it again" not in again.output + reading.output

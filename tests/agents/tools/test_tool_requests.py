"""What an HTTP tool sends: arguments checked and placed, the address unchangeable, secrets seen by the server alone."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from aiohttp import web

from agents.spec import ToolSpec
from agents.tools.runner import ToolRunner
from tests.agents.tools.bench import (
    ORDER,
    SECRET,
    Bench,
    answer_with,
    make_tool,
    text_of,
)


async def test_arguments_travel_as_json_and_the_answer_comes_back(bench: Bench) -> None:
    server = await bench.serve(answer_with({"status": "shipped"}))
    result = await bench.run(make_tool(server.url + "/orders"))
    assert json.loads(result.output) == {"ok": True, "result": {"status": "shipped"}}
    assert (result.status, result.http_status, result.attempts) == ("succeeded", 200, 1)
    assert result.request == f"POST {server.url}/orders"
    assert result.response == "application/json, 21 bytes"
    [(method, path, headers, body)] = server.seen
    assert (method, path, json.loads(body)) == ("POST", "/orders", {"order_id": "A1"})
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == "key-1"
    assert headers["Host"] == f"127.0.0.1:{server.port}"


async def test_url_arguments_are_escaped_and_the_rest_of_a_get_becomes_its_query(bench: Bench) -> None:
    server = await bench.serve(answer_with({}))
    schema = {"type": "object", "properties": {}}
    tool = make_tool(server.url + "/v1/{customer}/orders?limit=5#x", method="GET", parameters=schema)
    await bench.run(
        tool,
        {
            "customer": "a/b c?&\u00fc",
            "open": True,
            "tags": ["x", "y&z", None],
            "page": 2,
            "none": None,
            "deep": {"a": 1},
        },
    )
    [(method, path, headers, body)] = server.seen
    assert (method, body) == ("GET", b"")
    assert path == "/v1/a%2Fb%20c%3F%26%C3%BC/orders?limit=5&open=true&tags=x&tags=y%26z&page=2&deep=%7B%22a%22%3A1%7D"
    assert "Content-Type" not in headers


async def test_numbers_and_booleans_fit_into_a_url(bench: Bench) -> None:
    server = await bench.serve(answer_with({}))
    tool = make_tool(server.url + "/{id}/{flag}", method="DELETE", parameters={"type": "object"})
    await bench.run(tool, {"id": 7, "flag": False})
    assert server.seen[0][:2] == ("DELETE", "/7/false")
    assert server.seen[0][3] == b""


async def test_a_get_without_arguments_keeps_its_url(bench: Bench) -> None:
    server = await bench.serve(answer_with([]))
    result = await bench.run(make_tool(server.url + "/all", method="GET", parameters={"type": "object"}), "")
    assert server.seen[0][1] == "/all"
    assert json.loads(result.output) == {"ok": True, "result": []}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("..", "change the address"),
        ("../../admin", "change the address"),
        ("..\\admin", "change the address"),
        (".", "change the address"),
        ("", "is needed"),
        ("   ", "is needed"),
        (None, "is needed"),
        ("a\r\nX-Evil: 1", "control characters"),
    ],
)
async def test_an_argument_cannot_change_the_address(bench: Bench, value: str | None, words: str) -> None:
    server = await bench.serve(answer_with({}))
    result = await bench.run(make_tool(server.url + "/orders/{id}", parameters={"type": "object"}), {"id": value})
    assert result.status == "refused"
    assert words in json.loads(result.output)["error"]
    assert server.seen == []


async def test_arguments_never_choose_the_host(bench: Bench) -> None:
    result = await bench.run(make_tool("https://{order_id}.example.com/"))
    assert result.status == "refused"
    assert result.attempts == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ('{"order_id": "A', "not valid JSON"),
        ("[1]", "must be one JSON object"),
        ('{"order_id": NaN}', "not valid JSON"),
        ("[" * 16000, "not valid JSON"),
        ('{"order_id": "' + "a" * 17000 + '"}', "longer than"),
        ("{}", "'order_id' is a required property"),
        ('{"order_id": "A", "more": [[' + "1," * 299 + "1]]}", "more than 300 values"),
        ('{"order_id": "A", "more": [' + "[1]," * 299 + "1]}", "more than 300 values"),
        ('{"order_id": 7}', "order_id: 7 is not of type 'string'"),
    ],
)
async def test_the_model_is_told_what_is_wrong_with_its_arguments(bench: Bench, arguments: str, words: str) -> None:
    server = await bench.serve(answer_with({}))
    result = await bench.run(make_tool(server.url, on_failure="Sorry, that is broken."), arguments)
    output = json.loads(result.output)
    assert result.status == "refused"
    assert output["ok"] is False
    assert words in output["error"]
    assert "say" not in output
    assert server.seen == []


async def test_many_and_long_problems_are_cut_short(bench: Bench) -> None:
    schema = {"type": "object", "properties": {f"f{n}": {"enum": ["x" * 500]} for n in range(9)}}
    result = await bench.run(make_tool("http://127.0.0.1:1", parameters=schema), {f"f{n}": "y" for n in range(9)})
    assert len(result.output) < 2_500
    assert "f0:" in result.output
    assert "f8:" not in result.output


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"type": "object", "properties": {"order_id": {"$ref": "http://169.254.169.254/schema"}}},
        {"type": "object", "properties": {"order_id": {"$ref": "#/$defs/none"}}},
        {"type": "object", "properties": {"order_id": {"pattern": "^(a+)+$"}}},
        {"type": "object", "patternProperties": {"^(a|ab)*$": {}}},
        {"type": "object", "allOf": [{"properties": {"order_id": {"pattern": "(x*)*"}}}]},
    ],
)
async def test_a_schema_that_cannot_be_used_refuses_the_tool_and_fetches_nothing(
    bench: Bench, schema: dict[str, Any]
) -> None:
    result = await bench.run(make_tool("http://127.0.0.1:1", parameters=schema, on_failure="It is down."))
    output = json.loads(result.output)
    assert result.status == "refused"
    assert output["error"] == "This tool is not set up correctly and cannot be used."
    assert output["say"] == "It is down."
    assert result.detail


async def test_a_tool_without_http_is_refused(bench: Bench) -> None:
    result = await bench.run(ToolSpec(name="lookup_order", parameters=ORDER))
    assert result.status == "refused"


async def test_secrets_reach_the_server_and_nobody_else(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        token = request.headers["X-Token"].encode("latin-1").decode("latin-1")
        return web.json_response(
            {"you sent": token, token: [token], "text": f"<{token}>"}, headers={"X-Request-Id": "7"}
        )

    server = await bench.serve(echo)
    caplog.set_level(logging.DEBUG)
    bench.secrets["crm"] = "sk-live-0123456789"
    tool = make_tool(server.url, headers={"X-Token": "Bearer {secret:crm}", "Accept": "application/json"})
    result = await bench.run(tool)
    assert server.seen[0][2]["X-Token"] == "Bearer sk-live-0123456789"
    assert server.seen[0][2]["Accept"] == "application/json"
    assert "sk-live" not in result.output + repr(result) + caplog.text
    assert json.loads(result.output)["result"]["you sent"] == "Bearer [secret]"


@pytest.mark.parametrize("status", [200, 401, 500])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
async def test_an_echoed_secret_is_taken_out_of_every_kind_of_answer(
    bench: Bench, status: int, content_type: str
) -> None:
    body = json.dumps({"header": SECRET}) if content_type == "application/json" else f"got {SECRET}"
    server = await bench.serve(text_of(body, content_type, status))
    result = await bench.run(make_tool(server.url, headers={"X-Token": "{secret:crm}"}))
    assert "sk-live" not in result.output
    assert "[secret]" in result.output


async def test_a_secret_echoed_inside_a_url_is_taken_out(bench: Bench) -> None:
    bench.secrets["crm"] = "sk live/&+1"
    server = await bench.serve(text_of("see https://x.example/?key=sk%20live%2F%26%2B1 or ?key=sk+live%2F%26%2B1"))
    result = await bench.run(make_tool(server.url, headers={"X-Token": "{secret:crm}"}))
    assert json.loads(result.output)["result"] == "see https://x.example/?key=[secret] or ?key=[secret]"


async def test_a_secret_that_is_a_number_is_taken_out_of_parsed_numbers_too(bench: Bench) -> None:
    server = await bench.serve(answer_with({"pin": 4711, "order": 14711, "yes": True}))
    bench.secrets["pin"] = "4711"
    result = await bench.run(make_tool(server.url, headers={"X-Pin": "{secret:pin}"}))
    assert json.loads(result.output)["result"] == {"pin": "[secret]", "order": 14711, "yes": True}


@pytest.mark.parametrize("value", ["", None, "line\nbreak", "not latin \u20ac"])
async def test_a_missing_or_unsendable_secret_refuses_the_tool(bench: Bench, value: str | None) -> None:
    server = await bench.serve(answer_with({}))
    bench.secrets = {} if value is None else {"crm": value}
    result = await bench.run(make_tool(server.url, headers={"X-Token": "{secret:crm}"}))
    assert result.status == "refused"
    assert server.seen == []
    assert "break" not in result.output


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "Proxy-Authorization", "Bad Name", "X:Y", "Idempotency-Key"]
)
async def test_headers_that_are_ours_cannot_be_declared(bench: Bench, name: str) -> None:
    server = await bench.serve(answer_with({}))
    result = await bench.run(make_tool(server.url, headers={name: "x"}))
    assert result.status == "refused"
    assert server.seen == []


async def test_digits_typed_in_secret_reach_the_server_and_not_the_model(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = await bench.serve(answer_with({"checked": "4711", "amount": 14711}))
    schema = {
        "type": "object",
        "properties": {"pin": {"type": "string", "pattern": "^[0-9]{4}$"}, "more": {"type": "array"}},
    }
    result = await bench.run(
        make_tool(server.url, parameters=schema), {"pin": "digits-1", "more": ["x", 1]}, redeem={"digits-1": "4711"}.get
    )
    assert json.loads(server.seen[0][3]) == {"pin": "4711", "more": ["x", 1]}
    assert json.loads(result.output)["result"] == {"checked": "[secret]", "amount": 14711}
    assert "4711'" not in caplog.text
    refused = await bench.run(
        make_tool(server.url, parameters={"type": "object", "properties": {"pin": {"maxLength": 2}}}),
        {"pin": "digits-1"},
        redeem={"digits-1": "4711"}.get,
    )
    assert refused.status == "refused"
    assert "4711" not in refused.output + repr(refused)


async def test_a_query_never_stands_in_the_record(bench: Bench) -> None:
    server = await bench.serve(answer_with({}))
    result = await bench.run(make_tool(server.url + "/o", method="GET"), {"order_id": "private"})
    assert "private" not in repr(result)


async def test_typed_digits_are_spent_by_the_request_and_not_by_a_refusal(bench: Bench) -> None:
    server = await bench.serve(answer_with({}))
    sealed = {"secret:1-1": "4711"}
    runner = ToolRunner(bench.secrets.get, client=bench.client(), redeem=lambda reference: sealed.pop(reference, None))
    tool = make_tool(
        server.url, parameters={"type": "object", "required": ["order_id"], "properties": {"pin": {"type": "string"}}}
    )
    statuses = []
    for arguments in (
        {"pin": "secret:1-1"},
        {"pin": "secret:1-1", "order_id": "A", "again": "secret:1-1"},
        {"pin": "secret:1-1", "order_id": "A"},
    ):
        result = await runner.run(tool, json.dumps(arguments), call_id="c", idempotency_key="k")
        statuses.append(result.status)
    assert statuses == ["refused", "succeeded", "succeeded"]
    bodies = [json.loads(body) for _, _, _, body in server.seen]
    assert bodies == [
        {"pin": "4711", "order_id": "A", "again": "4711"},
        {"pin": "secret:1-1", "order_id": "A"},
    ]

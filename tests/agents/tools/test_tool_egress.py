"""Where tools may connect: the checked address, under the right name, through redirects too."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest
from aiohttp import web

from agents.tools.client import Request
from tests.agents.tools.bench import (
    Bench,
    answer_with,
    free_port_url,
    make_tls,
    make_tool,
    text_of,
)


async def test_a_private_address_is_not_called_without_an_allowance(bench: Bench) -> None:
    server = await bench.serve(answer_with({}))
    result = await bench.run(make_tool(server.url, on_failure="I cannot look that up."), client=bench.client(allow=()))
    output = json.loads(result.output)
    assert result.status == "refused"
    assert output == {
        "ok": False,
        "error": "The address of this tool may not be called.",
        "say": "I cannot look that up.",
    }
    assert "loopback" in result.detail
    assert result.attempts == 1
    assert server.seen == []


@pytest.mark.parametrize("url", ["ftp://example.com/", "http://user:pw@example.com/", "http://2130706433/", "nonsense"])
async def test_an_address_that_is_no_plain_url_refuses_the_tool(bench: Bench, url: str) -> None:
    assert (await bench.run(make_tool(url))).status == "refused"


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://localhost:1/",
        "http://0x7f000001/",
        "file:///etc/passwd",
        "//10.0.0.1/",
        "http://user@example.com/",
        "http://[bad",
    ],
)
async def test_a_redirect_into_the_private_network_is_refused(bench: Bench, location: str) -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": location})

    server = await bench.serve(redirect)
    result = await bench.run(make_tool(server.url, idempotent=True))
    assert result.status == "failed"
    assert json.loads(result.output)["error"] == "The address of this tool may not be called."
    assert len(server.seen) == 1


async def test_a_name_that_changes_its_address_is_connected_at_the_checked_one(bench: Bench) -> None:
    """DNS rebinding: the second answer would be another address; it is never asked for, the first one is used."""
    server = await bench.serve(answer_with({"ok": 1}))
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[len(asked) - 1]

    client = bench.client(allow=(f"tools.example:{server.port}",), resolve=resolve)
    tool = make_tool(f"http://tools.example:{server.port}/orders")
    assert (await bench.run(tool, client=client)).status == "succeeded"
    assert (
        await bench.run(tool, client=client)
    ).status == "succeeded"  # the connection lives on, still to the first address
    assert asked == ["tools.example"]
    assert server.seen[0][2]["Host"] == f"tools.example:{server.port}"


async def test_each_new_connection_is_checked_again(bench: Bench) -> None:
    asked = 0

    async def resolve(host: str, port: int) -> list[str]:
        nonlocal asked
        asked += 1
        return ["10.0.0.1"]

    result = await bench.run(make_tool("http://tools.example/", idempotent=True), client=bench.client(resolve=resolve))
    assert (result.status, asked) == ("refused", 1)


async def test_the_next_address_is_tried_when_the_first_refuses(bench: Bench) -> None:
    server = await bench.serve(answer_with({}))

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]  # nobody listens on the first

    client = bench.client(allow=(f"tools.example:{server.port}",), resolve=resolve)
    result = await bench.run(make_tool(f"http://tools.example:{server.port}/"), client=client)
    assert (result.status, result.attempts) == ("succeeded", 1)


async def test_proxies_of_the_environment_are_ignored(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await bench.serve(answer_with({}))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await bench.run(make_tool(server.url))).status == "succeeded"


async def test_tls_verifies_the_name_although_the_connection_goes_to_an_address(bench: Bench, tmp_path: Path) -> None:
    server_tls, client_tls = make_tls(tmp_path, "tools.example")
    names: list[str | None] = []
    server_tls.sni_callback = lambda _socket, name, _context: names.append(name)
    server = await bench.serve(answer_with({}), tls=server_tls)

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    allow = (f"tools.example:{server.port}", f"other.example:{server.port}")
    client = bench.client(allow=allow, resolve=resolve, ssl_context=client_tls)
    good = await bench.run(make_tool(f"https://tools.example:{server.port}/"), client=client)
    wrong = await bench.run(make_tool(f"https://other.example:{server.port}/", retries=0), client=client)
    assert (good.status, wrong.status) == ("succeeded", "failed")
    assert names == ["tools.example", "other.example"]
    assert len(server.seen) == 1


async def test_the_trust_store_is_read_once_and_not_for_every_connection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Reading it takes 30 ms of the loop that carries the calls' audio."""
    server_tls, _ = make_tls(tmp_path, "tools.example")
    server = await bench.serve(answer_with({}), tls=server_tls)
    client = bench.client()

    def forbid(*_: object, **__: object) -> None:
        raise AssertionError("the trust store was read again")

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", forbid)
    result = await bench.run(make_tool(f"https://127.0.0.1:{server.port}/", retries=0), client=client)
    assert result.status == "failed"
    assert "CERTIFICATE_VERIFY_FAILED" in result.detail


async def test_a_redirect_from_https_to_http_is_refused(bench: Bench, tmp_path: Path) -> None:
    server_tls, client_tls = make_tls(tmp_path, "tools.example")
    plain = await bench.serve(answer_with({}))

    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": plain.url})

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    server = await bench.serve(redirect, tls=server_tls)
    client = bench.client(
        allow=(f"tools.example:{server.port}", f"127.0.0.1:{plain.port}"), resolve=resolve, ssl_context=client_tls
    )
    result = await bench.run(make_tool(f"https://tools.example:{server.port}/"), client=client)
    assert (result.status, plain.seen) == ("failed", [])


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "POST", "GET"), (302, "POST", "GET"), (303, "POST", "GET"), (303, "PUT", "GET"),
        (302, "PUT", "PUT"), (307, "POST", "POST"), (308, "PATCH", "PATCH"), (302, "GET", "GET"), (303, "GET", "GET"),
    ],
)  # fmt: skip
async def test_redirects_change_the_method_as_browsers_do(bench: Bench, status: int, method: str, then: str) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/old":
            return web.Response(status=status, headers={"Location": "new place?x=\u00fc"})
        return web.json_response({"done": True})

    server = await bench.serve(handle)
    result = await bench.run(make_tool(server.url + "/old", method=method))
    assert result.status == "succeeded"
    later = server.seen[1]
    assert later[0] == then
    assert later[1] == "/new%20place?x=%C3%BC"
    assert (later[3] == b"") is (then == "GET")
    assert ("Content-Type" in later[2]) is (then != "GET")


async def test_secret_headers_stay_with_the_origin_they_were_meant_for(bench: Bench) -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": other.url + "/x" if request.path == "/away" else "/here"})

    other = await bench.serve(answer_with({}))
    server = await bench.serve(redirect)
    tool = make_tool(
        server.url + "/away", headers={"Authorization": "Bearer {secret:crm}", "X-Shop": "7", "Accept": "*/*"}
    )
    bench.secrets["crm"] = "sk-live-1"
    assert (await bench.run(tool)).status == "succeeded"
    assert server.seen[0][2]["Authorization"] == "Bearer sk-live-1"
    assert {"Authorization", "X-Shop"}.isdisjoint(other.seen[0][2])
    assert other.seen[0][2]["Idempotency-Key"] == "key-1"
    assert json.loads(other.seen[0][3]) == {"order_id": "A1"}


@pytest.mark.parametrize(
    ("before", "after", "keeps"),
    [
        ("http://x.example/", "https://x.example/", True),
        ("http://x.example/", "http://x.example/other", True),
        ("http://x.example:8080/", "https://x.example/", False),
        ("http://x.example/", "https://y.example/", False),
        ("https://x.example/", "https://sub.x.example/", False),
    ],
)
async def test_an_upgrade_to_https_on_the_same_host_keeps_the_headers(
    bench: Bench, before: str, after: str, keeps: bool
) -> None:
    client = bench.client()
    request = Request("GET", client.fence.read_url(before), (("Authorization", "x"),), frozenset(("authorization",)))
    assert (client.follow(request, 302, after).headers != ()) is keeps


async def test_a_fourth_redirect_is_not_followed(bench: Bench) -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": f"{request.path}x"})

    server = await bench.serve(redirect)
    result = await bench.run(make_tool(server.url + "/a", idempotent=True))
    assert result.status == "failed"
    assert [entry[1] for entry in server.seen] == ["/a", "/ax", "/axx", "/axxx"]


async def test_a_redirect_without_a_location_is_an_error_answer(bench: Bench) -> None:
    server = await bench.serve(text_of("", status=304))
    assert (await bench.run(make_tool(server.url))).http_status == 304


async def test_no_cookie_is_kept(bench: Bench) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return web.json_response({}, headers={"Set-Cookie": "session=1"})

    server = await bench.serve(handle)
    client = bench.client()
    await bench.run(make_tool(server.url), client=client)
    await bench.run(make_tool(server.url), client=client)
    assert "Cookie" not in server.seen[1][2]


async def test_a_redirect_to_a_dead_server_leaves_the_outcome_open(bench: Bench) -> None:
    gone = free_port_url()

    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=303, headers={"Location": gone})

    server = await bench.serve(redirect)
    client = bench.client(allow=(server.url.removeprefix("http://"), gone.removeprefix("http://")))
    result = await bench.run(make_tool(server.url), client=client)
    assert (result.status, len(server.seen)) == ("failed", 1)
    assert "cannot be reached. Whether it was carried out is unknown" in result.output

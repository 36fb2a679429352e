"""The egress fence: one reading of a URL, names resolved once, every address checked, exact allowances."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.tools.fence import EgressFence, FenceError, ResolveError, Target, parse_allowances


def resolve_to(*addresses: str) -> EgressFence:
    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return EgressFence(resolve=resolve)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://api.example.com/orders?id=1#top", Target("https", "api.example.com", 443, "/orders?id=1")),
        ("HTTP://API.Example.COM:8080", Target("http", "api.example.com", 8080, "/")),
        ("https://api.example.com./x", Target("https", "api.example.com", 443, "/x")),
        ("https://8.8.8.8/", Target("https", "8.8.8.8", 443, "/")),
        ("https://[2606:4700:4700:0::1111]:444/", Target("https", "2606:4700:4700::1111", 444, "/")),
        ("https://a_b.example.com/caf\u00e9?q=\u00fc", Target("https", "a_b.example.com", 443, "/caf%C3%A9?q=%C3%BC")),
        ("https://example.com/a%2Fb", Target("https", "example.com", 443, "/a%2Fb")),
    ],
)
def test_a_plain_url_is_taken_apart_once(url: str, target: Target) -> None:
    assert EgressFence().read_url(url) == target


def test_the_host_header_names_brackets_and_unusual_ports() -> None:
    read = EgressFence().read_url
    assert read("https://[2606:4700::1]/").authority == "[2606:4700::1]"
    assert read("http://example.com:8080/").authority == "example.com:8080"
    assert read("http://example.com:80/a?b").url == "http://example.com/a?b"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "//example.com/",
        "example.com/orders",
        "https://",
        "https:///path",
        "https://user@example.com/",
        "https://user:pass@example.com/",
        "https://@example.com/",
        "https://example.com:99999/",
        "https://example.com:abc/",
        "https://example.com:0/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1..",
        "http://1.2.3.4.5/",
        "http://256.1.1.1/",
        "http://foo.0x1/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[not-an-address]/",
        "http://[1::2::3]/",
        "http://[127.0.0.1]/",
        "http://[v1.fe]/",
        "http://%31%32%37.0.0.1/",
        "http://ex%61mple.com/",
        "http://exa mple.com/",
        "http://example.com\\@evil.example/",
        "http://example.com/\r\nHost: evil",
        "http://exam\tple.com/",
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://b\u00fccher.example/",
        "http://-bad-.example/",
        "http://a..b/",
        "http://" + "a" * 64 + ".example/",
        "http://" + ".".join(["abcdefgh"] * 30) + "/",
        "http://example.com/" + "a" * 9000,
    ],
)
def test_a_url_that_could_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(FenceError) as caught:
        EgressFence().read_url(url)
    assert caught.value.permanent


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_a_refusal(text: str) -> None:
    for url in (text, "http://" + text, "https://example.com/" + text):
        try:
            target = EgressFence().read_url(url)
        except FenceError:
            continue
        assert target.url.isascii()
        assert EgressFence().read_url(target.url) == target


async def test_a_name_gives_its_checked_addresses_in_order_without_repeats() -> None:
    fence = resolve_to("93.184.216.34", "2606:2800:220:1::1", "93.184.216.34")
    assert await fence.find_addresses("example.com", 443) == ["93.184.216.34", "2606:2800:220:1::1"]


async def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    fence = resolve_to("93.184.216.34", "10.0.0.7")
    with pytest.raises(FenceError, match=r"example\.com leads to an address that is private"):
        await fence.find_addresses("example.com", 443)


async def test_a_name_without_address_is_not_permanent() -> None:
    with pytest.raises(ResolveError) as caught:
        await resolve_to().find_addresses("example.com", 443)
    assert not caught.value.permanent


async def test_an_address_in_a_url_is_judged_without_asking_the_resolver() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise AssertionError("an address needs no resolver")

    fence = EgressFence(resolve=resolve)
    assert await fence.find_addresses("8.8.8.8", 80) == ["8.8.8.8"]
    assert await fence.find_addresses("2606:4700::1", 80) == ["2606:4700::1"]
    with pytest.raises(FenceError, match="metadata"):
        await fence.find_addresses("169.254.169.254", 80)


async def test_only_a_few_addresses_are_tried() -> None:
    fence = resolve_to(*(f"8.8.8.{number}" for number in range(9)))
    assert len(await fence.find_addresses("example.com", 80)) == 4


async def test_allowances_are_exact_pairs_of_host_and_port() -> None:
    fence = EgressFence(allow=parse_allowances("127.0.0.1:8080, [::1]:8081,LocalHost:9"))
    assert await fence.find_addresses("127.0.0.1", 8080) == ["127.0.0.1"]
    assert await fence.find_addresses("::1", 8081) == ["::1"]
    for host, port in [("127.0.0.1", 8081), ("127.0.0.2", 8080), ("::1", 8080)]:
        with pytest.raises(FenceError):
            await fence.find_addresses(host, port)


@pytest.mark.parametrize("port", [9, 22, 25, 6379])
async def test_ports_of_other_services_are_closed_even_at_public_addresses(port: int) -> None:
    with pytest.raises(FenceError, match="another service"):
        await resolve_to("93.184.216.34").find_addresses("example.com", port)
    opened = EgressFence(allow=[f"8.8.8.8:{port}"])
    assert await opened.find_addresses("8.8.8.8", port) == ["8.8.8.8"]


@pytest.mark.parametrize(
    "entry", ["127.0.0.1", "127.0.0.1:", ":80", "host:0", "host:70000", "host:x", "http://host:80", "0x7f.1:80"]
)
def test_an_allowance_that_is_no_pair_names_itself(entry: str) -> None:
    with pytest.raises(ValueError, match="TOOL_EGRESS_ALLOW"):
        parse_allowances(f"good.example:80,{entry}")


def test_empty_allowances_are_none() -> None:
    assert parse_allowances(" , ") == ()
    EgressFence(allow=[" "])


async def test_the_system_resolver_is_asked_in_threads_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def answer(host: str, port: int, **options: object) -> list[tuple[object, ...]]:
        asked.append((host, port))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.4.4", port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    fence = EgressFence()
    assert await fence.find_addresses("dns.example", 443) == ["8.8.4.4"]
    assert await fence.find_addresses("dns.example", 444) == ["8.8.4.4"]
    assert asked == [("dns.example", 443), ("dns.example", 444)]
    fence.close()
    fence.close()


async def test_names_of_the_local_machine_lead_nowhere() -> None:
    fence = EgressFence()
    with pytest.raises(FenceError, match="loopback"):
        await fence.find_addresses("localhost", 80)
    fence.close()


async def test_an_unknown_name_is_a_resolve_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(host: str, port: int, **options: object) -> list[tuple[object, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    fence = EgressFence()
    with pytest.raises(ResolveError, match=r"nowhere\.example has no address"):
        await fence.find_addresses("nowhere.example", 80)
    fence.close()

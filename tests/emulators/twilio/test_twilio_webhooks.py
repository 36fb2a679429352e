"""Webhooks as the carrier makes them: signed, timed, retried, redirected, refused (twilio.md §3.1–§3.4)."""

from __future__ import annotations

import pytest
from aiohttp import web

from emulators.twilio.call import Source
from emulators.twilio.double import TwilioDouble
from emulators.twilio.values import TwilioFault
from emulators.twilio.webhooks import Overrides, check_url, resolve_url, split_overrides
from tests.emulators.twilio.conftest import MakeDouble
from tests.emulators.twilio.product import ACCOUNT, NUMBER, Hit, Product


def codes(double: TwilioDouble) -> list[int]:
    return [alert.code for alert in double.alerts]


async def ring(double: TwilioDouble, url: str | None = None) -> None:
    if url is not None:
        double.exchange.numbers[NUMBER].voice_url = url
    call = await double.ring(to=NUMBER, from_="+15005550100")
    await call.ended()


async def test_voice_webhook_is_a_signed_form_post_with_the_standard_parameters(
    product: Product, double: TwilioDouble
) -> None:
    product.answer("/voice", "<Hangup/>")
    call = await double.ring(to=NUMBER, from_="+15005550100")
    await call.ended()
    (hit,) = product.hits
    assert hit.signed
    assert hit.method == "POST"
    assert hit.headers["Content-Type"].startswith("application/x-www-form-urlencoded")
    assert hit.headers["I-Twilio-Idempotency-Token"]
    expected = {
        "CallSid": call.sid,
        "AccountSid": ACCOUNT,
        "ApiVersion": "2010-04-01",
        "From": "+15005550100",
        "Caller": "+15005550100",
        "To": NUMBER,
        "Called": NUMBER,
        "CallStatus": "ringing",
        "Direction": "inbound",
        "StirVerstat": "TN-Validation-Passed-A",
    }
    assert expected.items() <= hit.params.items()
    assert double.alerts == []


async def test_stir_verstat_may_be_absent(product: Product, make_double: MakeDouble) -> None:
    double = await make_double(stir_verstat=None)
    await ring(double)
    assert "StirVerstat" not in product.hits[0].params


async def test_get_webhook_carries_the_parameters_in_the_signed_query(product: Product, double: TwilioDouble) -> None:
    double.exchange.numbers[NUMBER].voice_method = "GET"
    await ring(double, f"{product.base_url}/voice?tenant=t1")
    (hit,) = product.hits
    assert hit.signed
    assert hit.path.startswith("/voice?tenant=t1&CallSid=CA")
    assert hit.params["CallStatus"] == "ringing"


async def test_fragment_is_neither_sent_nor_signed(product: Product, double: TwilioDouble) -> None:
    await ring(double, f"{product.base_url}/voice?a=b#ct=500&rt=1000&tt=2000&rc=2&rp=ct,5xx")
    (hit,) = product.hits
    assert hit.path == "/voice?a=b"
    assert hit.signed


async def test_server_error_is_not_retried_by_default(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", web.Response(status=503))
    await ring(double)
    assert len(product.hits) == 1
    assert codes(double) == [11200]


async def test_retry_policy_repeats_the_webhook_with_the_same_idempotency_token(
    product: Product, double: TwilioDouble
) -> None:
    product.answer("/voice", web.Response(status=503), web.Response(status=502), "<Hangup/>")
    await ring(double, f"{product.base_url}/voice#rc=2&rp=5xx")
    tokens = {hit.headers["I-Twilio-Idempotency-Token"] for hit in product.hits}
    assert len(product.hits) == 3
    assert len(tokens) == 1
    assert double.alerts == []


@pytest.mark.parametrize("pause_s", [0.0, 0.2])
async def test_tries_of_one_webhook_may_be_apart(product: Product, make_double: MakeDouble, pause_s: float) -> None:
    double = await make_double(retry_pause_s=pause_s, speed=1.0)
    product.answer("/voice", web.Response(status=503), "<Hangup/>")
    double.exchange.numbers[NUMBER].voice_url = f"{product.base_url}/voice#rp=5xx"
    call = await double.ring(to=NUMBER)
    await call.ended()
    first, second = call.entries("webhook")
    assert (second.at_s - first.at_s >= 0.2) is (pause_s > 0)


async def test_two_webhooks_have_different_idempotency_tokens(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", f"<Redirect>{product.base_url}/next</Redirect>")
    await ring(double)
    assert len({hit.headers["I-Twilio-Idempotency-Token"] for hit in product.hits}) == 2


async def test_refused_connection_is_tried_twice(product: Product, double: TwilioDouble, free_port: int) -> None:
    call = await double.ring(to=NUMBER)
    await call.ended()
    double.exchange.numbers[NUMBER].voice_url = f"http://127.0.0.1:{free_port}/voice"
    call = await double.ring(to=NUMBER)
    await call.ended()
    attempts = call.entries("webhook")
    assert [entry.detail["attempt"] for entry in attempts] == [0, 1]
    assert codes(double) == [11205]


async def test_read_timeout_of_the_override_ends_the_wait(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", "<Hangup/>")
    product.delay("/voice", 1.0)
    await ring(double, f"{product.base_url}/voice#rt=100")
    assert codes(double) == [11200]
    assert len(product.hits) == 1  # §3.3: read timeouts are not retried by default


async def test_whole_webhook_is_limited_whatever_the_overrides_say(product: Product, make_double: MakeDouble) -> None:
    double = await make_double(webhook_limit_s=0.1)
    product.delay("/voice", 1.0)
    await ring(double, f"{product.base_url}/voice#rt=15000&rc=5&rp=all")
    assert codes(double) == [11200]


async def test_fallback_url_is_asked_with_the_error(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", web.Response(status=500))
    product.answer("/fallback", "<Hangup/>")
    double.exchange.numbers[NUMBER].voice_fallback_url = f"{product.base_url}/fallback"
    await ring(double)
    hit = product.hits_of("/fallback")[0]
    assert hit.signed
    assert hit.params["ErrorCode"] == "11200"
    assert hit.params["ErrorUrl"] == f"{product.base_url}/voice"


async def test_without_fallback_the_caller_hears_an_apology(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", web.Response(status=500))
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert [piece.source for piece in call.leg.playout.history] == ["apology"]
    assert call.status == "completed"


async def test_schema_error_fails_the_document_when_strict_and_is_skipped_when_not(
    product: Product, double: TwilioDouble, make_double: MakeDouble
) -> None:
    product.answer("/voice", '<Say voise="x">Hello</Say>')
    await ring(double)
    assert codes(double) == [12200]
    lenient = await make_double(strict=False)
    call = await lenient.ring(to=NUMBER)
    await call.ended()
    assert codes(lenient) == [12200]
    assert [piece.source for piece in call.leg.playout.history] == ["say"]


async def test_http_redirect_is_followed_and_signed_anew(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", web.Response(status=302, headers={"Location": "/moved?x=1"}))
    product.answer("/moved", '<Redirect method="GET">relative</Redirect>')
    await ring(double)
    moved = product.hits_of("/moved")[0]
    assert moved.method == "GET"
    assert moved.signed
    assert product.hits_of("/relative")  # §3.2: against the document's own URL


async def test_ten_redirects_are_followed_and_no_more(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", web.Response(status=307, headers={"Location": "/voice"}))
    await ring(double)
    assert len(product.hits) == 11
    assert codes(double) == [11215]


async def test_cookies_are_kept_for_the_call_and_not_for_the_next(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", with_cookie("<Redirect>/next</Redirect>"))
    await ring(double)
    await ring(double)
    assert [hit.headers.get("Cookie") for hit in product.hits] == [None, "seen=yes", None, "seen=yes"]


def with_cookie(twiml: str) -> web.Response:
    return web.Response(
        text=f"<Response>{twiml}</Response>",
        content_type="text/xml",
        headers={"Set-Cookie": "seen=yes; Path=/; HttpOnly"},
    )


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (web.Response(body=b"<Response/>" + b" " * 65536, content_type="text/xml"), 11750),
        (web.Response(body=b"", content_type="text/xml"), 11770),
        (web.Response(body=b"<Response>", content_type="text/xml"), 12100),
        (web.Response(body=b"{}", content_type="application/json"), 12300),
    ],
    ids=["larger than 64 kB", "empty", "not XML", "JSON"],
)
async def test_bad_answer_has_its_code(product: Product, double: TwilioDouble, answer: web.Response, code: int) -> None:
    product.answer("/voice", answer)
    await ring(double)
    assert codes(double) == [code]


async def test_plain_text_is_spoken(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", web.Response(text="Hello", content_type="text/plain"))
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert [piece.source for piece in call.leg.playout.history] == ["say"]


async def test_relative_action_needs_a_document_url(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", '<Pause length="60"/>')
    call = await double.ring(to=NUMBER)
    call.answer()
    call.run_document(Source(twiml='<Response><Redirect method="POST">/next</Redirect></Response>'))
    await call.ended()
    assert codes(double) == [11100]


def test_overrides_are_read_within_their_ranges() -> None:
    url, overrides = split_overrides(
        "https://host/path?q#ct=100&rt=15000&tt=9000&rc=5&rp=rt,4xx&sni=y&e=dublin-ix,tokyo"
    )
    assert url == "https://host/path?q"
    assert overrides == Overrides(ct=100, rt=15000, tt=9000, rc=5, rp=frozenset({"rt", "4xx"}))
    assert split_overrides("https://host/path")[1] == Overrides(5000, 15000, 15000, 1, frozenset({"ct"}))


@pytest.mark.parametrize("fragment", ["ct=99", "rc=6", "rt=a", "rp=6xx", "xx=1", "e=atlantis", "sni=maybe"])
def test_override_out_of_range_is_an_error(fragment: str) -> None:
    with pytest.raises(TwilioFault):
        split_overrides(f"https://host/path#{fragment}")


@pytest.mark.parametrize(
    "url", ["ftp://host/", "https://", "voice", "https://my_host.example.com/", "https://host/a b"]
)
def test_some_urls_are_never_called(url: str) -> None:
    with pytest.raises(TwilioFault) as failure:
        check_url(url)
    assert failure.value.code == 11100


def test_relative_urls_resolve_against_the_document() -> None:
    assert resolve_url("https://host/a/b?c=d", "/e") == "https://host/e"
    assert resolve_url("https://host/a/b?c=d", "e#rc=1") == "https://host/a/e#rc=1"
    with pytest.raises(TwilioFault):
        resolve_url(None, "/e")


async def test_number_without_voice_url_fails_at_once(product: Product, double: TwilioDouble) -> None:
    await ring(double, "")
    (call,) = double.calls.values()
    assert call.status == "failed"
    assert product.hits == []


async def test_call_to_a_suspended_account_is_rejected(product: Product, double: TwilioDouble) -> None:
    double.exchange.accounts[ACCOUNT].status = "suspended"
    await ring(double)
    assert codes(double) == [10003]
    assert product.hits == []


def collect_statuses(hits: list[Hit]) -> list[str]:
    return [hit.params["CallStatus"] for hit in hits]


async def test_number_level_status_callback_fires_once_at_the_end(product: Product, double: TwilioDouble) -> None:
    double.exchange.numbers[NUMBER].status_callback = f"{product.base_url}/status"
    product.answer("/voice", '<Pause length="2"/><Hangup/>')
    await ring(double)
    (hit,) = product.hits_of("/status")
    assert hit.signed
    assert hit.params["CallStatus"] == "completed"
    assert hit.params["CallbackSource"] == "call-progress-events"
    assert int(hit.params["CallDuration"]) >= 1
    assert hit.params["Duration"] == "1"


async def test_callback_can_arrive_twice(product: Product, double: TwilioDouble) -> None:
    double.faults.callback_copies = 2
    double.exchange.numbers[NUMBER].status_callback = f"{product.base_url}/status"
    await ring(double)
    assert collect_statuses(product.hits_of("/status")) == ["completed", "completed"]

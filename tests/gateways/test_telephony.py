"""The REST gateway against the carrier's double, which refuses what the carrier refuses."""

from __future__ import annotations

import asyncio
import http.server
import io
import threading
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

import pytest

from emulators.callers import Caller, Silence
from emulators.twilio.config import DoubleConfig
from emulators.twilio.double import TwilioDouble
from gateways.errors import GatewayError
from gateways.telephony import TwilioGateway
from gateways.twilio_http import CarrierHosts
from tests.emulators.twilio.product import Product

TOKEN = "a-very-secret-token"
ACCOUNT = "AC" + "1" * 32
NUMBER = "+15550000000"
NUMBER_SID = "PN" + "1" * 32


@pytest.fixture
async def double() -> AsyncIterator[TwilioDouble]:
    async with TwilioDouble(DoubleConfig(speed=20.0, price_delay_s=0.0)) as double:
        double.add_account(sid=ACCOUNT, auth_token=TOKEN)
        double.add_number(NUMBER, sid=NUMBER_SID, account=ACCOUNT)
        yield double


@pytest.fixture
async def product() -> AsyncIterator[Product]:
    async with Product() as product:
        yield product


@pytest.fixture
def gateway(double: TwilioDouble) -> TwilioGateway:
    return TwilioGateway(ACCOUNT, TOKEN, CarrierHosts(double.base_url), 5.0)


async def answered(double: TwilioDouble, gateway: TwilioGateway, product: Product) -> str:
    """A call that runs and waits."""
    product.answer("/voice", '<Pause length="3600"/>')
    double.add_person("+15557654321", rings_s=0.0, caller=Caller([Silence(3600)]))
    row = await asyncio.to_thread(
        gateway.create_call, to_number="+15557654321", from_number=NUMBER, url=f"{product.base_url}/voice"
    )
    await double.calls[row.sid].wait_for("answered", 5)
    return row.sid


async def test_the_account_is_read(gateway: TwilioGateway) -> None:
    account = await asyncio.to_thread(gateway.fetch_account)
    assert (account.sid, account.status) == (ACCOUNT, "active")


async def test_a_call_is_made_limited_and_ended(double: TwilioDouble, gateway: TwilioGateway, product: Product) -> None:
    sid = await answered(double, gateway, product)
    limited = await asyncio.to_thread(gateway.update_call, sid, time_limit_s=600)
    assert not limited.is_over
    await asyncio.to_thread(gateway.update_call, sid, status="completed")
    await double.settled()
    over = await asyncio.to_thread(gateway.fetch_call, sid)
    assert over.is_over
    assert over.to_number == "+15557654321"
    assert over.from_number == NUMBER
    assert over.price is None or isinstance(over.price, Decimal)
    assert [call.sid for call in await asyncio.to_thread(gateway.list_calls)] == [sid]
    with pytest.raises(GatewayError) as refused:
        await asyncio.to_thread(gateway.update_call, sid, time_limit_s=600)
    assert (refused.value.code, refused.value.permanent) == ("21220", True)


def test_a_document_and_an_address_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="exclude"):
        TwilioGateway(ACCOUNT, TOKEN).update_call("CA1", twiml="<Response/>", url="https://x.example/")


async def test_a_live_call_is_recorded_paused_and_the_sound_fetched(
    double: TwilioDouble, gateway: TwilioGateway, product: Product
) -> None:
    product.answer("/recording", "")
    sid = await answered(double, gateway, product)
    started = await asyncio.to_thread(gateway.start_recording, sid, status_callback=f"{product.base_url}/recording")
    assert (started.call_sid, started.channels, started.duration_s) == (sid, 2, None)
    paused = await asyncio.to_thread(gateway.update_recording, sid, started.sid, status="paused")
    assert paused.status == "paused"
    await asyncio.to_thread(gateway.update_recording, sid, started.sid, status="in-progress")
    await asyncio.to_thread(gateway.stop_recording, sid, started.sid)
    await asyncio.to_thread(gateway.update_call, sid, status="completed")
    await double.settled()
    info = await asyncio.to_thread(gateway.fetch_recording, started.sid)
    assert (info.status, info.channels, info.source) == ("completed", 2, "StartCallRecordingAPI")
    assert info.duration_s is not None
    sound = io.BytesIO()
    assert await asyncio.to_thread(gateway.download_recording, started.sid, sound, channels=2) > 44
    assert sound.getvalue()[:4] == b"RIFF"
    await asyncio.to_thread(gateway.delete_recording, started.sid)


async def test_what_is_not_there_is_permanent(gateway: TwilioGateway) -> None:
    with pytest.raises(GatewayError) as missing:
        await asyncio.to_thread(gateway.fetch_call, "CA" + "0" * 32)
    assert (missing.value.status, missing.value.code, missing.value.permanent) == (404, "20404", True)
    await asyncio.to_thread(gateway.delete_recording, "RE" + "0" * 32)  # gone is deleted


async def test_a_wrong_token_is_permanent_and_never_shown(double: TwilioDouble) -> None:
    stranger = TwilioGateway(ACCOUNT, "wrong-and-secret", CarrierHosts(double.base_url), 5.0)
    with pytest.raises(GatewayError) as refused:
        await asyncio.to_thread(stranger.fetch_account)
    assert refused.value.permanent
    assert refused.value.status == 401
    assert "wrong-and-secret" not in str(refused.value) + repr(stranger)


@pytest.mark.parametrize(("status", "permanent"), [(429, False), (500, False), (503, False)])
async def test_load_and_outages_may_pass(
    double: TwilioDouble, gateway: TwilioGateway, status: int, permanent: bool
) -> None:
    double.faults.rest_status, double.faults.rest_count = status, 1
    with pytest.raises(GatewayError) as refused:
        await asyncio.to_thread(gateway.fetch_account)
    assert (refused.value.status, refused.value.permanent) == (status, permanent)
    assert (await asyncio.to_thread(gateway.fetch_account)).sid == ACCOUNT


def test_nobody_there_may_pass() -> None:
    gateway = TwilioGateway(ACCOUNT, TOKEN, CarrierHosts("http://127.0.0.1:9"), 2.0)
    with pytest.raises(GatewayError) as away:
        gateway.fetch_account()
    assert not away.value.permanent
    assert TOKEN not in str(away.value)


# --- hosts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "url", "placed"),
    [
        (CarrierHosts(), "https://api.twilio.com/2010-04-01/x.json", "https://api.twilio.com/2010-04-01/x.json"),
        (
            CarrierHosts("http://127.0.0.1:7000"),
            "https://api.twilio.com/2010-04-01/x.json?A=1",
            "http://127.0.0.1:7000/api.twilio.com/2010-04-01/x.json?A=1",
        ),
        (
            CarrierHosts("http://127.0.0.1:7000/base"),
            "https://trunking.twilio.com/v1/Trunks",
            "http://127.0.0.1:7000/base/trunking.twilio.com/v1/Trunks",
        ),
        (
            CarrierHosts("http://127.0.0.1:7000", {"api": "http://127.0.0.1:8000/own"}),
            "https://api.twilio.com/x",
            "http://127.0.0.1:8000/own/x",
        ),
        (CarrierHosts("", {"api": "eu.example.com"}), "https://api.twilio.com/x", "https://eu.example.com/x"),
        (CarrierHosts("http://127.0.0.1:7000"), "https://storage.example.com/x", "https://storage.example.com/x"),
        (
            CarrierHosts("http://127.0.0.1:7000"),
            "https://twilio.com.evil.example/x",
            "https://twilio.com.evil.example/x",
        ),
        (
            CarrierHosts("http://127.0.0.1:7000"),
            "https://api.dublin.ie1.twilio.com/x",
            "http://127.0.0.1:7000/api.twilio.com/x",
        ),
    ],
)
def test_every_host_of_the_carrier_is_placed(hosts: CarrierHosts, url: str, placed: str) -> None:
    assert hosts.place(url) == placed


async def test_a_stray_region_moves_nothing(double: TwilioDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_REGION", "ie1")
    monkeypatch.setenv("TWILIO_EDGE", "dublin")
    gateway = TwilioGateway(ACCOUNT, TOKEN, CarrierHosts(double.base_url), 5.0)
    assert gateway._client.region is None
    assert gateway._client.edge is None
    assert (await asyncio.to_thread(gateway.fetch_account)).sid == ACCOUNT


# --- media ----------------------------------------------------------------------------------------------------------


class Storage:
    """A host that is not the carrier's, and a carrier that redirects to it; both remember the headers they got."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None]] = []
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        storage = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                storage.seen.append((self.path.split("?")[0], self.headers.get("Authorization")))
                status, headers, body = storage.answers[self.path.split("?")[0]]
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                """Silent."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def carrier_host() -> Iterator[Storage]:
    host = Storage()
    yield host
    host.close()


@pytest.fixture
def storage_host() -> Iterator[Storage]:
    host = Storage()
    yield host
    host.close()


RECORDING = "RE" + "2" * 32
MEDIA = f"/api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Recordings/{RECORDING}.wav"


def test_storage_is_never_shown_the_accounts_token(carrier_host: Storage, storage_host: Storage) -> None:
    carrier_host.answers[MEDIA] = (302, {"Location": f"{storage_host.url}/bucket/x.wav"}, b"")
    storage_host.answers["/bucket/x.wav"] = (200, {}, b"RIFF" + b"\0" * 100_000)
    target = io.BytesIO()
    gateway = TwilioGateway(ACCOUNT, TOKEN, CarrierHosts(carrier_host.url), 5.0)
    assert gateway.download_recording(RECORDING, target, channels=2) == 100_004
    assert target.getvalue()[:4] == b"RIFF"
    assert carrier_host.seen[0][1] is not None
    assert storage_host.seen == [("/bucket/x.wav", None)]


@pytest.mark.parametrize(("status", "permanent"), [(404, False), (503, False), (429, False), (401, True), (403, True)])
def test_media_that_is_not_there_yet_may_come(carrier_host: Storage, status: int, permanent: bool) -> None:
    carrier_host.answers[MEDIA] = (status, {}, b"")
    gateway = TwilioGateway(ACCOUNT, TOKEN, CarrierHosts(carrier_host.url), 5.0)
    with pytest.raises(GatewayError) as refused:
        gateway.download_recording(RECORDING, io.BytesIO())
    assert (refused.value.status, refused.value.permanent) == (status, permanent)


def test_a_redirect_in_circles_ends(carrier_host: Storage) -> None:
    carrier_host.answers[MEDIA] = (302, {"Location": MEDIA}, b"")
    gateway = TwilioGateway(ACCOUNT, TOKEN, CarrierHosts(carrier_host.url), 5.0)
    with pytest.raises(GatewayError, match="redirects"):
        gateway.download_recording(RECORDING, io.BytesIO())
    assert len(carrier_host.seen) == 3


def test_an_answer_that_is_no_json_may_pass(carrier_host: Storage) -> None:
    path = f"/api.twilio.com/2010-04-01/Accounts/{ACCOUNT}.json"
    carrier_host.answers[path] = (200, {"Content-Type": "text/html"}, b"<html>maintenance</html>")
    gateway = TwilioGateway(ACCOUNT, TOKEN, CarrierHosts(carrier_host.url), 5.0)
    with pytest.raises(GatewayError) as odd:
        gateway.fetch_account()
    assert not odd.value.permanent


def test_an_error_without_a_code_keeps_the_status_apart(carrier_host: Storage) -> None:
    path = f"/api.twilio.com/2010-04-01/Accounts/{ACCOUNT}.json"
    carrier_host.answers[path] = (422, {}, b'{"type": "proxy"}')  # twilio.md §0.2: the SDK repeats the status as code
    gateway = TwilioGateway(ACCOUNT, TOKEN, CarrierHosts(carrier_host.url), 5.0)
    with pytest.raises(GatewayError) as odd:
        gateway.fetch_account()
    assert (odd.value.code, odd.value.status, odd.value.permanent) == ("", 422, True)

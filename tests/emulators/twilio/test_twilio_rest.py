"""The REST API: credentials, parameters, refusals, shapes (twilio.md §0.2, §4, §5.2, §6.2)."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from emulators.callers import Caller, HangUp, PlayRaw, Say, Silence
from emulators.twilio.call import Call
from emulators.twilio.double import TwilioDouble
from tests.emulators.twilio.conftest import MakeDouble
from tests.emulators.twilio.product import ACCOUNT, NUMBER, NUMBER_SID, TOKEN, Peer, Product

PERSON = "+15005550200"
VOICE = bytes([0x10, 0x90] * 4000)


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(user, password)}


class Rest:
    def __init__(self, double: TwilioDouble, session: aiohttp.ClientSession) -> None:
        self._double = double
        self._session = session

    async def __call__(
        self, method: str, path: str, *, auth: tuple[str, str] = (ACCOUNT, TOKEN), **params: Any
    ) -> tuple[int, dict[str, Any]]:
        """`path` below the account; parameters by their PascalCase names."""
        url = f"{self._double.base_url}/api.twilio.com/2010-04-01/Accounts/{ACCOUNT}{path}"
        fields = [
            (name, item) for name, value in params.items() for item in (value if isinstance(value, list) else [value])
        ]
        where = {"params": fields} if method == "GET" else {"data": fields}
        async with self._session.request(method, url, headers=basic(*auth), **where) as response:
            return response.status, await response.json() if response.content_length else {}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def rest(double: TwilioDouble, session: aiohttp.ClientSession) -> Rest:
    return Rest(double, session)


async def test_account_shows_itself(rest: Rest) -> None:
    status, account = await rest("GET", ".json")
    assert status == 200
    assert account["sid"] == ACCOUNT
    assert account["status"] == "active"


@pytest.mark.parametrize("auth", [(ACCOUNT, "wrong"), ("AC" + "9" * 32, TOKEN), ("", "")])
async def test_wrong_credentials_are_20003(rest: Rest, auth: tuple[str, str]) -> None:
    status, body = await rest("GET", "/Calls.json", auth=auth)
    assert status == 401
    assert body == {
        "code": 20003,
        "message": "Authenticate",
        "more_info": "https://www.twilio.com/docs/errors/20003",
        "status": 401,
    }


async def test_parent_acts_on_its_subaccount_and_a_stranger_sees_nothing(
    double: TwilioDouble, session: aiohttp.ClientSession
) -> None:
    sub = double.add_account(sid="AC" + "2" * 32, auth_token="sub-token", parent=ACCOUNT)
    double.add_account(sid="AC" + "3" * 32, auth_token="stranger")
    url = f"{double.base_url}/api.twilio.com/2010-04-01/Accounts/{sub.sid}/Calls.json"
    seen = []
    for auth in ((ACCOUNT, TOKEN), (sub.sid, "sub-token"), ("AC" + "3" * 32, "stranger")):
        async with session.get(url, headers=basic(*auth)) as response:
            seen.append(response.status)
    assert seen == [200, 200, 404]


async def test_api_key_opens_its_own_account(double: TwilioDouble, rest: Rest) -> None:
    double.exchange.accounts[ACCOUNT].api_keys["SK" + "1" * 32] = "key-secret"
    status, _ = await rest("GET", "/Calls.json", auth=("SK" + "1" * 32, "key-secret"))
    assert status == 200


async def test_unknown_path_and_method_have_twilio_bodies(rest: Rest) -> None:
    assert (await rest("GET", "/Nonsense.json"))[1]["code"] == 20404
    assert (await rest("PUT", "/Calls.json"))[1]["code"] == 20004
    assert (await rest("GET", f"/Calls/CA{'0' * 32}.json"))[1]["code"] == 20404


@pytest.mark.parametrize(("status", "code"), [(429, 20429), (500, 20500), (503, 20503)])
async def test_ordered_fault_comes_as_often_as_ordered(
    double: TwilioDouble, rest: Rest, status: int, code: int
) -> None:
    double.faults.rest_status, double.faults.rest_count = status, 1
    failed, body = await rest("GET", "/Calls.json")
    assert (failed, body["code"], body["status"]) == (status, code, status)
    assert (await rest("GET", "/Calls.json"))[0] == 200


async def test_call_is_created_rung_answered_and_priced(product: Product, double: TwilioDouble, rest: Rest) -> None:
    double.add_person(PERSON, rings_s=1.0)
    product.answer("/answered", '<Pause length="2"/><Hangup/>')
    status, created = await rest(
        "POST",
        "/Calls.json",
        To=PERSON,
        From=NUMBER,
        Url=f"{product.base_url}/answered",
        StatusCallback=f"{product.base_url}/status",
        StatusCallbackEvent=["initiated", "ringing", "answered", "completed"],
    )
    assert status == 201
    assert (created["status"], created["direction"]) == ("queued", "outbound-api")
    assert (created["duration"], created["price"], created["start_time"]) == (None, None, None)
    call = double.calls[created["sid"]]
    await call.ended()
    _, over = await rest("GET", f"/Calls/{call.sid}.json")
    assert over["status"] == "completed"
    assert re.fullmatch(r"\d+", over["duration"])
    assert over["price"] is None
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000", over["start_time"])
    hits = product.hits_of("/status")
    assert [hit.params["CallStatus"] for hit in hits] == ["initiated", "ringing", "in-progress", "completed"]
    assert product.hits_of("/answered")[0].params["Direction"] == "outbound-api"
    await call.wait_for("priced")
    _, priced = await rest("GET", f"/Calls/{call.sid}.json")
    assert priced["price"] == "-0.00850"
    assert priced["price_unit"] == "USD"


@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed"])
async def test_call_nobody_takes_ends_with_its_status(
    product: Product, double: TwilioDouble, rest: Rest, outcome: str
) -> None:
    double.add_person(PERSON, outcome=outcome)
    _, created = await rest(
        "POST",
        "/Calls.json",
        To=PERSON,
        From=NUMBER,
        Twiml="<Response/>",
        Timeout="3",
        StatusCallback=f"{product.base_url}/status",
    )
    await double.calls[created["sid"]].ended()
    assert [hit.params["CallStatus"] for hit in product.hits_of("/status")] == [outcome]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"To": None}, 21201),
        ({"From": None}, 21213),
        ({"To": "5550200"}, 21211),
        ({"From": "me"}, 21212),
        ({"From": "+15005550001"}, 21210),
        ({"Url": None}, 21205),
        ({"Url": "/relative"}, 21205),
        ({"Url": "https://my_host.example.com/"}, 21205),
        ({"Method": "PUT"}, 21209),
        ({"Timeout": "601"}, 21208),
        ({"Timeout": "soon"}, 21208),
        ({"SendDigits": "12x"}, 21206),
        ({"StatusCallbackEvent": "answerd"}, 20001),
        ({"TimeLimit": "0"}, 20001),
        ({"Twilm": "<Response/>"}, 20001),
        ({"ApplicationSid": "AP1"}, 21218),
        ({"MachineDetection": "Enable", "AsyncAmd": "true"}, 21262),
        ({"MachineDetection": "Maybe"}, 21263),
        ({"Url": None, "Twiml": "<Response>" + "x" * 4000 + "</Response>"}, 32018),
    ],
)
async def test_bad_parameter_of_a_new_call_has_its_code(
    double: TwilioDouble, rest: Rest, change: dict[str, str | None], code: int
) -> None:
    double.add_person(PERSON)
    params: dict[str, str | None] = {"To": PERSON, "From": NUMBER, "Url": "https://voice.example.com/"} | change
    status, body = await rest("POST", "/Calls.json", **{name: value for name, value in params.items() if value})
    assert (status, body["code"]) == (400, code)
    assert double.calls == {}


async def test_calls_beyond_one_a_second_wait_as_queued(product: Product, double: TwilioDouble, rest: Rest) -> None:
    double.add_person(PERSON, rings_s=0)
    sids = []
    for _ in range(3):
        _, created = await rest("POST", "/Calls.json", To=PERSON, From=NUMBER, Twiml="<Response/>")
        sids.append(created["sid"])
    calls = [double.calls[sid] for sid in sids]
    await asyncio.gather(*(call.ended() for call in calls))
    assert calls[0].queue_ms < 900
    assert calls[1].queue_ms < calls[2].queue_ms
    assert (await rest("GET", f"/Calls/{sids[2]}.json"))[1]["queue_time"] == str(calls[2].queue_ms)


async def test_suspended_account_cannot_call(double: TwilioDouble, rest: Rest) -> None:
    await rest("POST", ".json", Status="suspended")
    status, body = await rest("POST", "/Calls.json", To=PERSON, From=NUMBER, Twiml="<Response/>")
    assert (status, body["code"]) == (401, 20005)
    assert (await rest("POST", ".json", Status="active"))[1]["status"] == "active"


async def test_closing_an_account_is_irreversible(rest: Rest) -> None:
    await rest("POST", ".json", Status="closed")
    assert (await rest("POST", ".json", Status="active"))[1]["code"] == 21479


async def test_background_detection_reports_to_its_callback(product: Product, double: TwilioDouble, rest: Rest) -> None:
    double.add_person(PERSON, answered_by="machine_start")
    _, created = await rest(
        "POST",
        "/Calls.json",
        To=PERSON,
        From=NUMBER,
        Twiml='<Response><Pause length="10"/></Response>',
        MachineDetection="DetectMessageEnd",
        AsyncAmd="true",
        AsyncAmdStatusCallback=f"{product.base_url}/amd",
    )
    hit = await product.hit("/amd")
    assert hit.params["AnsweredBy"] == "machine_end_beep"
    assert hit.params["MachineDetectionDuration"] == "3000"
    double.calls[created["sid"]].hang_up(by="caller")


async def test_synchronous_detection_delays_the_document(product: Product, double: TwilioDouble, rest: Rest) -> None:
    double.add_person(PERSON)
    product.answer("/answered", "<Hangup/>")
    url = f"{product.base_url}/answered"
    _, created = await rest("POST", "/Calls.json", To=PERSON, From=NUMBER, Url=url, MachineDetection="Enable")
    await double.calls[created["sid"]].ended()
    assert product.hits_of("/answered")[0].params["AnsweredBy"] == "human"
    assert (await rest("GET", f"/Calls/{created['sid']}.json"))[1]["answered_by"] == "human"


async def ring_and_stream(product: Product, double: TwilioDouble, **script: Any) -> Call:
    async def talk(peer: Peer) -> None:
        await peer.collect()

    product.socket("/media", talk)
    product.answer("/voice", f'<Connect><Stream url="{product.ws_url}/media"/></Connect><Redirect>/resume</Redirect>')
    call = await double.ring(to=NUMBER, **script)
    await call.wait_for("stream-started")
    return call


async def test_live_call_takes_a_new_document(product: Product, double: TwilioDouble, rest: Rest) -> None:
    call = await ring_and_stream(product, double)
    status, body = await rest("POST", f"/Calls/{call.sid}.json", Twiml="<Response><Say>Bye</Say></Response>")
    assert (status, body["status"]) == (200, "in-progress")
    await call.ended()
    assert call.leg.playout.history[-1].source == "say"
    assert double.alerts == []


async def test_live_call_is_hung_up(product: Product, double: TwilioDouble, rest: Rest) -> None:
    call = await ring_and_stream(product, double)
    status, body = await rest("POST", f"/Calls/{call.sid}.json", Status="completed")
    assert (status, body["status"]) == (200, "completed")
    assert call.ended_by == "api"


async def test_time_limit_can_be_set_on_a_live_call(product: Product, double: TwilioDouble, rest: Rest) -> None:
    call = await ring_and_stream(product, double)
    await rest("POST", f"/Calls/{call.sid}.json", TimeLimit="2")
    await call.ended()
    assert call.ended_by == "time-limit"


async def test_call_that_is_over_refuses_updates(product: Product, double: TwilioDouble, rest: Rest) -> None:
    call = await double.ring(to=NUMBER)
    await call.ended()
    for params in ({"Twiml": "<Response/>"}, {"Status": "completed"}, {"Status": "canceled"}):
        status, body = await rest("POST", f"/Calls/{call.sid}.json", **params)
        assert (status, body["code"]) == (400, 21220)


async def test_update_takes_url_or_twiml_and_nothing_unknown(
    product: Product, double: TwilioDouble, rest: Rest
) -> None:
    call = await ring_and_stream(product, double)
    path = f"/Calls/{call.sid}.json"
    assert (await rest("POST", path, Url="https://a.example/", Twiml="<Response/>"))[1]["code"] == 20001
    assert (await rest("POST", path, Statuss="completed"))[1]["code"] == 20001
    assert (await rest("POST", path, Status="canceled"))[1]["code"] == 21220
    assert call.live


async def test_ringing_call_is_canceled_and_takes_no_document(
    product: Product, double: TwilioDouble, rest: Rest
) -> None:
    double.add_person(PERSON, outcome="no-answer")
    _, created = await rest("POST", "/Calls.json", To=PERSON, From=NUMBER, Twiml="<Response/>")
    call = double.calls[created["sid"]]
    assert (await rest("POST", f"/Calls/{call.sid}.json", Twiml="<Response/>"))[1]["code"] == 21220
    status, body = await rest("POST", f"/Calls/{call.sid}.json", Status="canceled")
    assert (status, body["status"]) == (200, "canceled")


async def test_list_is_paged_newest_first_and_filtered(product: Product, double: TwilioDouble, rest: Rest) -> None:
    for number in range(3):
        call = await double.ring(to=NUMBER, from_=f"+1500555010{number}")
        await call.ended()
    _, first = await rest("GET", "/Calls.json", PageSize="2")
    assert [call["from"] for call in first["calls"]] == ["+15005550102", "+15005550101"]
    assert (first["page"], first["page_size"], first["start"], first["end"]) == (0, 2, 0, 1)
    assert first["next_page_uri"] == f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json?PageSize=2&Page=1"
    _, second = await rest("GET", "/Calls.json", PageSize="2", Page="1")
    assert [call["from"] for call in second["calls"]] == ["+15005550100"]
    assert second["next_page_uri"] is None
    _, some = await rest("GET", "/Calls.json", From="+15005550101", Status="completed")
    assert len(some["calls"]) == 1
    assert (await rest("GET", "/Calls.json", PageSize="1001"))[1]["code"] == 20001


async def test_events_tell_what_the_product_answered(product: Product, double: TwilioDouble, rest: Rest) -> None:
    product.answer("/voice", "<Hangup/>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    _, page = await rest("GET", f"/Calls/{call.sid}/Events.json")
    (event,) = page["events"]
    assert event["request"]["url"] == f"{product.base_url}/voice"
    assert event["request"]["parameters"]["CallSid"] == call.sid
    assert event["response"]["response_code"] == 200
    assert event["response"]["content_type"] == "text/xml"
    assert event["response"]["response_body"] == "<Response><Hangup/></Response>"


async def test_number_is_listed_and_configured(product: Product, double: TwilioDouble, rest: Rest) -> None:
    _, listed = await rest("GET", "/IncomingPhoneNumbers.json", PhoneNumber=NUMBER)
    assert [number["sid"] for number in listed["incoming_phone_numbers"]] == [NUMBER_SID]
    path = f"/IncomingPhoneNumbers/{NUMBER_SID}.json"
    status, changed = await rest("POST", path, VoiceUrl=f"{product.base_url}/other#rc=2", StatusCallback="")
    assert status == 200
    assert changed["voice_url"] == f"{product.base_url}/other#rc=2"
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert product.hits[0].path == "/other"
    assert (await rest("POST", path, VoiceUrl="nonsense"))[1]["code"] == 21402
    assert (await rest("POST", path, VoiceMethod="PATCH"))[1]["code"] == 21403


async def test_trunk_and_application_exclude_each_other(double: TwilioDouble, rest: Rest) -> None:
    path = f"/IncomingPhoneNumbers/{NUMBER_SID}.json"
    await rest("POST", path, VoiceApplicationSid="AP" + "1" * 32)
    _, changed = await rest("POST", path, TrunkSid="TK" + "1" * 32)
    assert (changed["trunk_sid"], changed["voice_application_sid"]) == ("TK" + "1" * 32, None)


async def test_only_the_parent_moves_a_number(double: TwilioDouble, rest: Rest, session: aiohttp.ClientSession) -> None:
    sub = double.add_account(sid="AC" + "2" * 32, auth_token="sub-token", parent=ACCOUNT)
    status, moved = await rest("POST", f"/IncomingPhoneNumbers/{NUMBER_SID}.json", AccountSid=sub.sid)
    assert (status, moved["account_sid"]) == (200, sub.sid)
    url = f"{double.base_url}/api.twilio.com/2010-04-01/Accounts/{sub.sid}/IncomingPhoneNumbers/{NUMBER_SID}.json"
    async with session.post(url, data={"AccountSid": ACCOUNT}, headers=basic(sub.sid, "sub-token")) as response:
        assert (await response.json())["code"] == 21474


async def test_live_call_is_recorded_paused_and_fetched(
    product: Product, double: TwilioDouble, rest: Rest, session: aiohttp.ClientSession
) -> None:
    call = await ring_and_stream(product, double, caller=Caller([Silence(3), PlayRaw(VOICE), Silence(1), HangUp()]))
    status, started = await rest(
        "POST",
        f"/Calls/{call.sid}/Recordings.json",
        RecordingChannels="dual",
        RecordingStatusCallback=f"{product.base_url}/rec",
        RecordingStatusCallbackEvent=["in-progress", "completed"],
    )
    assert status == 201
    assert (started["status"], started["source"], started["channels"]) == ("in-progress", "StartCallRecordingAPI", 2)
    current = f"/Calls/{call.sid}/Recordings/Twilio.CURRENT.json"
    assert (await rest("POST", current, Status="paused", PauseBehavior="skip"))[1]["status"] == "paused"
    assert (await rest("POST", current, Status="in-progress"))[1]["status"] == "in-progress"
    await call.ended()
    await double.settled()
    hits = product.hits_of("/rec")
    assert [hit.params["RecordingStatus"] for hit in hits] == ["in-progress", "completed"]
    told = hits[1].params
    assert told["RecordingSid"] == started["sid"]
    assert told["RecordingUrl"].endswith(f"/2010-04-01/Accounts/{ACCOUNT}/Recordings/{started['sid']}")
    _, shown = await rest("GET", f"/Recordings/{started['sid']}.json")
    assert (shown["status"], shown["duration"]) == ("completed", told["RecordingDuration"])
    _, listed = await rest("GET", "/Recordings.json", CallSid=call.sid)
    assert [item["sid"] for item in listed["recordings"]] == [started["sid"]]
    assert (await rest("POST", current, Status="stopped"))[1]["code"] == 20404
    async with session.get(told["RecordingUrl"] + ".wav") as refused:
        assert refused.status == 401
    headers = basic(ACCOUNT, TOKEN)
    async with session.get(told["RecordingUrl"] + ".mp3", headers=headers) as unsupported:
        assert unsupported.status == 415
    async with session.get(told["RecordingUrl"] + ".wav", params={"RequestedChannels": "2"}, headers=headers) as media:
        assert media.status == 200
        assert media.content_type == "audio/x-wav"
        assert int.from_bytes((await media.read())[22:24], "little") == 2
    status, _ = await rest("DELETE", f"/Recordings/{started['sid']}.json")
    assert status == 204
    assert (await rest("GET", f"/Recordings/{started['sid']}.json"))[1]["status"] == "deleted"
    async with session.get(told["RecordingUrl"] + ".wav", headers=headers) as gone:
        assert gone.status == 404


async def test_media_may_be_late_after_the_callback(
    product: Product, make_double: MakeDouble, session: aiohttp.ClientSession
) -> None:
    double = await make_double(recording_media_delay_s=5.0, media_needs_auth=False)
    call = await ring_and_stream(product, double)
    rest = Rest(double, session)
    _, started = await rest(
        "POST", f"/Calls/{call.sid}/Recordings.json", RecordingStatusCallback=f"{product.base_url}/rec"
    )
    call.hang_up(by="caller")
    url = (await product.hit("/rec")).params["RecordingUrl"]
    async with session.get(url) as too_early:
        assert too_early.status == 404
    await double.exchange.clock.sleep(5.0)
    async with session.get(url) as media:
        assert media.status == 200


async def test_only_a_live_call_can_be_recorded(product: Product, double: TwilioDouble, rest: Rest) -> None:
    call = await double.ring(to=NUMBER)
    await call.ended()
    status, body = await rest("POST", f"/Calls/{call.sid}/Recordings.json")
    assert (status, body["code"]) == (400, 21220)


async def test_stream_is_forked_and_stopped_by_rest(product: Product, double: TwilioDouble, rest: Rest) -> None:
    call = await ring_and_stream(product, double)
    status, forked = await rest(
        "POST",
        f"/Calls/{call.sid}/Streams.json",
        Url=f"{product.ws_url}/media",
        Name="listen",
        Track="both_tracks",
        **{"Parameter1.Name": "who", "Parameter1.Value": "supervisor"},
    )
    assert (status, forked["status"], forked["name"]) == (201, "in-progress", "listen")
    status, stopped = await rest("POST", f"/Calls/{call.sid}/Streams/listen.json", Status="stopped")
    assert (status, stopped["status"]) == (200, "stopped")
    call.hang_up(by="caller")
    await double.settled()
    start = next(message for message in product.peers[1].received if message["event"] == "start")["start"]
    assert start["customParameters"] == {"who": "supervisor"}
    assert start["tracks"] == ["inbound", "outbound"]


class RewritingClient(TwilioHttpClient):  # type: ignore[misc] # the SDK is untyped
    """twilio.md §0.3: the SDK has no base-URL option; every host goes below the double's base."""

    def __init__(self, base_url: str) -> None:
        super().__init__(timeout=10)
        self._base_url = base_url

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        return super().request(method, url.replace("https://", f"{self._base_url}/"), *args, **kwargs)


async def test_sdk_of_the_vendor_drives_a_call(product: Product, double: TwilioDouble) -> None:
    client = Client(ACCOUNT, TOKEN, http_client=RewritingClient(double.base_url))
    call = await ring_and_stream(product, double)

    def drive() -> None:
        assert client.calls(call.sid).fetch().status == "in-progress"
        recording = client.calls(call.sid).recordings.create(recording_channels="dual")
        assert client.calls(call.sid).recordings(recording.sid).update(status="stopped").status == "stopped"
        assert [one.sid for one in client.calls.list(limit=5)] == [call.sid]
        assert client.incoming_phone_numbers(NUMBER_SID).update(voice_url="https://a.example/").sid == NUMBER_SID
        assert client.calls(call.sid).update(status="completed").status == "completed"
        with pytest.raises(TwilioRestException) as refused:
            client.calls(call.sid).update(twiml="<Response/>")
        assert (refused.value.status, refused.value.code) == (400, 21220)
        client.http_client.session.close()

    await asyncio.to_thread(drive)


async def test_scene_is_set_and_played_over_the_control_api(
    product: Product, double: TwilioDouble, session: aiohttp.ClientSession
) -> None:
    base = f"{double.base_url}/_double"
    account = "AC" + "4" * 32
    product.answer("/voice", '<Gather action="/menu" numDigits="1"><Say>Press one</Say></Gather>')
    product.answer("/menu", "<Hangup/>")

    async def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with session.post(base + path, json=body) as response:
            assert response.status in {200, 201}, await response.text()
            answer: dict[str, Any] = await response.json()
            return answer

    await post("/accounts", {"sid": account, "auth_token": TOKEN})
    await post("/numbers", {"e164": "+15550000009", "account": account, "voice_url": f"{product.base_url}/voice"})
    await post("/people", {"address": PERSON, "outcome": "busy"})
    rung = await post("/calls", {"to": "+15550000009", "script": [{"wait_for_agent": 200}, {"press": "1"}]})
    await double.calls[rung["sid"]].ended()
    async with session.get(f"{base}/calls/{rung['sid']}") as response:
        inside = await response.json()
    assert inside["call"]["status"] == "completed"
    assert inside["voice_heard_ms"] > 0
    assert {"webhook", "twiml", "answered", "heard", "pressed", "ended"} <= {entry["kind"] for entry in inside["log"]}
    assert product.hits_of("/menu")[0].params["Digits"] == "1"
    assert product.hits_of("/menu")[0].params["AccountSid"] == account
    async with session.get(f"{base}/alerts") as response:
        assert await response.json() == {"alerts": []}
    clips = (await post("/clips", {"script": [{"say": "Hello"}, {"barge_in": {"after_heard_ms": 1, "text": "No"}}]}))[
        "clips"
    ]
    assert [clip["text"] for clip in clips] == ["Hello", "No"]
    assert dict(Caller([Say("Hello")]).clips())["Hello"] == base64.b64decode(clips[0]["audio"])
    await post("/faults", {"frame_loss": 0.5, "gaps_ms": [[0, 100]]})
    assert double.faults.gaps_ms == [(0, 100)]
    async with session.post(f"{base}/calls", json={"to": "+1", "script": []}) as response:
        assert response.status == 400
    async with session.post(f"{base}/calls", json={"to": "+15550000009", "script": [{"sing": "la"}]}) as response:
        assert "unknown step" in (await response.json())["error"]

"""Every point the reference leaves unverified is a switch, and holds both ways (platform/emulators/DEVIATIONS.md)."""

from __future__ import annotations

import asyncio

import pytest

from emulators.callers import Caller, HangUp, Silence
from emulators.twilio.call import Call, Source
from emulators.twilio.double import TwilioDouble
from emulators.twilio.leg import Frame
from emulators.twilio.values import Status
from tests.emulators.twilio.conftest import MakeDouble
from tests.emulators.twilio.product import ACCOUNT, NUMBER, TOKEN, Handler, Peer, Product

VOICE = bytes([0x10, 0x90] * 4000)
PERSON = "+15005550200"


def codes(double: TwilioDouble) -> list[int]:
    return [alert.code for alert in double.alerts]


def connect(product: Product) -> str:
    return f'<Connect action="/ended"><Stream url="{product.ws_url}/media"/></Connect>'


async def ring(product: Product, double: TwilioDouble, handler: Handler, **script: Caller) -> Call:
    product.socket("/media", handler)
    product.answer("/voice", connect(product))
    product.answer("/ended", "<Hangup/>")
    call = await double.ring(to=NUMBER, **script)
    await call.ended()
    await double.settled()
    return call


async def leave(peer: Peer) -> None:
    await peer.start()


async def stay(peer: Peer) -> None:
    await peer.collect()


@pytest.mark.parametrize("last", [True, False])
async def test_order_of_keys_in_media(product: Product, make_double: MakeDouble, last: bool) -> None:
    double = await make_double(stream_sid_last=last)
    keys: list[str] = []

    async def look(peer: Peer) -> None:
        keys.extend(await peer.until("media"))

    await ring(product, double, look)
    assert sorted(keys) == ["event", "media", "sequenceNumber", "streamSid"]
    assert (keys[-1] == "streamSid") is last


@pytest.mark.parametrize("closes", [True, False])
async def test_malformed_message_closes_the_stream_or_not(
    product: Product, make_double: MakeDouble, closes: bool
) -> None:
    double = await make_double(malformed_closes_stream=closes)
    survived = False

    async def babble(peer: Peer) -> None:
        nonlocal survived
        await peer.start()
        await peer.ws.send_str("babble")
        await peer.mark("still there")
        await peer.until("mark")
        survived = True

    await ring(product, double, babble)
    assert survived is not closes
    assert 31950 in codes(double)
    assert len(product.hits_of("/ended")) == 1


@pytest.mark.parametrize("error", [True, False])
async def test_plain_close_is_31921_or_nothing(product: Product, make_double: MakeDouble, error: bool) -> None:
    double = await make_double(close_without_reason_is_error=error)
    await ring(product, double, leave)
    assert codes(double) == ([31921] if error else [])


@pytest.mark.parametrize("tail_ms", [0, 100])
async def test_audio_past_the_buffer_plays_on_after_clear(
    product: Product, make_double: MakeDouble, tail_ms: int
) -> None:
    double = await make_double(clear_tail_ms=tail_ms)

    async def cut(peer: Peer) -> None:
        await peer.start()
        await peer.media(VOICE)
        await peer.clear()
        await peer.mark("end")
        await peer.until("mark")

    call = await ring(product, double, cut)
    (clear,) = call.leg.playout.clears
    (piece,) = call.leg.playout.history
    assert piece.cut is not None
    assert piece.cut - clear.at == tail_ms * 8


@pytest.mark.parametrize("asked", [True, False])
async def test_connect_action_after_the_caller_hung_up(product: Product, make_double: MakeDouble, asked: bool) -> None:
    double = await make_double(actions_after_hangup=asked)
    await ring(product, double, stay, caller=Caller([Silence(1), HangUp()]))
    assert [hit.params["CallStatus"] for hit in product.hits_of("/ended")] == (["completed"] if asked else [])


@pytest.mark.parametrize("asked", [True, False])
async def test_connect_action_after_an_update(product: Product, make_double: MakeDouble, asked: bool) -> None:
    double = await make_double(action_after_update=asked)
    product.socket("/media", stay)
    product.answer("/voice", connect(product))
    call = await double.ring(to=NUMBER)
    await call.wait_for("stream-started")
    call.run_document(Source(twiml="<Response><Hangup/></Response>"))
    await call.ended()
    assert len(product.hits_of("/ended")) == (1 if asked else 0)


@pytest.mark.parametrize("slack_s", [0.0, 3.0])
async def test_ring_time_has_some_slack(product: Product, make_double: MakeDouble, slack_s: float) -> None:
    double = await make_double(dial_timeout_slack_s=slack_s)
    double.add_person(PERSON, rings_s=6.5, caller=Caller([Silence(1), HangUp()]))
    product.answer("/voice", f'<Dial timeout="5" action="/dialled">{PERSON}</Dial>')
    call = await double.ring(to=NUMBER)
    await call.ended()
    outcome = product.hits_of("/dialled")[0].params["DialCallStatus"]
    assert outcome == ("completed" if slack_s else "no-answer")


@pytest.mark.parametrize("status", [Status.NO_ANSWER, Status.BUSY])
async def test_status_after_reject(product: Product, make_double: MakeDouble, status: Status) -> None:
    double = await make_double(rejected_status=str(status))
    product.answer("/voice", "<Reject/>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert call.status is status


@pytest.mark.parametrize("limit", [1, None])
async def test_calls_beyond_the_concurrency_limit_are_refused(
    product: Product, make_double: MakeDouble, limit: int | None
) -> None:
    double = await make_double(concurrent_calls=limit)
    product.answer("/voice", '<Pause length="3"/>')
    first, second = await double.ring(to=NUMBER), await double.ring(to=NUMBER)
    await asyncio.gather(first.ended(), second.ended())
    assert second.status == ("failed" if limit else "completed")
    assert codes(double) == ([10004] if limit else [])


async def test_failure_of_the_double_itself_fails_the_test(product: Product) -> None:
    class Broken:
        def hear_frame(self, position: int, frame: Frame) -> None:
            raise LookupError("a bug of ours")

    product.answer("/voice", '<Pause length="60"/>')
    double = TwilioDouble()
    with pytest.RaisesGroup(LookupError):
        async with double:
            double.add_account(sid=ACCOUNT, auth_token=TOKEN)
            double.add_number(NUMBER, account=ACCOUNT, voice_url=f"{product.base_url}/voice")
            call = await double.ring(to=NUMBER)
            call.answer()
            call.leg.listeners.append(Broken())
            await call.ended()
    assert call.status == "completed"
    assert call.ended_by == "double"

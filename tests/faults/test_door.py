"""Who is not let in, and what a carrier that breaks its own rules costs: nothing is created for strangers, and no caller meets silence."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from pytest_django.fixtures import Settings
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from calls.services import addresses, tickets
from calls.vocabulary import CallState, Cause, EndReason, EventKind, Fault, Outcome
from gateways.signatures import make_signature
from tenants.models import Tenant
from tests.factories import AUTH_TOKEN, make_sid
from tests.faults.stage import (
    FAST,
    GREETING,
    VOICEMAIL_GREETING,
    Line,
    Stage,
    assert_whole,
    count_calls,
    read_operator_events,
    read_record,
    said_by_carrier,
)

pytestmark = pytest.mark.django_db(transaction=True)

NOT_IN_SERVICE = "This number is not in service. Please check the number and try again. Goodbye."
NOT_TAKING_CALLS = "This number cannot take calls at the moment. Please try again later. Goodbye."
OPEN = {"rules": [{"caller": "open", "say": "We are open until five."}]}


def start_frame(line: Line, call_sid: str, ticket: str) -> str:
    """As captured (twilio.md §1.4)."""
    stream_sid = make_sid("MZ")
    return json.dumps(
        {
            "event": "start",
            "sequenceNumber": "1",
            "streamSid": stream_sid,
            "start": {
                "accountSid": line.account_sid,
                "callSid": call_sid,
                "streamSid": stream_sid,
                "tracks": ["inbound"],
                "customParameters": {"ticket": ticket},
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            },
        }
    )


def knock(ref: str, *, token: str = AUTH_TOKEN, signature: str | None = None) -> Any:
    """A socket at a call's address, signed with this account's token (twilio.md §1.3)."""
    url = addresses.media_url("any", ref)
    signed = make_signature(url, {}, token) if signature is None else signature
    return connect(url, additional_headers={"X-Twilio-Signature": signed} if signed else {})


async def close_code(socket: ClientConnection) -> int:
    try:
        async with asyncio.timeout(5):
            while True:
                await socket.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 0


@pytest.mark.parametrize("signatures", ["forged", "missing"])
async def test_a_webhook_without_the_accounts_signature_creates_nothing(stage: Stage, signatures: str) -> None:
    line = await stage.open_line()
    stage.carrier.faults.signatures = signatures
    call = await stage.ring(line)
    await asyncio.wait_for(call.ended(), 15)
    assert await count_calls() == 0
    assert stage.model.session_count == 0
    assert {event.kind for event in await read_operator_events()} == {
        "signature_forged" if signatures == "forged" else "signature_missing"
    }
    assert {alert.code for alert in stage.carrier.alerts} <= {11200, 11750, 15003}  # the carrier saw a 403


async def test_a_socket_is_refused_before_it_opens_unless_the_owning_account_signed(stage: Stage) -> None:
    line, stranger = await stage.open_line(), await stage.open_line()
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    record = await read_record(call.sid)
    assert record is not None
    ref = addresses.call_ref(record.call.pk)
    for attempt in (knock(ref, signature=""), knock(ref, signature="Zm9yZ2Vk"), knock(ref, token="f" * 32)):
        with pytest.raises(InvalidStatus) as refused:
            await attempt
        assert refused.value.response.status_code == 403
    assert stranger.account_sid != line.account_sid
    call.hang_up(by="caller")
    assert_whole(await stage.ended(call))


async def test_a_ticket_opens_one_stream_of_one_call_once(stage: Stage, settings: Settings) -> None:
    line, stranger = await stage.open_line(), await stage.open_line()
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    used = dict(call.streams[0].order.parameters)["ticket"]
    record = await read_record(call.sid)
    assert record is not None
    ref = addresses.call_ref(record.call.pk)
    issued_at = record.of(EventKind.RECEIVED)[0]["answer"]["issued_at"]
    settings.TICKET_SECONDS = 120
    refused = {
        "replayed": (line, used),
        "expired": (line, tickets.make_ticket(ref, serial=2, issued_at=issued_at - 121)),
        "forged": (line, used[:-3] + "AAA"),
        "of a call of another account": (stranger, used),
        "absent": (line, ""),
    }
    for _why, (who, ticket) in refused.items():
        async with knock(ref) as socket:
            await socket.send('{"event":"connected","protocol":"Call","version":"1.0.0"}')
            await socket.send(start_frame(who, call.sid, ticket))
            assert await close_code(socket) == 1008
    assert stage.model.session_count == 1
    stage.play(OPEN)
    await stage.say(call, "Are you open today?")  # the caller on the line noticed nothing
    await stage.until_heard(call, "We are open until five.")
    call.hang_up(by="caller")
    assert_whole(await stage.ended(call))


@FAST
async def test_a_stream_that_never_starts_is_given_up_and_the_caller_gets_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calls.transports.media.START_S", 0.5)
    line = await stage.open_line()
    stage.carrier.faults.withhold_start = True
    call = await stage.ring(line)
    record = await stage.leave_message(call)
    assert stage.was_heard(call, VOICEMAIL_GREETING)
    assert record.causes(EventKind.STEP) == [Cause.STREAM_MISSING]
    assert (record.call.end_reason, record.call.outcome) == (EndReason.VOICEMAIL_LEFT, Outcome.VOICEMAIL)
    assert_whole(record)


async def test_media_before_start_and_frames_that_are_none_are_passed_over(stage: Stage) -> None:
    stage.play(OPEN)
    line = await stage.open_line()
    stage.carrier.faults.media_before_start = True
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    stream = call.streams[0]
    for frame in (
        '{"event":',
        "[]",
        '{"event":"media"}',
        '{"event":"media","media":{"payload":"%%%"}}',
        "\x00",
        '{"event":"mood"}',
    ):
        stream.send_raw(frame)
    await stage.say(call, "Are you open today?")
    await stage.until_heard(call, "We are open until five.")
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert len(call.streams) == 1
    assert [data["peer"] for data in record.of(EventKind.PEER_ERROR)].count("carrier") >= 5
    assert (record.call.end_reason, record.call.fault) == (EndReason.CALLER_HUNG_UP, Fault.NONE)
    assert_whole(record)


async def test_an_oversized_frame_costs_the_stream_and_the_caller_is_answered_again(stage: Stage) -> None:
    stage.play(OPEN)
    line = await stage.open_line()
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    call.streams[0].send_raw(json.dumps({"event": "media", "media": {"payload": "A" * 70_000}}))
    await stage.until(call, lambda record: len(record.of(EventKind.MODEL_READY)) == 2)
    await stage.say(call, "Are you open today?")
    await stage.until_heard(call, "We are open until five.")
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert record.causes(EventKind.RECOVERY)[:1] == [Cause.STREAM_LOST]
    assert_whole(record)


async def test_a_network_that_cuts_the_stream_costs_a_moment(stage: Stage) -> None:
    stage.play(OPEN)
    line = await stage.open_line()
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    call.streams[0].cut()
    await stage.until(call, lambda record: len(record.of(EventKind.MODEL_READY)) == 2)
    await stage.say(call, "Are you open today?")
    await stage.until_heard(call, "We are open until five.")
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert record.causes(EventKind.RECOVERY)[:1] == [Cause.STREAM_LOST]
    assert ("agent", GREETING) in record.said
    assert_whole(record)


async def test_a_number_that_is_no_longer_ours_is_told_so_and_the_operator_too(stage: Stage) -> None:
    line = await stage.open_line()
    number = stage.carrier.exchange.numbers[line.e164]
    number.voice_url = number.voice_url.replace(line.route.public_id, "nobodyknowsthisnumberhere2")
    call = await stage.ring(line)
    await asyncio.wait_for(call.ended(), 15)
    assert said_by_carrier(call) == [NOT_IN_SERVICE]
    assert stage.was_heard(call, NOT_IN_SERVICE)
    assert call.ended_by == "twiml"
    assert await count_calls() == 0
    (event,) = await read_operator_events()
    assert (event.kind, event.data["to"], event.data["call_sid"]) == ("unknown_number", line.e164, call.sid)


async def test_callers_of_a_suspended_tenant_hear_a_sentence(stage: Stage) -> None:
    line = await stage.open_line(state=Tenant.State.SUSPENDED)
    call = await stage.ring(line)
    record = await stage.ended(call)
    assert said_by_carrier(call) == [NOT_TAKING_CALLS]
    assert stage.was_heard(call, NOT_TAKING_CALLS)
    assert (record.call.end_reason, record.call.outcome) == (EndReason.TENANT_SUSPENDED, Outcome.REFUSED)
    assert stage.model.session_count == 0
    assert_whole(record)


async def test_one_tenants_signature_opens_nothing_of_anothers(stage: Stage) -> None:
    """Webhooks about a call of one tenant, signed by the account of another."""
    ours, theirs = await stage.open_line(), await stage.open_line()
    call = await stage.ring(ours)
    await stage.until_heard(call, GREETING)
    record = await read_record(call.sid)
    assert record is not None
    ref = addresses.call_ref(record.call.pk)
    form = {"CallSid": call.sid, "AccountSid": theirs.account_sid, "CallStatus": "completed"}
    async with httpx.AsyncClient() as client:
        for url in (
            addresses.resume_url(ref),
            addresses.stream_status_url(ref),
            addresses.voice_url(ours.route.public_id),
        ):
            bare = url.split("#")[0]
            for token in ("1" * 32, AUTH_TOKEN):  # a stranger's token; a genuine one under another account's name
                answer = await client.post(
                    bare, data=form, headers={"X-Twilio-Signature": make_signature(bare, form, token)}
                )
                assert answer.status_code == 403
    after = await read_record(call.sid)
    assert after is not None
    assert after.call.state == CallState.LIVE
    call.hang_up(by="caller")
    assert_whole(await stage.ended(call))

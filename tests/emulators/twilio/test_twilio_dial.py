"""<Dial>: people are rung, joined and reported (twilio.md §3.5, §3.6, §7.4)."""

from __future__ import annotations

import pytest
from aiohttp import web

from emulators.callers import Caller, HangUp, PlayRaw, Press, Silence, WaitForAgent, WaitHeard
from emulators.twilio.call import Call, Source
from emulators.twilio.double import TwilioDouble
from tests.emulators.twilio.conftest import MakeDouble
from tests.emulators.twilio.product import NUMBER, Product

VOICE = bytes([0x10, 0x90] * 4000)
QUIETER = bytes([0x20, 0xA0] * 4000)
PERSON = "+15005550200"
OTHER = "+15005550201"


def codes(double: TwilioDouble) -> list[int]:
    return [alert.code for alert in double.alerts]


def child_of(double: TwilioDouble, call: Call) -> Call:
    (child,) = [other for other in double.calls.values() if other.parent is call]
    return child


async def test_answered_person_and_caller_hear_each_other(product: Product, double: TwilioDouble) -> None:
    double.add_person(
        PERSON, rings_s=1.0, caller=Caller([Silence(3), PlayRaw(QUIETER), WaitHeard(500), Silence(1), HangUp()])
    )
    product.answer("/voice", f'<Dial action="/dialled" callerId="{NUMBER}">{PERSON}</Dial><Redirect>/never</Redirect>')
    product.answer("/dialled", "<Hangup/>")
    call = await double.ring(to=NUMBER, caller=Caller([WaitForAgent(quiet_ms=200), PlayRaw(VOICE)]))
    await call.ended()
    child = child_of(double, call)
    assert QUIETER in call.leg.heard_audio()
    assert VOICE in child.leg.heard_audio()
    told = product.hits_of("/dialled")[0].params
    assert told["DialCallStatus"] == "completed"
    assert told["DialCallSid"] == child.sid
    assert told["DialBridged"] == "true"
    assert int(told["DialCallDuration"]) >= 2
    assert child.from_ == NUMBER
    assert product.hits_of("/never") == []
    assert double.alerts == []


@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed"])
async def test_unreached_person_is_reported_as_such(product: Product, double: TwilioDouble, outcome: str) -> None:
    double.add_person(PERSON, outcome=outcome)
    product.answer("/voice", f'<Dial action="/dialled" timeout="5">{PERSON}</Dial>')
    product.answer("/dialled", "<Hangup/>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    told = product.hits_of("/dialled")[0].params
    assert told["DialCallStatus"] == outcome
    assert "DialCallDuration" not in told
    assert child_of(double, call).status == outcome


async def test_number_nobody_has_fails(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", '<Dial action="/dialled">+15005559999</Dial>')
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert product.hits_of("/dialled")[0].params["DialCallStatus"] == "failed"


async def test_without_action_the_next_verb_runs(product: Product, double: TwilioDouble) -> None:
    double.add_person(PERSON, outcome="busy")
    product.answer("/voice", f"<Dial>{PERSON}</Dial><Redirect>/voicemail</Redirect>")
    product.answer("/voicemail", "<Hangup/>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert len(product.hits_of("/voicemail")) == 1


async def test_status_callbacks_of_the_child_come_in_order_with_sequence_numbers(
    product: Product, double: TwilioDouble
) -> None:
    double.add_person(PERSON, caller=Caller([Silence(1), HangUp()]))
    events = "initiated ringing answered completed"
    product.answer(
        "/voice",
        f'<Dial><Number statusCallback="/status" statusCallbackEvent="{events}">{PERSON}</Number></Dial>',
    )
    call = await double.ring(to=NUMBER)
    await call.ended()
    await child_of(double, call).ended()
    hits = product.hits_of("/status")
    assert [hit.params["CallStatus"] for hit in hits] == ["initiated", "ringing", "in-progress", "completed"]
    assert [hit.params["SequenceNumber"] for hit in hits] == ["0", "1", "2", "3"]
    assert {hit.params["ParentCallSid"] for hit in hits} == {call.sid}
    assert all(hit.signed for hit in hits)


async def test_delayed_callback_arrives_out_of_order(product: Product, double: TwilioDouble) -> None:
    double.faults.callback_delay_s = {"answered": 5.0}
    double.add_person(PERSON, caller=Caller([Silence(1), HangUp()]))
    product.answer(
        "/voice",
        f'<Dial><Number statusCallback="/status" statusCallbackEvent="answered completed">{PERSON}</Number></Dial>',
    )
    call = await double.ring(to=NUMBER)
    await call.ended()
    await double.settled()
    assert [hit.params["SequenceNumber"] for hit in product.hits_of("/status")] == ["3", "2"]


@pytest.mark.parametrize(("key", "status"), [("1", "completed"), ("2", "no-answer")])
async def test_person_accepts_the_call_by_a_key(product: Product, double: TwilioDouble, key: str, status: str) -> None:
    double.add_person(PERSON, caller=Caller([WaitHeard(200), Press(key), Silence(2), HangUp()]))
    product.answer("/voice", f'<Dial action="/dialled"><Number url="/whisper">{PERSON}</Number></Dial>')
    product.answer("/whisper", '<Gather numDigits="1" action="/key"><Say>Press one to accept</Say></Gather><Hangup/>')
    product.answer("/key", lambda hit: answer_key(hit.params["Digits"]))
    product.answer("/dialled", "<Hangup/>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert product.hits_of("/whisper")[0].params["CallSid"] == child_of(double, call).sid
    assert product.hits_of("/dialled")[0].params["DialCallStatus"] == status
    assert call.leg.heard_audio() == b""  # the caller hears nothing of the whisper
    assert double.alerts == []


def answer_key(digits: str) -> web.Response:
    body = "<Response/>" if digits == "1" else "<Response><Hangup/></Response>"
    return web.Response(text=body, content_type="text/xml")


async def test_whisper_may_not_dial(product: Product, double: TwilioDouble) -> None:
    double.add_person(PERSON)
    product.answer("/voice", f'<Dial action="/dialled"><Number url="/whisper">{PERSON}</Number></Dial>')
    product.answer("/whisper", f"<Dial>{OTHER}</Dial>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert codes(double) == [12200]
    assert product.hits_of("/dialled")[0].params["DialCallStatus"] == "no-answer"


async def test_first_of_several_wins_and_the_others_stop_ringing(product: Product, double: TwilioDouble) -> None:
    double.add_person(PERSON, rings_s=20)
    double.add_person(OTHER, rings_s=1, caller=Caller([Silence(1), HangUp()]))
    product.answer("/voice", f'<Dial action="/dialled"><Number>{PERSON}</Number><Number>{OTHER}</Number></Dial>')
    call = await double.ring(to=NUMBER)
    await call.ended()
    by_number = {other.to: str(other.status) for other in double.calls.values() if other.parent is call}
    assert by_number == {PERSON: "canceled", OTHER: "completed"}


async def test_sequential_dial_rings_one_after_the_other(product: Product, double: TwilioDouble) -> None:
    double.add_person(PERSON, outcome="busy")
    double.add_person(OTHER, caller=Caller([Silence(1), HangUp()]))
    product.answer(
        "/voice",
        f'<Dial sequential="true" action="/dialled"><Number>{PERSON}</Number><Number>{OTHER}</Number></Dial>',
    )
    call = await double.ring(to=NUMBER)
    await call.ended()
    first, second = [other for other in double.calls.values() if other.parent is call]
    assert (first.status, second.status) == ("busy", "completed")
    assert first.entries("ended")[0].at_s <= second.entries("created")[0].at_s


async def test_answer_on_bridge_leaves_the_caller_ringing(product: Product, double: TwilioDouble) -> None:
    double.add_person(PERSON, rings_s=3, caller=Caller([Silence(1), HangUp()]))
    product.answer("/voice", f'<Dial answerOnBridge="true">{PERSON}</Dial>')
    call = await double.ring(to=NUMBER)
    dialled = await call.wait_for("dial")
    answered = await call.wait_for("answered")
    await call.ended()
    assert answered.at_s - dialled.at_s >= 3


async def test_caller_who_hangs_up_takes_the_person_along(product: Product, double: TwilioDouble) -> None:
    double.add_person(PERSON)
    product.answer("/voice", f'<Dial action="/dialled">{PERSON}</Dial>')
    call = await double.ring(to=NUMBER, caller=Caller([Silence(3), HangUp()]))
    await call.ended()
    child = child_of(double, call)
    await child.ended()
    assert (child.status, child.ended_by) == ("completed", "parent")
    told = product.hits_of("/dialled")[0].params
    assert (told["CallStatus"], told["DialCallStatus"]) == ("completed", "completed")


async def test_star_hangs_up_on_the_person_and_the_call_goes_on(product: Product, double: TwilioDouble) -> None:
    double.add_person(PERSON)
    product.answer("/voice", f'<Dial hangupOnStar="true" action="/dialled">{PERSON}</Dial>')
    product.answer("/dialled", "<Say>And on we go</Say>")
    call = await double.ring(to=NUMBER, caller=Caller([Silence(2), Press("*")]))
    await call.ended()
    assert [piece.source for piece in call.leg.playout.history] == ["say"]


async def test_dial_time_limit_parts_the_two(product: Product, double: TwilioDouble) -> None:
    double.add_person(PERSON)
    product.answer("/voice", f'<Dial timeLimit="2" action="/dialled">{PERSON}</Dial>')
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert product.hits_of("/dialled")[0].params["DialCallDuration"] == "2"


async def test_person_of_a_sip_address_is_found_without_its_headers(product: Product, double: TwilioDouble) -> None:
    double.add_person("sip:proj_1@sip.api.openai.com", caller=Caller([Silence(1), HangUp()]))
    uri = "sip:proj_1@sip.api.openai.com;transport=tls;secure=true?x-tenant=t1&amp;x-call-ref=abc"
    product.answer("/voice", f'<Dial action="/dialled"><Sip>{uri}</Sip></Dial>')
    call = await double.ring(to=NUMBER)
    await call.ended()
    told = product.hits_of("/dialled")[0].params
    assert (told["DialCallStatus"], told["DialSipResponseCode"]) == ("completed", "200")
    assert told["DialSipCallId"]
    assert double.alerts == []


async def test_sip_code_of_a_refusal_is_told(product: Product, double: TwilioDouble) -> None:
    double.add_person("sip:agent@example.com", outcome="failed", sip_code=503)
    product.answer("/voice", '<Dial action="/dialled"><Sip>sip:agent@example.com</Sip></Dial>')
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert product.hits_of("/dialled")[0].params["DialSipResponseCode"] == "503"


@pytest.mark.parametrize(
    ("noun", "code"),
    [
        ("<Number>555</Number>", 13223),
        ("<Sip>agent@example.com</Sip>", 21227),
        (f"<Sip>sip:agent@example.com?x-a={'b' * 300}</Sip>", 21227),
        ("<Sip>sip:agent@example.com?tenant=t1</Sip>", 21229),
        ("", 12200),
    ],
)
async def test_noun_that_cannot_be_dialled_has_its_code(
    product: Product, double: TwilioDouble, noun: str, code: int
) -> None:
    product.answer("/voice", f"<Dial>{noun}</Dial>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert codes(double) == [code]


async def test_foreign_caller_id_is_refused(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", f'<Dial callerId="+15005550999">{PERSON}</Dial>')
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert codes(double) == [13214]


async def test_update_of_the_parent_ends_the_dial(product: Product, double: TwilioDouble) -> None:
    double.add_person(PERSON)
    product.answer("/voice", f'<Dial action="/dialled">{PERSON}</Dial>')
    product.answer("/elsewhere", "<Hangup/>")
    call = await double.ring(to=NUMBER)
    await call.wait_for("bridged")
    call.run_document(Source(url=f"{product.base_url}/elsewhere"))
    await call.ended()
    assert child_of(double, call).ended_by == "parent"
    assert product.hits_of("/dialled") == []


async def test_update_of_the_child_takes_it_out_of_the_dial(product: Product, double: TwilioDouble) -> None:
    double.add_person(PERSON)
    product.answer("/voice", f'<Dial action="/dialled">{PERSON}</Dial>')
    product.answer("/alone", '<Pause length="5"/><Hangup/>')
    product.answer("/dialled", "<Hangup/>")
    call = await double.ring(to=NUMBER)
    await call.wait_for("bridged")
    child = child_of(double, call)
    child.run_document(Source(url=f"{product.base_url}/alone"))
    await call.ended()
    await child.ended()
    assert len(product.hits_of("/dialled")) == 1
    assert (child.status, child.ended_by) == ("completed", "twiml")
    assert child.entries("ended")[0].at_s > call.entries("ended")[0].at_s


async def test_dial_is_recorded_on_two_channels(product: Product, make_double: MakeDouble) -> None:
    double = await make_double()
    double.add_person(PERSON, caller=Caller([Silence(3), PlayRaw(QUIETER), Silence(12), HangUp()]))
    product.answer(
        "/voice",
        f'<Dial record="record-from-answer-dual" recordingStatusCallback="/rec" action="/dialled">{PERSON}</Dial>',
    )
    product.answer("/dialled", "<Hangup/>")
    call = await double.ring(to=NUMBER, caller=Caller([WaitForAgent(quiet_ms=100), PlayRaw(VOICE)]))
    await call.ended()
    await double.settled()
    told = product.hits_of("/rec")[0].params
    assert (told["RecordingSource"], told["RecordingChannels"]) == ("DialVerb", "2")
    said, played = call.recordings[0].tracks()
    # A machine that lags by a frame leaves a gap in what was heard, as a network would.
    assert VOICE in said.replace(b"\xff", b"")
    assert QUIETER in played.replace(b"\xff", b"")

"""The verbs that speak, listen and steer (twilio.md §3.2, §3.7)."""

from __future__ import annotations

import pytest
from aiohttp import web

from emulators.callers import Caller, HangUp, PlayRaw, Press, Silence, WaitForAgent
from emulators.sound import make_wav
from emulators.twilio.call import Call
from emulators.twilio.double import TwilioDouble
from emulators.twilio.tones import make_beep, make_digit
from tests.emulators.twilio.conftest import MakeDouble
from tests.emulators.twilio.product import NUMBER, Product

VOICE = bytes([0x10, 0x90] * 4000)


def codes(double: TwilioDouble) -> list[int]:
    return [alert.code for alert in double.alerts]


def sources(call: Call) -> list[str]:
    return [piece.source for piece in call.leg.playout.history]


async def test_say_is_really_spoken_into_the_callers_ear(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", '<Say language="en-GB">Good morning, Acme Dental.</Say>')
    call = await double.ring(to=NUMBER, caller=Caller([WaitForAgent(quiet_ms=100), Silence(60)]))
    await call.ended()
    (piece,) = call.leg.playout.history
    assert len(piece.audio) > 8000
    assert call.leg.heard_audio() == piece.audio
    assert call.leg.ear.voice_ms > 500


async def test_say_loops(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", '<Say loop="2">Hi</Say>')
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert sources(call) == ["say", "say"]


async def test_play_takes_a_wav_file_and_raw_mulaw(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", "<Play>/a.wav</Play><Play>/a.ulaw</Play>")
    product.answer("/a.wav", web.Response(body=make_wav(VOICE), content_type="audio/x-wav"))
    product.answer("/a.ulaw", web.Response(body=VOICE, content_type="audio/basic"))
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert [piece.audio for piece in call.leg.playout.history] == [VOICE, VOICE]
    assert [hit.path for hit in product.hits] == ["/voice", "/a.wav", "/a.ulaw"]
    assert all(hit.signed for hit in product.hits)
    assert double.alerts == []


async def test_play_refuses_what_it_cannot_decode(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", "<Play>/a.mp3</Play>")
    product.answer("/a.mp3", web.Response(body=b"ID3", content_type="audio/mpeg"))
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert codes(double) == [12300]


async def test_play_digits_sends_tones(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", '<Play digits="1w#"/>')
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert call.leg.digits_heard == "1#"
    first, second = call.leg.playout.history
    assert first.audio == make_digit("1")
    assert second.start - first.end >= 4000  # w is half a second


async def test_first_pause_delays_the_answer(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", '<Pause length="2"/><Hangup/>')
    call = await double.ring(to=NUMBER)
    fetched = await call.wait_for("twiml")
    answered = await call.wait_for("answered")
    await call.ended()
    assert answered.at_s - fetched.at_s >= 2.0


@pytest.mark.parametrize(("reason", "status"), [("busy", "busy"), ("rejected", "no-answer")])
async def test_reject_never_answers(product: Product, double: TwilioDouble, reason: str, status: str) -> None:
    product.answer("/voice", f'<Reject reason="{reason}"/>')
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert call.status == status
    assert call.start_time is None
    assert call.entries("answered") == []


async def test_reject_is_only_allowed_as_the_first_verb(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", "<Say>Hi</Say><Reject/>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert codes(double) == [12200]


async def test_caller_who_gives_up_before_the_answer_is_no_answer(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", '<Pause length="30"/><Say>Too late</Say>')
    call = await double.ring(to=NUMBER, caller=Caller(patience_s=2.0))
    await call.ended()
    assert (call.status, call.ended_by) == ("no-answer", "caller")


async def test_status_of_an_abandoned_call_is_a_switch(product: Product, make_double: MakeDouble) -> None:
    double = await make_double(abandoned_status="canceled")
    product.answer("/voice", '<Pause length="30"/>')
    call = await double.ring(to=NUMBER, caller=Caller(patience_s=1.0))
    await call.ended()
    assert call.status == "canceled"


async def test_gathered_digits_go_to_the_action(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", '<Gather action="/menu" numDigits="2"><Say loop="9">Press two digits</Say></Gather>')
    product.answer("/menu", "<Hangup/>")
    call = await double.ring(to=NUMBER, caller=Caller([Silence(1), Press("42")]))
    await call.ended()
    assert product.hits_of("/menu")[0].params["Digits"] == "42"
    (prompt,) = call.leg.playout.history
    assert prompt.cut is not None  # a key interrupts the prompt


async def test_finish_key_ends_a_gather_and_is_not_part_of_the_digits(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", '<Gather action="/menu"/><Redirect>/empty</Redirect>')
    product.answer("/menu", "<Hangup/>")
    call = await double.ring(to=NUMBER, caller=Caller([Press("7*3#")]))
    await call.ended()
    assert product.hits_of("/menu")[0].params["Digits"] == "7*3"


async def test_gather_without_input_falls_through_unless_asked_otherwise(
    product: Product, double: TwilioDouble
) -> None:
    product.answer("/voice", '<Gather action="/menu" timeout="1"/><Redirect>/empty</Redirect>')
    product.answer("/empty", '<Gather action="/menu" timeout="1" actionOnEmptyResult="true"/>')
    product.answer("/menu", "<Hangup/>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert [hit.path for hit in product.hits] == ["/voice", "/empty", "/menu"]
    assert product.hits_of("/menu")[0].params["Digits"] == ""


async def test_gather_by_speech_is_refused_because_the_double_cannot_hear(
    product: Product, double: TwilioDouble
) -> None:
    product.answer("/voice", '<Gather input="speech dtmf" action="/menu"/>')
    call = await double.ring(to=NUMBER)
    await call.ended()
    assert codes(double) == [12200]


async def test_voicemail_is_beeped_recorded_and_told_to_the_action(product: Product, double: TwilioDouble) -> None:
    product.answer(
        "/voice",
        '<Record action="/vm/done" maxLength="120" playBeep="true" timeout="2" recordingStatusCallback="/vm/rec"/>',
    )
    product.answer("/vm/done", "<Hangup/>")
    caller = Caller([Silence(0.5), PlayRaw(VOICE * 2)])
    call = await double.ring(to=NUMBER, caller=caller)
    await call.ended()
    await double.settled()
    done = product.hits_of("/vm/done")[0].params
    told = product.hits_of("/vm/rec")[0].params
    assert call.leg.playout.history[0].audio == make_beep()
    assert done["RecordingSid"] == told["RecordingSid"] == call.recordings[0].sid
    assert done["Digits"] == ""
    assert told["RecordingStatus"] == "completed"
    assert told["RecordingSource"] == "RecordVerb"
    assert told["RecordingChannels"] == "1"
    assert told["RecordingDuration"] == done["RecordingDuration"] == "2"
    assert double.alerts == []


async def test_silent_caller_brings_no_action_and_the_next_verb_runs(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", '<Record action="/vm/done" timeout="1"/><Redirect>/next</Redirect>')
    product.answer("/next", "<Hangup/>")
    call = await double.ring(to=NUMBER)
    await call.ended()
    await double.settled()
    assert [hit.path for hit in product.hits] == ["/voice", "/next"]
    assert call.recordings[0].status == "absent"


async def test_record_without_action_asks_the_current_url_again(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", '<Record timeout="1" finishOnKey="#"/>', "<Hangup/>")
    call = await double.ring(to=NUMBER, caller=Caller([Silence(0.5), PlayRaw(VOICE), Press("#")]))
    await call.ended()
    assert [hit.path for hit in product.hits] == ["/voice", "/voice"]
    assert product.hits[1].params["Digits"] == "#"


@pytest.mark.parametrize("asked", [True, False])
async def test_caller_who_hangs_up_in_a_recording_is_told_as_hangup(
    product: Product, make_double: MakeDouble, asked: bool
) -> None:
    double = await make_double(actions_after_hangup=asked)
    product.answer("/voice", '<Record action="/vm/done" playBeep="false"/>')
    call = await double.ring(to=NUMBER, caller=Caller([PlayRaw(VOICE), HangUp()]))
    await call.ended()
    told = [(hit.params["Digits"], hit.params["CallStatus"]) for hit in product.hits_of("/vm/done")]
    assert told == ([("hangup", "completed")] if asked else [])


async def test_recording_stops_at_its_maximum_length(product: Product, double: TwilioDouble) -> None:
    product.answer("/voice", '<Record action="/vm/done" maxLength="1" playBeep="false" trim="do-not-trim"/>')
    product.answer("/vm/done", "<Hangup/>")
    call = await double.ring(to=NUMBER, caller=Caller([PlayRaw(VOICE * 5)]))
    await call.ended()
    assert product.hits_of("/vm/done")[0].params["RecordingDuration"] == "1"

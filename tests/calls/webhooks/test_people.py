"""How dials and voicemails end: the Dial action and the Record action."""

from __future__ import annotations

import pytest

from calls.models import AfterStep, Call, CallEvent, Leg, Recording
from calls.services import addresses
from calls.services.closing import close_call
from calls.services.disposition import save_disposition
from calls.services.tickets import ClaimedCall
from calls.session.commands import Leave
from calls.vocabulary import EndReason
from tenants.scope import tenant_scope
from tests.carrier import TestCarrier, read_document, verbs
from tests.factories import make_sid

PERSON = make_sid("CA")


@pytest.fixture
def ringing_person(live: ClaimedCall, carrier: TestCarrier) -> ClaimedCall:
    """A person's phone rings: the route's own, by the ladder."""
    with tenant_scope(live.tenant):
        route = live.call.number.route
        route.person_name, route.person_e164, route.ladder = "Ada", "+15550003333", ["streams", "person", "voicemail"]
        route.save()
        Call.objects.filter(pk=live.call.pk).update(ladder=route.ladder)
        save_disposition(live.call.pk, Leave(next="transfer", contact="Ada"), token=live.token)
    response = carrier.post(addresses.resume_url(live.ref), carrier.about(live.call))
    assert verbs(response) == ["Dial"]
    return live


@pytest.fixture
def at_voicemail(live: ClaimedCall, carrier: TestCarrier) -> ClaimedCall:
    with tenant_scope(live.tenant):
        save_disposition(live.call.pk, Leave(next="voicemail"), token=live.token)
    assert verbs(carrier.post(addresses.resume_url(live.ref), carrier.about(live.call))) == [
        "Say",
        "Record",
        "Redirect",
    ]
    return live


def end_dial(live: ClaimedCall, carrier: TestCarrier, status: str, *, token: str = "", **extra: str):
    form = carrier.about(live.call, DialCallStatus=status, DialCallSid=PERSON, **extra)
    return carrier.post(addresses.dial_url(live.ref), form, token=token)


def end_record(live: ClaimedCall, carrier: TestCarrier, *, seconds: str, sid: str = "", **extra: str):
    sid = sid or make_sid("RE")
    form = carrier.about(
        live.call,
        RecordingUrl=f"https://api.twilio.com/2010-04-01/Accounts/{carrier.account_sid}/Recordings/{sid}",
        RecordingDuration=seconds,
        Digits="hangup",
        **extra,
    )
    return carrier.post(addresses.voicemail_url(live.ref), form)


def end_call(live: ClaimedCall, carrier: TestCarrier) -> None:
    with tenant_scope(live.tenant):
        route = live.call.number.route
    form = carrier.about(live.call, "completed", CallDuration="20")
    carrier.post(addresses.number_status_url(route.public_id), form)


def reload(live: ClaimedCall) -> Call:
    with tenant_scope(live.tenant):
        return Call.objects.get(pk=live.call.pk)


def test_a_person_who_answered_makes_the_call_a_transfer(ringing_person: ClaimedCall, carrier: TestCarrier) -> None:
    response = end_dial(ringing_person, carrier, "completed", DialCallDuration="42", DialBridged="true")
    assert verbs(response) == ["Hangup"]
    call = reload(ringing_person)
    assert (call.state, call.outcome, call.end_reason) == ("ended", "transferred", "transferred")
    with tenant_scope(ringing_person.tenant):
        leg = Leg.objects.get(kind="person")
    assert (leg.carrier_sid, leg.state, leg.duration_s) == (PERSON, "completed", 42)


@pytest.mark.parametrize(
    ("status", "cause", "fault"),
    [
        ("busy", "person_busy", "person"),
        ("no-answer", "person_no_answer", "person"),
        ("canceled", "person_no_answer", "person"),
        ("failed", "person_failed", "carrier"),
        ("something-new", "person_failed", "person"),
    ],
)
def test_a_person_who_did_not_take_it_leads_to_voicemail(
    ringing_person: ClaimedCall, carrier: TestCarrier, status: str, cause: str, fault: str
) -> None:
    response = end_dial(ringing_person, carrier, status, DialCallDuration="0")
    assert verbs(response) == ["Say", "Record", "Redirect"]
    with tenant_scope(ringing_person.tenant):
        step = CallEvent.objects.get(kind="step")
        assert Leg.objects.get(kind="person").state == status
    assert (step.data["step"], step.data["cause"], step.data["fault"]) == ("voicemail", cause, fault)


def test_a_caller_who_hung_up_while_it_rang_left(ringing_person: ClaimedCall, carrier: TestCarrier) -> None:
    response = end_dial(ringing_person, carrier, "no-answer", CallStatus="completed")
    assert verbs(response) == ["Hangup"]
    assert reload(ringing_person).end_reason == "caller_hung_up"


def test_the_dial_action_again_gets_the_same_answer(ringing_person: ClaimedCall, carrier: TestCarrier) -> None:
    first = end_dial(ringing_person, carrier, "busy", token="dial-1")
    assert end_dial(ringing_person, carrier, "busy", token="dial-1").content == first.content
    with tenant_scope(ringing_person.tenant):
        assert CallEvent.objects.filter(kind="step").count() == 1


def test_a_message_that_was_left_is_a_voicemail_to_be_fetched(at_voicemail: ClaimedCall, carrier: TestCarrier) -> None:
    sid = make_sid("RE")
    response = end_record(at_voicemail, carrier, seconds="7", sid=sid)
    assert verbs(response) == ["Say", "Hangup"]
    call = reload(at_voicemail)
    assert (call.outcome, call.end_reason) == ("voicemail", "voicemail_left")
    with tenant_scope(at_voicemail.tenant):
        recording = Recording.objects.get()
        assert (recording.kind, recording.carrier_sid, recording.duration_s) == ("voicemail", sid, 7)
        assert recording.state == "fetching"
        assert AfterStep.objects.filter(step=f"recording:{recording.pk}").count() == 1


def test_the_voicemail_document_never_asks_itself(at_voicemail: ClaimedCall, carrier: TestCarrier) -> None:
    with tenant_scope(at_voicemail.tenant):
        assert reload(at_voicemail).disposition["reason"] == "voicemail_empty"
    # A silent caller: no action request, the verb after <Record> runs (twilio.md §3.7).
    response = carrier.post(addresses.resume_url(at_voicemail.ref), carrier.about(at_voicemail.call))
    assert verbs(response) == ["Say", "Hangup"]
    call = reload(at_voicemail)
    assert (call.end_reason, call.outcome) == ("voicemail_empty", "caller_left")


def test_the_record_verb_has_a_limit_a_beep_and_absolute_addresses(live: ClaimedCall, carrier: TestCarrier) -> None:
    with tenant_scope(live.tenant):
        save_disposition(live.call.pk, Leave(next="voicemail"), token=live.token)
    document = read_document(carrier.post(addresses.resume_url(live.ref), carrier.about(live.call)))
    record = document.find("Record")
    assert record is not None
    assert record.attrib == {
        "action": addresses.voicemail_url(live.ref),
        "method": "POST",
        "timeout": "5",
        "maxLength": "120",
        "playBeep": "true",
        "trim": "trim-silence",
        "recordingStatusCallback": addresses.recording_url(live.ref),
        "recordingStatusCallbackMethod": "POST",
        "recordingStatusCallbackEvent": "completed absent",
    }


def test_a_message_reported_after_the_call_ended_still_counts(at_voicemail: ClaimedCall, carrier: TestCarrier) -> None:
    end_call(at_voicemail, carrier)
    assert reload(at_voicemail).end_reason == "voicemail_empty"
    end_record(at_voicemail, carrier, seconds="9", CallStatus="completed")
    call = reload(at_voicemail)
    assert (call.end_reason, call.outcome) == ("voicemail_left", "voicemail")


def test_a_lost_record_action_is_made_good_by_the_recording_callback(
    at_voicemail: ClaimedCall, carrier: TestCarrier
) -> None:
    end_call(at_voicemail, carrier)
    assert reload(at_voicemail).end_reason == "voicemail_empty"
    form = carrier.about(
        at_voicemail.call,
        RecordingSid=make_sid("RE"),
        RecordingStatus="completed",
        RecordingSource="RecordVerb",
        RecordingDuration="5",
    )
    carrier.post(addresses.recording_url(at_voicemail.ref), form)
    assert reload(at_voicemail).end_reason == "voicemail_left"


def test_a_dial_that_ends_after_the_call_changes_nothing(ringing_person: ClaimedCall, carrier: TestCarrier) -> None:
    end_call(ringing_person, carrier)
    before = reload(ringing_person).end_reason
    assert verbs(end_dial(ringing_person, carrier, "no-answer")) == ["Hangup"]
    assert reload(ringing_person).end_reason == before


def test_a_person_whose_line_is_tried_while_the_record_is_closed_is_followed_by_voicemail(
    ringing_person: ClaimedCall, carrier: TestCarrier
) -> None:
    with tenant_scope(ringing_person.tenant):
        close_call(reload(ringing_person), end_reason=EndReason.CALLER_HUNG_UP)  # too early: by a stream's `stop`
    assert verbs(end_dial(ringing_person, carrier, "busy")) == ["Say", "Record", "Redirect"]
    assert reload(ringing_person).state == "moving"


def test_the_record_action_again_gets_the_same_answer(at_voicemail: ClaimedCall, carrier: TestCarrier) -> None:
    sid = make_sid("RE")
    form = carrier.about(at_voicemail.call, RecordingSid=sid, RecordingDuration="4")
    url = addresses.voicemail_url(at_voicemail.ref)
    first = carrier.post(url, form, token="record-1")
    assert carrier.post(url, form, token="record-1").content == first.content
    with tenant_scope(at_voicemail.tenant):
        assert Recording.objects.count() == 1


def test_a_recording_of_silence_is_no_message(at_voicemail: ClaimedCall, carrier: TestCarrier) -> None:
    carrier.post(addresses.resume_url(at_voicemail.ref), carrier.about(at_voicemail.call))
    form = carrier.about(
        at_voicemail.call,
        RecordingSid=make_sid("RE"),
        RecordingStatus="completed",
        RecordingSource="RecordVerb",
        RecordingDuration="5",
    )
    carrier.post(addresses.recording_url(at_voicemail.ref), form)
    assert reload(at_voicemail).end_reason == "voicemail_empty"


def test_the_numbers_own_greeting_is_spoken(live: ClaimedCall, carrier: TestCarrier) -> None:
    with tenant_scope(live.tenant):
        route = live.call.number.route
        route.voicemail_greeting = "You have reached Acme after hours."
        route.save()
        save_disposition(live.call.pk, Leave(next="voicemail"), token=live.token)
    document = read_document(carrier.post(addresses.resume_url(live.ref), carrier.about(live.call)))
    assert [say.text for say in document.findall("Say")] == ["You have reached Acme after hours."]

"""Status callbacks: any order, any number of times, terminal states absorbing (twilio.md §3.5)."""

from __future__ import annotations

import itertools
from datetime import timedelta
from email.utils import format_datetime

import pytest
from django.utils import timezone

from calls.models import AfterStep, Call, CallEvent, Leg, Recording, Route
from calls.services import addresses
from calls.services.disposition import save_disposition
from calls.services.tickets import ClaimedCall
from calls.session.commands import Leave
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.carrier import TestCarrier
from tests.factories import make_sid

PERSON = make_sid("CA")


def reload(live: ClaimedCall) -> Call:
    with tenant_scope(live.tenant):
        return Call.objects.get(pk=live.call.pk)


def end(live: ClaimedCall, carrier: TestCarrier, status: str = "completed", **extra: str):
    with tenant_scope(live.tenant):
        public_id = Route.objects.get().public_id
    return carrier.post(addresses.number_status_url(public_id), carrier.about(live.call, status, **extra))


def test_the_carriers_end_closes_the_call_with_its_figures(live: ClaimedCall, carrier: TestCarrier) -> None:
    ended_at = timezone.now().replace(microsecond=0) - timedelta(seconds=3)
    response = end(live, carrier, CallDuration="61", Timestamp=format_datetime(ended_at), SequenceNumber="0")
    assert response.status_code == 204
    call = reload(live)
    assert (call.state, call.end_reason, call.duration_s, call.ended_at) == ("ended", "caller_hung_up", 61, ended_at)
    with tenant_scope(live.tenant):
        caller = Leg.objects.get(kind="caller")
        assert (caller.state, caller.duration_s, caller.ended_at) == ("completed", 61, ended_at)
        assert not Leg.objects.filter(ended_at=None).exists()


def test_a_second_end_changes_nothing(live: ClaimedCall, carrier: TestCarrier) -> None:
    end(live, carrier, CallDuration="61")
    before = reload(live)
    end(live, carrier, CallDuration="61")
    end(live, carrier, "in-progress")
    after = reload(live)
    assert (after.state, after.ended_at, after.end_reason) == (before.state, before.ended_at, before.end_reason)
    with tenant_scope(live.tenant):
        assert CallEvent.objects.filter(kind="ended").count() == 1
        assert AfterStep.objects.filter(step="totals").count() == 1


def test_the_carriers_duration_replaces_ours(live: ClaimedCall, carrier: TestCarrier) -> None:
    with tenant_scope(live.tenant):
        save_disposition(live.call.pk, Leave(next="hang_up", reason="agent_ended"), token=live.token)
    carrier.post(addresses.resume_url(live.ref), carrier.about(live.call))
    with tenant_scope(live.tenant):
        assert Leg.objects.get(kind="caller").ended_at is None  # its minutes run until the carrier says so
        AfterStep.objects.filter(step="carrier_cost").update(due_at=timezone.now() + timedelta(seconds=60))
    end(live, carrier, CallDuration="33")
    call = reload(live)
    assert (call.end_reason, call.duration_s) == ("agent_ended", 33)
    with tenant_scope(live.tenant):
        assert Leg.objects.get(kind="caller").duration_s == 33
        assert AfterStep.objects.get(step="carrier_cost").due_at <= timezone.now()


@pytest.mark.parametrize("status", ["failed", "busy"])
def test_a_failure_of_the_carrier_is_its_fault(live: ClaimedCall, carrier: TestCarrier, status: str) -> None:
    end(live, carrier, status)
    call = reload(live)
    assert (call.end_reason, call.outcome, call.fault) == ("carrier_failed", "failed", "carrier")


def test_a_caller_who_left_before_the_stream_came_was_not_answered(
    tenant: Tenant, carrier: TestCarrier, route: Route
) -> None:
    sid = make_sid("CA")
    carrier.ring(route, CallSid=sid)
    form = {**carrier.call_form(to=route.number.e164, call_sid=sid), "CallStatus": "completed", "CallDuration": "0"}
    carrier.post(addresses.number_status_url(route.public_id), form)
    with tenant_scope(tenant):
        call = Call.objects.get()
    assert (call.state, call.end_reason, call.outcome) == ("ended", "never_started", "no_answer")


def test_a_status_about_a_call_we_never_saw_is_taken_quietly(carrier: TestCarrier, route: Route) -> None:
    form = carrier.call_form(to=route.number.e164)
    response = carrier.post(addresses.number_status_url(route.public_id), {**form, "CallStatus": "completed"})
    assert response.status_code == 204


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_a_persons_leg_ends_the_same_in_any_order(
    live: ClaimedCall, carrier: TestCarrier, order: tuple[int, ...]
) -> None:
    reports = [("initiated", ""), ("ringing", ""), ("in-progress", ""), ("completed", "12")]
    for number in order:
        status, seconds = reports[number]
        form = carrier.about(
            live.call,
            status,
            CallSid=PERSON,
            ParentCallSid=live.call.carrier_sid,
            SequenceNumber=str(number),
            To="+15550003333",
        )
        if seconds:
            form["CallDuration"] = seconds
        assert carrier.post(addresses.leg_status_url(live.ref), form).status_code == 204
    with tenant_scope(live.tenant):
        leg = Leg.objects.get(kind="person")
        assert (leg.state, leg.duration_s, leg.peer) == ("completed", 12, "+15550003333")
        assert leg.status_sequence == 3
    assert reload(live).state == "live"  # a person's leg is not the call


@pytest.mark.parametrize(
    "timestamp", ["", "yesterday", "Mon, 01 Jan 1990 00:00:00 +0000", "Mon, 01 Jan 2035 00:00:00 +0000"]
)
def test_a_time_that_cannot_be_is_replaced_by_ours(live: ClaimedCall, carrier: TestCarrier, timestamp: str) -> None:
    end(live, carrier, CallDuration="5", Timestamp=timestamp)
    ended_at = reload(live).ended_at
    assert ended_at is not None
    assert abs((timezone.now() - ended_at).total_seconds()) < 30


def test_a_status_nobody_knows_changes_no_leg(live: ClaimedCall, carrier: TestCarrier) -> None:
    end(live, carrier, "levitating")
    with tenant_scope(live.tenant):
        assert Leg.objects.get(kind="caller").state != "levitating"
    assert reload(live).state == "live"


def test_a_bridged_person_makes_the_end_a_transfer(live: ClaimedCall, carrier: TestCarrier) -> None:
    form = carrier.about(live.call, "in-progress", CallSid=PERSON, SequenceNumber="2", To="+15550003333")
    carrier.post(addresses.leg_status_url(live.ref), form)
    end(live, carrier, CallDuration="90")
    assert reload(live).outcome == "transferred"


def test_stream_callbacks_open_and_close_the_streams_leg(live: ClaimedCall, carrier: TestCarrier) -> None:
    sid = make_sid("MZ")
    url = addresses.stream_status_url(live.ref)
    assert carrier.post(url, carrier.about(live.call, StreamSid=sid, StreamEvent="stream-started")).status_code == 204
    carrier.post(url, carrier.about(live.call, StreamSid=sid, StreamEvent="stream-stopped"))
    carrier.post(url, carrier.about(live.call, StreamSid=sid, StreamEvent="stream-stopped"))
    with tenant_scope(live.tenant):
        leg = Leg.objects.get(carrier_sid=sid)
        assert (leg.kind, leg.state) == ("stream", "completed")
        assert leg.ended_at is not None
        events = CallEvent.objects.filter(key__startswith=f"w:stream:{sid}")
        assert sorted(event.data["state"] for event in events) == ["stream-started", "stream-stopped"]


def test_a_stream_error_is_on_record_with_the_carriers_words(live: ClaimedCall, carrier: TestCarrier) -> None:
    form = carrier.about(
        live.call,
        StreamSid=make_sid("MZ"),
        StreamEvent="stream-error",
        StreamError="31921 Stream - Websocket - Close Error",
    )
    carrier.post(addresses.stream_status_url(live.ref), form)
    with tenant_scope(live.tenant):
        assert CallEvent.objects.get(kind="peer_error").data["problem"].startswith("31921")


@pytest.mark.parametrize("sid", ["", "MZ1", "RE" + "0" * 32])
def test_a_stream_without_a_name_changes_nothing(live: ClaimedCall, carrier: TestCarrier, sid: str) -> None:
    form = carrier.about(live.call, StreamSid=sid, StreamEvent="stream-started")
    assert carrier.post(addresses.stream_status_url(live.ref), form).status_code == 204
    with tenant_scope(live.tenant):
        assert Leg.objects.filter(kind="stream").count() == 1


@pytest.mark.parametrize("order", list(itertools.permutations(["in-progress", "processing", "completed"])))
def test_a_recording_is_fetched_once_in_any_order(
    live: ClaimedCall, carrier: TestCarrier, order: tuple[str, ...]
) -> None:
    sid = make_sid("RE")
    for status in order * 2:
        form = carrier.about(
            live.call,
            RecordingSid=sid,
            RecordingStatus=status,
            RecordingDuration="30",
            RecordingChannels="2",
            RecordingSource="StartCallRecordingAPI",
            RecordingStartTime=format_datetime(timezone.now() + timedelta(seconds=4)),
        )
        assert carrier.post(addresses.recording_url(live.ref), form).status_code == 204
    with tenant_scope(live.tenant):
        recording = Recording.objects.get()
        assert (recording.kind, recording.state, recording.channels) == ("call", "fetching", 2)
        assert 3_000 < recording.offset_ms <= 4_500
        assert AfterStep.objects.filter(step=f"recording:{recording.pk}").count() == 1


def test_what_is_stored_stays_stored(live: ClaimedCall, carrier: TestCarrier) -> None:
    sid = make_sid("RE")
    with tenant_scope(live.tenant):
        Recording.objects.create(call=live.call, carrier_sid=sid, state="stored", file="x.wav", sha256="0" * 64)
    for status in ("in-progress", "completed", "absent", "failed"):
        carrier.post(
            addresses.recording_url(live.ref), carrier.about(live.call, RecordingSid=sid, RecordingStatus=status)
        )
    with tenant_scope(live.tenant):
        assert Recording.objects.get().state == "stored"


def test_an_absent_recording_is_named_so(live: ClaimedCall, carrier: TestCarrier) -> None:
    form = carrier.about(live.call, RecordingSid=make_sid("RE"), RecordingStatus="absent")
    carrier.post(addresses.recording_url(live.ref), form)
    with tenant_scope(live.tenant):
        assert Recording.objects.get().state == "absent"
        assert not AfterStep.objects.filter(step__startswith="recording:").exists()

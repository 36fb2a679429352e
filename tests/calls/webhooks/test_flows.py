"""Whole calls between the carrier's double and our webhooks over HTTP: no caller is left in silence when the agent cannot come."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from calls.models import AfterStep, Call, CallEvent, Leg, OperatorEvent, Recording, Route
from calls.services.addresses import fallback_url, number_status_url, voice_url
from calls.services.announce import herald
from calls.tasks import run_after_step
from emulators.callers import Caller, HangUp, Say, Silence, WaitForAgent
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.carrier_double import DoubleThread, running_double
from tests.factories import AUTH_TOKEN, make_account, make_route, make_tenant

# Says it again: at the double's speed the pause between two sentences may be long enough to be taken for the end.
SPEAKER = Caller([WaitForAgent(), *[Say("Please call me back."), Silence(2)] * 8, HangUp()])

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def tenant(transactional_db: None) -> Tenant:
    return make_tenant()


@pytest.fixture
def carrier(tenant: Tenant, live_server: LiveServer, settings: Settings, redis_url: str) -> Iterator[DoubleThread]:
    settings.PUBLIC_BASE_URL = settings.MEDIA_BASE_URL = live_server.url
    with running_double() as thread:
        settings.TWILIO_API_BASE_URL = thread.double.base_url
        thread.double.add_account(sid=make_account(tenant).account_sid, auth_token=AUTH_TOKEN)
        yield thread
        herald.wait_until_sent()


def connect(carrier: DoubleThread, route: Route) -> str:
    """The number at the carrier as `provision` configures it. Returns what to dial."""
    number = route.number
    carrier.double.add_number(
        number.e164,
        sid=number.carrier_sid,
        account=number.account.account_sid,
        voice_url=voice_url(route.public_id),
        voice_fallback_url=fallback_url(route.public_id),
        status_callback=number_status_url(route.public_id),
    )
    return number.e164


def run_steps(tenant: Tenant, kind: str) -> None:
    with tenant_scope(tenant):
        for step in AfterStep.objects.filter(step__startswith=kind):
            AfterStep.objects.filter(pk=step.pk).update(due_at=step.due_at.replace(year=2020))
            run_after_step.run(str(step.pk))


def test_without_a_media_process_the_caller_leaves_a_voicemail_that_can_be_played(
    tenant: Tenant, carrier: DoubleThread
) -> None:
    dial = connect(carrier, make_route(tenant))
    call = carrier.ring(to=dial, caller=SPEAKER)
    assert [alert.code for alert in carrier.double.alerts] == [31920]  # nobody took the stream; the next verb ran
    with tenant_scope(tenant):
        row = Call.objects.get()
        assert (row.carrier_sid, row.state, row.outcome, row.end_reason) == (
            call.sid,
            "ended",
            "voicemail",
            "voicemail_left",
        )
        step = CallEvent.objects.get(kind="step")
        assert (step.data["cause"], step.data["step"]) == ("stream_missing", "voicemail")
        assert Recording.objects.get().kind == "voicemail"
    run_steps(tenant, "recording")
    with tenant_scope(tenant):
        recording = Recording.objects.get()
        assert recording.state == "stored"
        assert recording.file.read(4) == b"RIFF"
        recording.file.delete(save=False)


def test_a_person_takes_the_call_when_no_agent_can(tenant: Tenant, carrier: DoubleThread) -> None:
    route = make_route(tenant, ladder=["streams", "person", "voicemail"], person_name="Ada", person_e164="+15550001111")
    carrier.double.add_person("+15550001111", caller=Caller([Say("Ada here."), Silence(2), HangUp()]))
    carrier.ring(to=connect(carrier, route), caller=Caller([Silence(30), HangUp()]))
    with tenant_scope(tenant):
        row = Call.objects.get()
        assert (row.outcome, row.end_reason) == ("transferred", "transferred")
        person = Leg.objects.get(kind="person")
        assert (person.peer, person.state) == ("+15550001111", "completed")
        assert person.duration_s


@pytest.mark.parametrize("outcome", ["no-answer", "busy", "failed"])
def test_a_person_who_does_not_come_is_followed_by_voicemail(
    tenant: Tenant, carrier: DoubleThread, settings: Settings, outcome: str
) -> None:
    settings.DIAL_TIMEOUT_S = 5
    route = make_route(
        tenant, ladder=["person", "voicemail"], has_agent=False, person_name="Ada", person_e164="+15550001111"
    )
    carrier.double.add_person("+15550001111", outcome=outcome)
    carrier.ring(
        to=connect(carrier, route),
        caller=SPEAKER,
    )
    with tenant_scope(tenant):
        row = Call.objects.get()
        assert row.end_reason in ("voicemail_left", "voicemail_empty")
        assert row.rung == 1
        assert Leg.objects.get(kind="person").state == outcome


def test_a_silent_caller_at_voicemail_hears_a_goodbye(tenant: Tenant, carrier: DoubleThread) -> None:
    route = make_route(tenant, ladder=["voicemail"], has_agent=False)
    carrier.ring(to=connect(carrier, route), caller=Caller([Silence(60), HangUp()]))
    with tenant_scope(tenant):
        row = Call.objects.get()
        assert (row.end_reason, row.outcome) == ("voicemail_empty", "caller_left")
        assert row.duration_s is not None
        assert row.duration_s < 60  # we ended it


def test_a_suspended_tenants_caller_hears_a_sentence(tenant: Tenant, carrier: DoubleThread) -> None:
    Tenant.objects.update(state="suspended")
    call = carrier.ring(to=connect(carrier, make_route(tenant)), caller=Caller([Silence(30), HangUp()]))
    assert call.leg.heard_audio()
    with tenant_scope(tenant):
        row = Call.objects.get()
        assert (row.outcome, row.end_reason) == ("refused", "tenant_suspended")


def test_a_number_nobody_has_is_answered_with_a_sentence(tenant: Tenant, carrier: DoubleThread) -> None:
    route = make_route(tenant)
    connect(carrier, route)
    carrier.double.add_number(
        "+15559990000", account=make_account(tenant).account_sid, voice_url=voice_url(route.public_id)
    )
    call = carrier.ring(to="+15559990000", caller=Caller([Silence(30), HangUp()]))
    assert call.leg.heard_audio()
    assert OperatorEvent.objects.get(kind="unknown_number").data["to"] == "+15559990000"
    with tenant_scope(tenant):
        assert not Call.objects.exists()

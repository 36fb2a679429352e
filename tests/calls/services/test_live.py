"""What a bridge asks of the house, against the carrier's double."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from calls.models import Call, Recording
from calls.services import notes
from calls.services.addresses import recording_url
from calls.services.live import ask_again, session_finished, start_recording
from calls.services.notes import tell_operator
from calls.services.plan import PlanError, build_plan
from emulators.callers import Caller, Silence
from gateways.errors import GatewayError
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.carrier_double import DoubleThread, running_double
from tests.emulators.twilio.product import Product
from tests.factories import AUTH_TOKEN, make_account, make_call, make_route, make_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant(db: None) -> Tenant:
    return make_tenant()


@pytest.fixture
def carrier(tenant: Tenant, settings: Settings) -> Iterator[DoubleThread]:
    with running_double() as thread:
        settings.TWILIO_API_BASE_URL = thread.double.base_url
        thread.double.add_account(sid=make_account(tenant).account_sid, auth_token=AUTH_TOKEN)
        yield thread


def test_a_live_call_is_recorded_with_its_place_on_the_calls_clock(
    tenant: Tenant, carrier: DoubleThread, settings: Settings
) -> None:
    async def open_product() -> Product:
        return await Product().__aenter__()

    product = carrier.do(open_product())
    settings.PUBLIC_BASE_URL = product.base_url
    route = make_route(tenant)
    carrier.double.add_number(
        route.number.e164, account=route.number.account.account_sid, voice_url=f"{product.base_url}/voice"
    )
    product.answer("/voice", '<Say>One moment.</Say><Pause length="3600"/>')

    async def ring() -> str:
        call = await carrier.double.ring(to=route.number.e164, caller=Caller([Silence(3600)]))
        await call.wait_for("answered")
        return call.sid

    call = make_call(tenant, route=route, carrier_sid=carrier.do(ring()))
    product.answer(recording_url(call.pk.hex).split("#")[0].removeprefix(product.base_url), "")
    product.answer(f"/hooks/twilio/resume/{call.pk.hex}/", "<Hangup/>")
    with tenant_scope(tenant):
        sid = start_recording(call, offset_ms=4_200)
        recording = Recording.objects.get()
        assert (recording.carrier_sid, recording.offset_ms, recording.channels) == (sid, 4_200, 2)
        assert (recording.kind, recording.state) == ("call", "running")
        ask_again(call)  # the carrier drops what it runs and asks us
        carrier.do(carrier.double.calls[call.carrier_sid].ended())
        with pytest.raises(GatewayError) as refused:
            start_recording(call, offset_ms=0)
        assert refused.value.permanent
    carrier.do(carrier.double.settled())
    carrier.do(product.__aexit__(None, None, None))


def test_a_session_that_let_go_leaves_the_call_to_the_carriers_next_question(tenant: Tenant) -> None:
    call = make_call(tenant)
    with tenant_scope(tenant):
        assert session_finished(call.pk, token=1, reason="", is_over=False)
        assert Call.objects.get().state == "live"


def test_a_fault_of_the_session_is_kept_with_the_end(tenant: Tenant) -> None:
    call = make_call(tenant)
    with tenant_scope(tenant):
        assert session_finished(call.pk, token=1, reason="silence", fault="caller", is_over=True)
        ended = Call.objects.get()
        assert (ended.end_reason, ended.fault) == ("silence", "caller")


def test_a_stranger_cannot_finish_a_session(tenant: Tenant) -> None:
    call = make_call(tenant)
    with tenant_scope(make_tenant()), pytest.raises(Call.DoesNotExist):
        session_finished(call.pk, token=1, is_over=True)
    with tenant_scope(tenant):
        assert Call.objects.get().state == "live"


def test_a_call_without_an_agent_has_no_plan(tenant: Tenant) -> None:
    call = make_call(tenant, route=make_route(tenant, has_agent=False, ladder=["voicemail"]))
    with tenant_scope(tenant), pytest.raises(PlanError):
        build_plan(call, is_resumed=False)


def test_suppressed_operator_events_are_counted_into_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    notes.forget_operator_events()
    now = [1000.0]
    monkeypatch.setattr("calls.services.notes.time.monotonic", lambda: now[0])
    assert all(tell_operator("test") for _ in range(notes.OPERATOR_EVENTS_A_MINUTE))
    assert not tell_operator("test")
    assert not tell_operator("test")
    assert tell_operator("another")  # a flood of one kind hides no other
    now[0] += 61
    assert tell_operator("test")
    event = notes.OperatorEvent.objects.filter(kind="test").order_by("-id").first()
    assert event is not None
    assert event.data["suppressed_before"] == 2

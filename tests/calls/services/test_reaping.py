"""Calls whose end nobody reported, against the carrier's double."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from calls.models import AfterStep, Call, CallEvent, Lease, Leg, Process
from calls.services import processes, reaping
from calls.services.leases import hold_process_lock
from calls.services.reaping import reap_stale_calls, recover_dead_calls
from calls.services.time_limits import limit_call
from calls.tasks import run_after_step
from emulators.callers import Caller, HangUp, Silence
from tenants.ids import new_id
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.carrier_double import DoubleThread, running_double
from tests.emulators.twilio.product import Product
from tests.factories import AUTH_TOKEN, make_account, make_call, make_route, make_sid, make_tenant

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


@pytest.fixture
def product(carrier: DoubleThread) -> Iterator[Product]:
    """Answers the carrier's webhooks in our place; we never hear of the call."""

    async def enter() -> Product:
        return await Product().__aenter__()

    product = carrier.do(enter())
    product.answer("/voice", '<Say>One moment.</Say><Pause length="3600"/>')
    yield product
    carrier.do(product.__aexit__(None, None, None))


def ring(tenant: Tenant, carrier: DoubleThread, product: Product, *, ends: bool) -> str:
    """A call at the carrier that runs, or has run for 30 s. Its SID."""
    route = make_route(tenant)
    carrier.double.add_number(
        route.number.e164, account=route.number.account.account_sid, voice_url=f"{product.base_url}/voice"
    )
    if ends:
        return carrier.ring(to=route.number.e164, caller=Caller([Silence(30), HangUp()])).sid

    async def begin() -> str:
        call = await carrier.double.ring(to=route.number.e164, caller=Caller([Silence(36_000)]))
        await call.wait_for("answered")
        return call.sid

    return carrier.do(begin())


def make_old_call(tenant: Tenant, sid: str, *, age_s: int = 120, state: str = "live") -> Call:
    born = timezone.now() - timedelta(seconds=age_s)
    call = make_call(tenant, carrier_sid=sid, created_at=born, answered_at=born, state=state)
    with tenant_scope(tenant):
        CallEvent.objects.create(call=call, key="w:voice", kind="received", at=born)
    return call


def reload(call: Call) -> Call:
    with tenant_scope(call.tenant):
        return Call.objects.get(pk=call.pk)


def test_a_call_that_ended_unheard_is_closed_with_the_carriers_figures(
    tenant: Tenant, carrier: DoubleThread, product: Product
) -> None:
    call = make_old_call(tenant, ring(tenant, carrier, product, ends=True))
    assert reap_stale_calls() == 1
    ended = reload(call)
    assert (ended.state, ended.end_reason) == ("ended", "caller_hung_up")
    assert 29 <= (ended.duration_s or 0) <= 32
    assert reap_stale_calls() == 0


def test_a_call_that_still_runs_is_left_alone(tenant: Tenant, carrier: DoubleThread, product: Product) -> None:
    call = make_old_call(tenant, ring(tenant, carrier, product, ends=False))
    assert reap_stale_calls() == 0
    assert reload(call).state == "live"


def test_a_call_that_was_heard_of_lately_is_left_alone(tenant: Tenant, carrier: DoubleThread, product: Product) -> None:
    call = make_old_call(tenant, ring(tenant, carrier, product, ends=True))
    with tenant_scope(tenant):
        CallEvent.objects.create(call=call, key="s:1", kind="barge_in", at=timezone.now())
    assert reap_stale_calls() == 0


def test_a_call_the_carrier_does_not_know_is_reaped(tenant: Tenant, carrier: DoubleThread) -> None:
    call = make_old_call(tenant, "CA" + "9" * 32)
    assert reap_stale_calls() == 1
    ended = reload(call)
    assert (ended.end_reason, ended.fault) == ("reaped", "carrier")


def test_an_unreachable_carrier_decides_nothing_until_no_call_can_be_that_old(
    tenant: Tenant, settings: Settings
) -> None:
    settings.TWILIO_API_BASE_URL = "http://127.0.0.1:9"
    young = make_old_call(tenant, "CA" + "8" * 32)
    ancient = make_old_call(tenant, "CA" + "9" * 32, age_s=settings.CALL_TIME_LIMIT_S + 700)
    assert reap_stale_calls() == 1
    assert (reload(young).state, reload(ancient).end_reason) == ("live", "reaped")


def test_the_carriers_duration_is_fetched_when_no_callback_brought_it(
    tenant: Tenant, carrier: DoubleThread, product: Product
) -> None:
    call = make_old_call(tenant, ring(tenant, carrier, product, ends=True))
    with tenant_scope(tenant):
        Call.objects.update(
            state="ended", end_reason="agent_ended", ended_at=timezone.now() - timedelta(seconds=40), duration_s=1
        )
    assert reap_stale_calls() == 1
    assert 29 <= (reload(call).duration_s or 0) <= 32
    with tenant_scope(tenant):
        leg = Leg.objects.get(kind="caller")
        assert leg.ended_at is not None
        assert leg.duration_s == reload(call).duration_s


def test_figures_that_cannot_be_had_are_given_up_in_time(tenant: Tenant, settings: Settings) -> None:
    settings.TWILIO_API_BASE_URL = "http://127.0.0.1:9"
    call = make_old_call(tenant, "CA" + "8" * 32)
    with tenant_scope(tenant):
        ended = {"state": "ended", "end_reason": "agent_ended", "duration_s": 7}
        Call.objects.update(**ended, ended_at=timezone.now() - timedelta(seconds=40))
        assert reap_stale_calls() == 0  # it may come back
        assert Leg.objects.get().ended_at is None
        Call.objects.update(ended_at=timezone.now() - timedelta(seconds=reaping.GIVE_UP_SETTLING_S + 1))
        assert reap_stale_calls() == 1
        assert Leg.objects.get().ended_at == reload(call).ended_at
    assert reload(call).duration_s == 7


def test_a_call_we_ended_that_still_runs_at_the_carrier_is_asked_about_again(
    tenant: Tenant, carrier: DoubleThread, product: Product
) -> None:
    make_old_call(tenant, ring(tenant, carrier, product, ends=False))
    with tenant_scope(tenant):
        Call.objects.update(
            state="ended", end_reason="agent_ended", ended_at=timezone.now() - timedelta(seconds=40), duration_s=1
        )
        assert reap_stale_calls() == 0
        assert Leg.objects.get().ended_at is None


def test_a_long_silence_on_a_live_line_is_not_its_end(tenant: Tenant, settings: Settings) -> None:
    settings.TWILIO_API_BASE_URL = "http://127.0.0.1:9"
    call = make_old_call(tenant, "CA" + "9" * 32, age_s=settings.CALL_TIME_LIMIT_S + 700)
    with tenant_scope(tenant):
        Lease.objects.filter(call=call).update(process_id=processes.current_id(), released_at=None)
    assert hold_process_lock(processes.current_id())
    assert reap_stale_calls() == 0
    assert reload(call).state == "live"


# --- recovery -------------------------------------------------------------------------------------------------------


def hold_by_dead_process(call: Call) -> None:
    dead = Process.objects.create(
        id=new_id(), name="dead", kind="media", heartbeat_at=timezone.now() - timedelta(seconds=30)
    )
    with tenant_scope(call.tenant):
        Lease.objects.filter(call=call).update(process=dead, released_at=None)


def test_a_live_call_of_a_dead_process_is_asked_for(
    tenant: Tenant, carrier: DoubleThread, product: Product, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PUBLIC_BASE_URL = product.base_url
    sid = ring(tenant, carrier, product, ends=False)
    call = make_old_call(tenant, sid)
    product.answer(f"/hooks/twilio/resume/{call.pk.hex}/", "<Hangup/>")
    hold_by_dead_process(call)
    monkeypatch.setattr(reaping, "is_store_settled", lambda: True)  # the tests' engine may be seconds old
    assert recover_dead_calls() == 0  # nobody there who could take it
    processes.register_process("media")
    assert recover_dead_calls() == 1
    carrier.do(carrier.double.settled())
    assert carrier.double.calls[sid].over
    assert any(hit.path == f"/hooks/twilio/resume/{call.pk.hex}/" for hit in product.hits)


def test_a_live_process_keeps_its_calls(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    call = make_old_call(tenant, "CA" + "9" * 32)
    monkeypatch.setattr(reaping, "is_store_settled", lambda: True)
    with tenant_scope(tenant):
        Lease.objects.filter(call=call).update(process_id=processes.current_id(), released_at=None)
    assert recover_dead_calls() == 0


def test_a_recovery_the_carrier_refuses_is_tried_again(
    tenant: Tenant, carrier: DoubleThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = make_old_call(tenant, "CA" + "9" * 32)
    hold_by_dead_process(call)
    processes.register_process("media")
    monkeypatch.setattr(reaping, "is_store_settled", lambda: True)
    with tenant_scope(tenant):
        before = Lease.objects.get().token
    assert recover_dead_calls() == 0
    assert recover_dead_calls() == 0
    with tenant_scope(tenant):
        lease = Lease.objects.get()
        assert lease.token == before + 2  # whoever held it has no say any more
        assert lease.process is not None  # and it is still found


def test_nobody_takes_over_when_the_store_has_just_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM now() - pg_postmaster_start_time())")
        age_s = float(cursor.fetchone()[0])
    monkeypatch.setattr(reaping, "DEAD_AFTER_S", age_s)  # twice that is not reached yet
    assert not reaping.is_store_settled()
    monkeypatch.setattr(reaping, "DEAD_AFTER_S", 0.0)
    assert reaping.is_store_settled()


# --- the carrier's time limit -----------------------------------------------------------------------------------------


def test_the_newest_limit_ends_the_call_and_older_ones_are_skipped(
    tenant: Tenant, carrier: DoubleThread, product: Product, settings: Settings
) -> None:
    sid = ring(tenant, carrier, product, ends=False)
    call = make_call(tenant, carrier_sid=sid)
    with tenant_scope(tenant):
        limit_call(call, 600)
        settings.CALL_TIME_LIMIT_S = 30
        limit_call(call, 1_800)
        steps = list(AfterStep.objects.order_by("pk"))
        assert [step.step for step in steps] == ["time_limit:660", "time_limit:30"]
        for step in reversed(steps):  # whichever comes last must not win
            run_after_step.run(str(step.pk))
        assert set(AfterStep.objects.values_list("state", flat=True)) == {"done"}
    carrier.do(carrier.double.calls[sid].ended())
    assert carrier.double.calls[sid].ended_by == "time-limit"
    assert 29 <= (carrier.double.calls[sid].duration_s or 0) <= 40


def test_a_limit_for_a_call_that_is_over_is_done(tenant: Tenant, carrier: DoubleThread, product: Product) -> None:
    sid = ring(tenant, carrier, product, ends=True)
    call = make_call(tenant, carrier_sid=sid)
    with tenant_scope(tenant):
        limit_call(call, 600)
        run_after_step.run(str(AfterStep.objects.get().pk))
        assert AfterStep.objects.get().state == "done"


def test_a_limit_for_a_call_that_this_carrier_never_had_is_no_dead_letter(
    tenant: Tenant, carrier: DoubleThread, product: Product
) -> None:
    call = make_call(tenant, carrier_sid=make_sid("CA"))
    with tenant_scope(tenant):
        limit_call(call, 600)
        run_after_step.run(str(AfterStep.objects.get().pk))
        assert AfterStep.objects.get().state == "done"

"""Orders for numbers survive whatever dies: never bought twice, never bought and lost, never half made (product 3.4)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connections
from django.utils import timezone

from calls.models import Route
from calls.services.addresses import fallback_url, number_status_url, voice_url
from calls.services.numbers import forget_failed, list_foreign_numbers, request_number
from emulators.twilio.rest_papers import Address, Bundle
from gateways.numbers import NumberGateway
from tenants import plans
from tenants.models import AuditEntry, CarrierAccount, Number, NumberOrder, Plan, Tenant
from tenants.numbers import saga
from tenants.numbers.orders import Wish, request_release, retry_order
from tenants.scope import tenant_scope
from tests.carrier import TestCarrier, verbs
from tests.carrier_double import DoubleThread
from tests.factories import AUTH_TOKEN, make_account, make_tenant
from tests.racing import race
from tests.tenants.numbers.desk import at_carrier, choose, number_of, order, purchases, run, run_once

pytestmark = pytest.mark.django_db


def test_a_number_is_bought_pointed_at_us_and_active(double: DoubleThread, tenant: Tenant) -> None:
    placed = order(tenant)
    assert at_carrier(double, tenant) == []
    done = run_once(tenant, placed)
    assert (done.state, done.step, done.error) == ("done", "verified", "")
    (bought,) = at_carrier(double, tenant)
    with tenant_scope(tenant):
        number = Number.objects.get()
        route = Route.objects.get(number=number)
        actions = list(AuditEntry.objects.order_by("at").values_list("action", flat=True))
    assert (number.state, number.carrier_sid, number.e164) == ("active", bought.sid, bought.e164)
    assert number.acquired_at is not None
    assert bought.voice_url == voice_url(route.public_id)
    assert bought.voice_fallback_url == fallback_url(route.public_id)
    assert bought.status_callback == number_status_url(route.public_id)
    assert placed.marker in bought.friendly_name
    assert actions == ["number.buy_requested", "number.bought"]


def test_the_same_form_sent_twice_is_one_order(double: DoubleThread, tenant: Tenant) -> None:
    e164 = choose(tenant)
    first, second = order(tenant, e164, key="form-1"), order(tenant, e164, key="form-1")
    assert first.pk == second.pk
    run(tenant, first)
    assert order(tenant, e164, key="form-1").pk == first.pk
    assert purchases(double, e164) == 1


def test_a_caller_is_answered_the_moment_the_number_is_bought(double: DoubleThread, tenant: Tenant) -> None:
    """The carrier may ring before our worker has written that the number is ours."""
    placed = order(tenant)
    with tenant_scope(tenant):
        route = Route.objects.select_related("number__account").get(number_id=placed.number_id)
        account = CarrierAccount.objects.get()
    answer = TestCarrier(account.account_sid, AUTH_TOKEN).ring(route)
    assert "Record" in verbs(answer)  # no agent yet: voicemail, and not "unknown number"


STEPS: dict[str, tuple[Any, str, bool]] = {
    "before the look": (NumberGateway, "list_numbers", False),
    "after the look": (NumberGateway, "list_numbers", True),
    "before the purchase": (NumberGateway, "buy_number", False),
    "after the purchase": (NumberGateway, "buy_number", True),
    "before the configuration": (saga, "apply_config", False),
    "after the configuration": (saga, "apply_config", True),
    "before the last row": (saga, "_finish_acquired", False),
}


@pytest.mark.django_db(transaction=True)
def test_a_worker_killed_between_any_two_steps_leaves_one_number_bought_once(double: DoubleThread) -> None:
    for where, (owner, name, after) in STEPS.items():
        tenant = make_tenant()
        account = make_account(tenant)
        double.double.add_account(sid=account.account_sid, auth_token=AUTH_TOKEN)
        placed = order(tenant)
        assert kill_in_child(tenant, placed, owner, name, after=after) == signal.SIGKILL, where
        with tenant_scope(tenant):
            assert saga.run_order(str(placed.pk)) is False, f"{where}: its claim still holds"
        done = run(tenant, placed)
        assert (done.state, number_of(tenant, placed).state) == ("done", "active"), where
        (bought,) = at_carrier(double, tenant)
        assert bought.sid == number_of(tenant, placed).carrier_sid, where
        assert purchases(double, bought.e164) == 1, where


def kill_in_child(tenant: Tenant, placed: NumberOrder, owner: Any, name: str, *, after: bool) -> int:
    """A worker process of its own that is killed (-9) before or after this function did its work; returns the signal."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    real: Callable[..., Any] = getattr(owner, name)

    def die(*args: Any, **kwargs: Any) -> Any:
        if after:
            real(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    try:
        for connection in connections.all():
            connection.connection = None  # the parent's; this process makes its own
        setattr(owner, name, die)
        with tenant_scope(tenant):
            saga.run_order(str(placed.pk))
    finally:
        os._exit(1)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("status", [429, 500, 0])
@pytest.mark.parametrize(
    "step", ["GET /api.twilio.com/2010-04-01/Accounts", "POST /api.twilio.com/2010-04-01/Accounts"]
)
def test_a_carrier_that_fails_at_a_step_is_asked_again_and_sells_once(
    double: DoubleThread, tenant: Tenant, step: str, status: int, late: bool
) -> None:
    placed = order(tenant)
    faults = double.double.faults
    faults.rest_status, faults.rest_count, faults.rest_late, faults.rest_match = status, 1, late, step
    waiting = run_once(tenant, placed)
    assert waiting.state == "open"
    assert "tried again" in waiting.error
    assert waiting.due_at is not None
    assert waiting.due_at > timezone.now()
    done = run(tenant, placed)
    assert (done.state, done.error) == ("done", "")
    (bought,) = at_carrier(double, tenant)
    assert number_of(tenant, placed).carrier_sid == bought.sid
    is_sent_again = step.startswith("POST") and not late
    assert purchases(double, bought.e164) == 1 + is_sent_again


@pytest.mark.parametrize("step", ["GET ", "POST "])
def test_credentials_that_are_refused_end_the_order_with_the_mend(
    double: DoubleThread, tenant: Tenant, step: str
) -> None:
    placed = order(tenant)
    faults = double.double.faults
    faults.rest_status, faults.rest_count, faults.rest_match = 401, 1, step
    failed = run_once(tenant, placed)
    assert (failed.state, number_of(tenant, placed).state) == ("failed", "failed")
    assert "Settings → Carrier" in failed.error
    assert at_carrier(double, tenant) == []
    with tenant_scope(tenant):
        again = retry_order(tenant, failed)
    assert run(tenant, again).state == "done"


def test_a_carrier_that_never_sells_is_given_up_only_after_a_look(double: DoubleThread, tenant: Tenant) -> None:
    placed = order(tenant)
    faults = double.double.faults
    faults.rest_status, faults.rest_count, faults.rest_match = 500, 99, "POST /api.twilio.com/2010-04-01/Accounts"
    failed = run(tenant, placed, tries=saga.ATTEMPTS + 1)
    assert failed.state == "failed"
    assert "Nothing was bought" in failed.error
    assert at_carrier(double, tenant) == []


def test_an_unknown_purchase_is_never_called_off_while_the_carrier_cannot_be_asked(
    double: DoubleThread, tenant: Tenant
) -> None:
    placed = order(tenant)
    faults = double.double.faults
    faults.rest_status, faults.rest_count, faults.rest_late = 0, 1, True
    faults.rest_match = "POST /api.twilio.com/2010-04-01/Accounts"
    assert run_once(tenant, placed).step == "ordering"
    faults.rest_status, faults.rest_count, faults.rest_late, faults.rest_match = 401, 99, False, "GET "
    assert run(tenant, placed, tries=saga.ATTEMPTS + 3).state == "open"
    faults.rest_count = 0
    assert run(tenant, placed).state == "done"
    assert purchases(double, number_of(tenant, placed).e164) == 1


def test_a_number_taken_between_search_and_purchase_says_so(double: DoubleThread, tenant: Tenant) -> None:
    placed = order(tenant)
    double.double.faults.taken.append(number_of(tenant, placed).e164)
    failed = run_once(tenant, placed)
    assert failed.state == "failed"
    assert "taken by somebody else" in failed.error
    with tenant_scope(tenant):
        assert plans.count_numbers() == 0
        forget_failed(failed.number)
        assert not Number.objects.exists()
        assert not Route.objects.exists()


def test_missing_papers_are_named_and_the_order_goes_on_with_them(double: DoubleThread, tenant: Tenant) -> None:
    with tenant_scope(tenant):
        sid = CarrierAccount.objects.get().account_sid
    exchange = double.double.exchange
    dutch = order(tenant, choose(tenant, "NL"), country="NL")
    failed = run_once(tenant, dutch)
    assert "address" in failed.error
    exchange.addresses["AD" + "1" * 32] = Address(
        "AD" + "1" * 32, sid, "Harbour", "Damrak 1", "Amsterdam", "NH", "1012", "NL"
    )
    with tenant_scope(tenant):
        retry_order(tenant, failed, address_sid="AD" + "1" * 32)
    assert run(tenant, dutch).state == "done"

    german = order(tenant, choose(tenant, "DE"), country="DE")
    failed = run_once(tenant, german)
    assert "bundle" in failed.error
    exchange.bundles["BU" + "1" * 32] = Bundle("BU" + "1" * 32, sid, "DE", "local")
    with tenant_scope(tenant):
        retry_order(tenant, failed, bundle_sid="BU" + "1" * 32)
    assert run(tenant, german).state == "done"


def test_the_plan_s_limit_counts_numbers_that_are_being_bought(double: DoubleThread, tenant: Tenant) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(plan=make_plan(numbers=1))
    tenant.refresh_from_db()
    order(tenant)
    with pytest.raises(plans.LimitReached) as refused:
        order(tenant, choose(tenant, area_code="212"))
    assert "includes 1 number" in str(refused.value)


@pytest.mark.django_db(transaction=True)
def test_two_members_who_buy_at_once_get_what_the_plan_allows(double: DoubleThread, tenant: Tenant) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(plan=make_plan(numbers=1))
    tenant.refresh_from_db()
    one, other = choose(tenant, area_code="415"), choose(tenant, area_code="212")
    results = race(lambda: order(tenant, one), lambda: order(tenant, other))
    assert sorted(type(result).__name__ for result in results) == ["LimitReached", "NumberOrder"]


def make_plan(*, numbers: int) -> Plan:
    return Plan.objects.filter(numbers=numbers).first() or Plan.objects.create(
        key=f"p{numbers}", name="Small", numbers=numbers, concurrent_calls=2, outbound_concurrency=1
    )


def test_a_line_has_one_buyer_across_all_tenants(double: DoubleThread, tenant: Tenant) -> None:
    placed = order(tenant)
    stranger = make_tenant()
    make_account(stranger)
    with pytest.raises(ValidationError, match="taken by somebody else"):
        order(stranger, number_of(tenant, placed).e164)


def test_a_number_that_the_account_owns_is_taken_in_and_configured(double: DoubleThread, tenant: Tenant) -> None:
    with tenant_scope(tenant):
        sid = CarrierAccount.objects.get().account_sid
    theirs = double.double.add_number("+12065550123", account=sid, voice_url="https://old.example/voice")
    theirs.voice_application_sid, theirs.friendly_name = "AP" + "2" * 32, "Their own name"
    with tenant_scope(tenant):
        (found,) = list_foreign_numbers()
        placed = request_number(tenant, Wish(e164=found.e164, carrier_sid=found.sid, country="US"), key="import-1")
    assert placed.kind == "import"
    assert run(tenant, placed).state == "done"
    assert "/hooks/twilio/voice/" in theirs.voice_url
    assert (theirs.voice_application_sid, theirs.friendly_name) == ("", "Their own name")
    with tenant_scope(tenant):
        assert list_foreign_numbers() == []
    assert purchases(double, "+12065550123") == 0


def test_a_number_that_left_the_account_is_not_taken_in(double: DoubleThread, tenant: Tenant) -> None:
    placed = order(tenant, "+12065550199", carrier_sid="PN" + "9" * 32)
    failed = run_once(tenant, placed)
    assert failed.state == "failed"
    assert "no such number" in failed.error


@pytest.mark.parametrize("late", [False, True])
def test_a_number_is_released_once_whatever_the_carrier_answers(
    double: DoubleThread, tenant: Tenant, late: bool
) -> None:
    number = number_of(tenant, run(tenant, order(tenant)))
    with tenant_scope(tenant):
        placed = request_release(number, key="release-1")
        assert request_release(number, key="release-1").pk == placed.pk
    assert number_of(tenant, placed).state == "releasing"
    faults = double.double.faults
    faults.rest_status, faults.rest_count, faults.rest_late, faults.rest_match = 0, 1, late, "DELETE "
    assert run_once(tenant, placed).state == "open"
    assert run(tenant, placed).state == "done"
    gone = number_of(tenant, placed)
    assert (gone.state, at_carrier(double, tenant)) == ("released", [])
    assert gone.released_at is not None


def test_a_number_with_an_emergency_address_stays_and_says_why(double: DoubleThread, tenant: Tenant) -> None:
    number = number_of(tenant, run(tenant, order(tenant)))
    double.double.exchange.numbers[number.e164].emergency_active = True
    with tenant_scope(tenant):
        placed = request_release(number, key="release-2")
    failed = run_once(tenant, placed)
    assert (failed.state, number_of(tenant, placed).state) == ("failed", "active")
    assert "emergency address" in failed.error
    assert len(at_carrier(double, tenant)) == 1


def test_a_worker_that_hangs_loses_its_claim(double: DoubleThread, tenant: Tenant) -> None:
    placed = order(tenant)
    with tenant_scope(tenant):
        NumberOrder.objects.update(claimed_until=timezone.now() + timedelta(seconds=60))
        assert saga.run_order(str(placed.pk)) is False
        NumberOrder.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
        assert saga.run_order(str(placed.pk)) is True

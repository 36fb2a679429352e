"""A tenant's account at the carrier: opened once, limited as a trial, suspended and resumed, whatever dies on the way (product 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from emulators.twilio.values import Account
from gateways.accounts import ParentGateway
from tenants import carrier, carrier_work, onboarding
from tenants.models import AuditEntry, CarrierAccount, Tenant
from tenants.scope import tenant_scope
from tests.carrier import TestCarrier
from tests.carrier_double import DoubleThread, running_double
from tests.dashboard.scenes import make_member
from tests.factories import make_number, make_tenant

PARENT, PARENT_TOKEN = "AC" + "1" * 32, "the-parents-token"

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def carrier_thread() -> Iterator[DoubleThread]:
    with running_double() as thread:
        thread.double.add_account(sid=PARENT, auth_token=PARENT_TOKEN)
        yield thread


@pytest.fixture
def double(carrier_thread: DoubleThread, settings: Any) -> Iterator[DoubleThread]:
    settings.TWILIO_API_BASE_URL = carrier_thread.double.base_url
    settings.TWILIO_ACCOUNT_SID, settings.TWILIO_AUTH_TOKEN = PARENT, PARENT_TOKEN
    yield carrier_thread
    carrier_thread.double.faults.rest_count = 0
    carrier_thread.double.faults.rest_match, carrier_thread.double.faults.rest_late = "", False


def subaccounts(double: DoubleThread, tenant: Tenant) -> list[Account]:
    marker = carrier_work.marker_of(tenant)
    return [one for one in double.double.exchange.accounts.values() if one.friendly_name == marker]


def align(tenant: Tenant) -> CarrierAccount:
    """What the worker does when the sweeper sends it, as often as it takes; the wait between the tries is skipped."""
    with tenant_scope(tenant):
        for _ in range(5):
            CarrierAccount.objects.filter(due_at__isnull=False).update(due_at=timezone.now())
            account = CarrierAccount.objects.get()
            if account.due_at is None:
                break
            carrier_work.align_account(str(account.pk))
        return CarrierAccount.objects.get()


def test_an_active_business_gets_one_subaccount_and_nobody_waits_for_it(double: DoubleThread) -> None:
    tenant = make_tenant()
    asked = carrier.ensure_account(tenant)
    assert asked is not None
    assert asked.state == CarrierAccount.State.OPENING
    assert subaccounts(double, tenant) == []
    carrier.ensure_account(tenant)
    account = align(tenant)
    (made,) = subaccounts(double, tenant)
    assert (account.account_sid, account.auth_token, account.state) == (made.sid, made.auth_token, "active")
    assert account.due_at is None
    carrier.ensure_account(tenant)
    assert align(tenant).account_sid == made.sid
    assert len(subaccounts(double, tenant)) == 1
    with tenant_scope(tenant):
        actions = list(AuditEntry.objects.order_by("at").values_list("action", flat=True))
    assert actions == ["carrier_account.requested", "carrier_account.opened"]


def test_nothing_is_opened_for_a_business_that_may_not_buy_or_without_an_account_of_the_operator(
    double: DoubleThread, settings: Any
) -> None:
    suspended = make_tenant(state=Tenant.State.SUSPENDED)
    assert carrier.ensure_account(suspended) is None
    settings.TWILIO_ACCOUNT_SID = ""
    assert carrier.ensure_account(make_tenant()) is None


def test_a_worker_that_dies_after_the_carrier_opened_it_leaves_one_account(double: DoubleThread) -> None:
    tenant = make_tenant()
    asked = carrier.ensure_account(tenant)
    assert asked is not None

    class Killed(BaseException):
        pass

    made = ParentGateway.create_subaccount

    def make_and_die(*args: Any, **kwargs: Any) -> Any:
        made(*args, **kwargs)
        raise Killed

    with tenant_scope(tenant), patch.object(ParentGateway, "create_subaccount", make_and_die), pytest.raises(Killed):
        carrier_work.align_account(str(asked.pk))
    with tenant_scope(tenant):
        assert carrier_work.align_account(str(asked.pk)) is False  # claimed, until the claim has run out
        CarrierAccount.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert align(tenant).account_sid == subaccounts(double, tenant)[0].sid
    assert len(subaccounts(double, tenant)) == 1


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("status", [401, 429, 500, 0])
def test_a_carrier_that_fails_is_asked_again_and_says_why_meanwhile(
    double: DoubleThread, status: int, late: bool
) -> None:
    tenant = make_tenant()
    asked = carrier.ensure_account(tenant)
    assert asked is not None
    faults = double.double.faults
    faults.rest_status, faults.rest_count, faults.rest_late = status, 1, late
    faults.rest_match = "POST /api.twilio.com/2010-04-01/Accounts.json"
    with tenant_scope(tenant):
        carrier_work.align_account(str(asked.pk))
        waiting = CarrierAccount.objects.get()
    assert waiting.state == CarrierAccount.State.OPENING
    assert waiting.error
    assert waiting.due_at is not None
    assert waiting.due_at > timezone.now()
    account = align(tenant)
    assert (account.state, account.error) == ("active", "")
    assert len(subaccounts(double, tenant)) == 1


def test_a_suspended_business_is_suspended_at_the_carrier_and_resumed_with_it(double: DoubleThread) -> None:
    tenant = make_tenant()
    carrier.ensure_account(tenant)
    align(tenant)
    Tenant.objects.filter(pk=tenant.pk).update(state=Tenant.State.SUSPENDED)
    tenant.refresh_from_db()
    carrier.ensure_account(tenant)
    assert align(tenant).state == CarrierAccount.State.SUSPENDED
    assert subaccounts(double, tenant)[0].status == "suspended"
    Tenant.objects.filter(pk=tenant.pk).update(state=Tenant.State.ACTIVE)
    tenant.refresh_from_db()
    carrier.ensure_account(tenant)
    assert align(tenant).state == CarrierAccount.State.ACTIVE
    assert subaccounts(double, tenant)[0].status == "active"


def test_the_account_follows_the_life_of_a_business(double: DoubleThread, settings: Any) -> None:
    """Sign-up by approval buys nothing; approval opens the account; suspension and resumption reach the carrier."""
    settings.SIGN_UP = "approval"
    user = make_member(make_tenant(), "nora@example.com")
    tenant = onboarding.sign_up(user, business_name="Nora's", timezone="UTC")
    with tenant_scope(tenant):
        assert not CarrierAccount.objects.exists()
    tenant = onboarding.approve(tenant)
    assert align(tenant).state == CarrierAccount.State.ACTIVE
    tenant = onboarding.suspend(tenant)
    assert align(tenant).state == CarrierAccount.State.SUSPENDED
    tenant = onboarding.resume(tenant)
    assert align(tenant).state == CarrierAccount.State.ACTIVE
    assert len(subaccounts(double, tenant)) == 1


def test_a_trial_has_a_cap_and_countries_at_the_carrier_until_it_is_over(double: DoubleThread, settings: Any) -> None:
    settings.TRIAL_SPEND_CAP, settings.TRIAL_COUNTRIES = Decimal("5"), ["US"]
    tenant = make_tenant(trial_ends_at=timezone.now() + timedelta(days=14))
    carrier.ensure_account(tenant)
    account = align(tenant)
    (made,) = subaccounts(double, tenant)
    exchange = double.double.exchange
    (trigger,) = [one for one in exchange.triggers.values() if one.account_sid == made.sid]
    assert (trigger.value, trigger.callback_url) == (Decimal("5"), carrier_work.spend_url(account))
    assert made.countries == frozenset({"US"})

    # The trigger fires: signed with this account's token, it holds the account until the trial is over.
    answer = TestCarrier(made.sid, made.auth_token).post(
        trigger.callback_url, {"AccountSid": made.sid, "UsageTriggerSid": trigger.sid, "CurrentValue": "5.01"}
    )
    assert answer.status_code == 204
    assert align(tenant).state == CarrierAccount.State.SUSPENDED
    assert made.status == "suspended"
    carrier.ensure_account(tenant)
    assert align(tenant).hold == CarrierAccount.Hold.SPEND_CAP

    Tenant.objects.filter(pk=tenant.pk).update(trial_ends_at=None)
    tenant.refresh_from_db()
    carrier.ensure_account(tenant)
    account = align(tenant)
    assert (account.state, account.hold, account.limits) == ("active", "", "open")
    assert made.countries is None
    assert [one for one in exchange.triggers.values() if one.account_sid == made.sid] == []


def test_a_forged_or_foreign_trigger_holds_nobody(double: DoubleThread) -> None:
    tenant, stranger = make_tenant(), make_tenant()
    for one in (tenant, stranger):
        carrier.ensure_account(one)
    account, other = align(tenant), align(stranger)
    form = {"AccountSid": account.account_sid, "CurrentValue": "99"}
    forged = TestCarrier(account.account_sid, "wrong-token").post(carrier_work.spend_url(account), form)
    foreign = TestCarrier(other.account_sid, other.auth_token).post(
        carrier_work.spend_url(account), {**form, "AccountSid": other.account_sid}
    )
    assert (forged.status_code, foreign.status_code) == (403, 403)
    assert align(tenant).hold == CarrierAccount.Hold.NONE


def test_an_own_account_is_connected_only_when_the_carrier_accepts_it(double: DoubleThread) -> None:
    tenant = make_tenant()
    sid = "AC" + "7" * 32
    double.double.add_account(sid=sid, auth_token="own-token")
    with tenant_scope(tenant):
        with pytest.raises(ValidationError) as refused:
            carrier.connect_own_account(account_sid=sid, auth_token="guessed")
        assert "auth_token" in refused.value.message_dict
        assert not CarrierAccount.objects.exists()
        account = carrier.connect_own_account(account_sid=sid, auth_token="own-token")
        assert carrier.test_account(account).is_ok
        entry = AuditEntry.objects.get()
    assert entry.action == "carrier_account.connected"
    assert "own-token" not in f"{entry.before}{entry.after}"
    with tenant_scope(make_tenant()), pytest.raises(ValidationError) as taken:
        carrier.connect_own_account(account_sid=sid, auth_token="own-token")
    assert "another business" in str(taken.value)


def test_an_account_with_numbers_is_not_exchanged_but_takes_a_new_token(double: DoubleThread) -> None:
    tenant = make_tenant()
    number = make_number(tenant)
    old, new = number.account.account_sid, "AC" + "8" * 32
    double.double.add_account(sid=old, auth_token="rotated")
    double.double.add_account(sid=new, auth_token="new-token")
    with tenant_scope(tenant):
        with pytest.raises(carrier.AccountInUse):
            carrier.connect_own_account(account_sid=new, auth_token="new-token")
        assert carrier.connect_own_account(account_sid=old, auth_token="rotated").auth_token == "rotated"
    with pytest.raises(carrier.AccountInUse):
        carrier.use_managed_account(tenant)


def test_a_managed_account_takes_the_place_of_an_own_one(double: DoubleThread) -> None:
    tenant = make_tenant()
    sid = "AC" + "9" * 32
    double.double.add_account(sid=sid, auth_token="own-token")
    with tenant_scope(tenant):
        carrier.connect_own_account(account_sid=sid, auth_token="own-token")
    carrier.use_managed_account(tenant)
    account = align(tenant)
    assert (account.kind, account.account_sid) == ("managed", subaccounts(double, tenant)[0].sid)

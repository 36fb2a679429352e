"""Daily sums: equal to the ledger to the last digit, the same however often they are made, and each tenant's own."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Count, Sum
from django.utils import timezone

from calls.aftermath import rollups
from calls.aftermath.steps import run_step
from calls.ledger.days import SETTLE_S, day_bounds, local_day
from calls.ledger.entries import post_entries
from calls.models import AfterStep, Call, CallRollup, CostlyCall, CostRollup, LedgerEntry, RollupDay
from calls.readouts.spending import Days, split_by_agent, split_by_outcome, sum_by_layer, sum_totals
from calls.services.after_steps import TOTALS
from calls.tasks import follow_time_zones, roll_up_costs
from calls.vocabulary import Direction, Layer, Outcome
from tenants.ids import new_id
from tenants.models import Tenant
from tenants.scope import every_tenant, tenant_scope
from tests.dashboard.scenes import make_ended_call
from tests.factories import make_route, make_tenant
from tests.racing import race

pytestmark = pytest.mark.django_db

NOON = dt.datetime(2026, 11, 10, 12, tzinfo=dt.UTC)
DAY = NOON.date()
WEEK = Days(DAY - dt.timedelta(days=3), DAY + dt.timedelta(days=3))


@pytest.fixture
def tenant() -> Tenant:
    return make_tenant(timezone="Europe/Amsterdam")


def post(tenant: Tenant, call: Call | None, amount: str, *, at: dt.datetime = NOON, **fields: Any) -> None:
    entry = LedgerEntry(
        call=call,
        tenant=tenant,
        source_key=f"test:{new_id()}",
        occurred_at=at,
        **{
            "state": "estimate",
            "layer": Layer.MODEL,
            "item": "x",
            "quantity": 1,
            "unit": "call",
            "unit_price": Decimal(amount),
            "currency": "USD",
            **fields,
        },
    )
    with tenant_scope(tenant):
        post_entries([entry])


def make(tenant: Tenant, **fields: Any) -> Call:
    return make_ended_call(tenant, **{"created_at": NOON, **fields})


def end(call: Call) -> None:
    """As after a call: its totals are made, then what is marked is added up."""
    with tenant_scope(call.tenant):
        step = AfterStep.objects.create(call=call, step=TOTALS, due_at=timezone.now())
        run_step(str(step.pk))
    sweep()


def sweep() -> int:
    """The sweeper, some seconds later."""
    with every_tenant(reason="a test lets the settling time pass"):
        RollupDay.objects.filter(due_at__isnull=False).update(due_at=timezone.now() - dt.timedelta(seconds=1))
    return rollups.roll_up_due()


def sums() -> dict[tuple[dt.date, str, str], Decimal]:
    rows = CostRollup.objects.values_list("day", "layer", "currency").annotate(total=Sum("amount")).order_by()
    return {(day, layer, currency): total for day, layer, currency, total in rows}


def test_a_call_that_ends_is_in_the_sums_of_its_local_day(tenant: Tenant) -> None:
    late = dt.datetime(2026, 11, 10, 23, 30, tzinfo=dt.UTC)  # half past midnight of the 11th in Amsterdam
    call = make(tenant, created_at=late)
    post(tenant, call, "0.000000000001", at=late)
    post(tenant, call, "0.25", at=late, layer=Layer.CARRIER)
    end(call)

    with tenant_scope(tenant):
        assert sums() == {
            (dt.date(2026, 11, 11), "model", "USD"): Decimal("0.000000000001"),
            (dt.date(2026, 11, 11), "carrier", "USD"): Decimal("0.25"),
        }
        row = CallRollup.objects.get()
        assert (row.day, row.number_id, row.agent_id, row.outcome, row.calls) == (
            dt.date(2026, 11, 11), call.number_id, call.agent_id, "resolved", 1,
        )  # fmt: skip
        assert CostlyCall.objects.get().call_id == call.pk


def test_adding_up_again_changes_nothing_and_late_lines_come_in(tenant: Tenant) -> None:
    call = make(tenant)
    post(tenant, call, "1.50")
    end(call)
    with tenant_scope(tenant):
        before = sums()
        rollups.mark_days(tenant, [DAY])
    assert sweep() == 1
    with tenant_scope(tenant):
        assert sums() == before
    post(tenant, call, "-0.50", state="adjustment", cause="late price")
    with tenant_scope(tenant):
        rollups.mark_call(call)
    sweep()
    with tenant_scope(tenant):
        assert sums() == {(DAY, "model", "USD"): Decimal("1.00")}


def test_every_day_and_currency_equals_the_ledger(tenant: Tenant) -> None:
    for hour in range(0, 72, 5):
        at = NOON + dt.timedelta(hours=hour)
        call = make(tenant, created_at=at, outcome=Outcome.FAILED if hour % 2 else Outcome.RESOLVED)
        post(tenant, call, f"0.{hour + 1:012d}", at=at, currency="EUR" if hour % 3 else "USD", layer=Layer.STREAM)
        post(tenant, call, "0.1", at=at + dt.timedelta(hours=3))  # some of them after midnight
        with tenant_scope(tenant):
            rollups.mark_call(call)
    sweep()
    with tenant_scope(tenant):
        for currency in ("USD", "EUR"):
            ledger = LedgerEntry.objects.filter(currency=currency).aggregate(total=Sum("amount"), lines=Count("id"))
            rolled = CostRollup.objects.filter(currency=currency).aggregate(total=Sum("amount"), lines=Sum("entries"))
            assert rolled == ledger
            per_layer = sum_by_layer(Days(DAY, DAY + dt.timedelta(days=5)), currency)
            assert sum(sum(days.values()) for days in per_layer.values()) == ledger["total"]


def test_what_belongs_to_no_call_is_marked_by_its_own_posting(tenant: Tenant) -> None:
    post(tenant, None, "1.15", layer=Layer.NUMBER)
    assert sweep() == 1
    with tenant_scope(tenant):
        assert sums() == {(DAY, "number", "USD"): Decimal("1.15")}
        totals = sum_totals(WEEK, "USD")
        assert (totals.amount, totals.of_calls, totals.per_success) == (Decimal("1.15"), 0, None)


def test_success_costs_what_all_callers_cost_and_tests_cost_without_counting(tenant: Tenant) -> None:
    route = make_route(tenant)
    for outcome, direction in (
        (Outcome.RESOLVED, Direction.INBOUND),
        (Outcome.MESSAGE_TAKEN, Direction.INBOUND),
        (Outcome.CALLER_LEFT, Direction.INBOUND),
        (Outcome.RESOLVED, Direction.TEST),
    ):
        call = make(tenant, route=route, outcome=outcome, direction=direction)
        post(tenant, call, "0.30")
        end(call)
    with tenant_scope(tenant):
        totals = sum_totals(WEEK, "USD")
        assert (totals.amount, totals.of_calls, totals.tests) == (Decimal("1.2"), Decimal("0.9"), Decimal("0.3"))
        assert (totals.calls, totals.successes, totals.per_success) == (3, 2, Decimal("0.45"))
        (agent,) = split_by_agent(WEEK, "USD").shares
        assert (agent.label, agent.amount, agent.calls, agent.successes) == ("Reception", Decimal("1.2"), 3, 2)
        outcomes = {share.key: (share.amount, share.calls) for share in split_by_outcome(WEEK, "USD").shares}
        assert outcomes["resolved"] == (Decimal("0.6"), 1)


def test_only_the_dearest_calls_of_a_day_are_kept(tenant: Tenant) -> None:
    route = make_route(tenant)
    for cents in range(1, rollups.TOP_CALLS + 4):
        make(tenant, route=route, cost=Decimal(cents) / 100, currency="USD")
    with tenant_scope(tenant):
        rollups.mark_days(tenant, [DAY])
    sweep()
    with tenant_scope(tenant):
        assert CostlyCall.objects.count() == rollups.TOP_CALLS
        assert min(CostlyCall.objects.values_list("cost", flat=True)) == Decimal("0.04")


def test_a_new_time_zone_moves_the_days(tenant: Tenant) -> None:
    late = dt.datetime(2026, 11, 10, 23, 30, tzinfo=dt.UTC)
    call = make(tenant, created_at=late)
    post(tenant, call, "1", at=late)
    end(call)
    Tenant.objects.filter(pk=tenant.pk).update(timezone="America/New_York")
    follow_time_zones()
    sweep()
    with tenant_scope(tenant):
        assert sums() == {(DAY, "model", "USD"): Decimal(1)}
        assert CallRollup.objects.get().day == DAY
    assert rollups.follow_time_zones() == 0


def test_a_day_waits_until_calls_that_end_together_have_settled(tenant: Tenant) -> None:
    call = make(tenant)
    with tenant_scope(tenant):
        rollups.mark_call(call)
        (row,) = RollupDay.objects.all()
        assert row.due_at is not None
        assert row.due_at > timezone.now() + dt.timedelta(seconds=SETTLE_S - 2)
    roll_up_costs()
    with tenant_scope(tenant):
        assert not CallRollup.objects.exists()


def test_a_day_that_fails_is_put_off_and_the_others_are_added_up(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_tenant()
    for each in (tenant, other):
        post(each, None, "1", layer=Layer.NUMBER)
    add_up = rollups._add_up

    def fail_for_one(who: Tenant, day: dt.date) -> None:
        if who.pk == tenant.pk:
            raise RuntimeError("boom")
        add_up(who, day)

    monkeypatch.setattr(rollups, "_add_up", fail_for_one)
    assert sweep() == 1
    with tenant_scope(tenant):
        (row,) = RollupDay.objects.all()
        assert (row.attempt, row.error, row.done_at) == (1, "boom", None)
    monkeypatch.undo()
    assert sweep() == 1
    with tenant_scope(tenant):
        assert RollupDay.objects.get().error == ""
        assert sums() == {(DAY, "number", "USD"): Decimal(1)}


@pytest.mark.django_db(transaction=True)
def test_two_sweepers_at_once_add_a_day_up_once(tenant: Tenant) -> None:
    call = make(tenant)
    post(tenant, call, "2")
    with tenant_scope(tenant):
        rollups.mark_days(tenant, [DAY])

    def add_up() -> bool:
        with tenant_scope(tenant):
            return rollups.roll_up_day(tenant, DAY)

    assert sorted(race(add_up, add_up)) == [False, True]
    with tenant_scope(tenant):
        assert sums() == {(DAY, "model", "USD"): Decimal(2)}


def test_days_are_the_tenants_also_when_the_clocks_change(tenant: Tenant) -> None:
    zone = zoneinfo.ZoneInfo("Europe/Amsterdam")
    for day, hours in ((dt.date(2026, 3, 29), 23), (dt.date(2026, 10, 25), 25), (dt.date(2026, 11, 10), 24)):
        since, until = day_bounds(day, day, tenant)
        assert (until.astimezone(dt.UTC) - since.astimezone(dt.UTC)) == dt.timedelta(hours=hours)
        assert local_day(since, tenant) == day
        assert local_day(until - dt.timedelta(microseconds=1), tenant) == day
        assert since.tzinfo == zone

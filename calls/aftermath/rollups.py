"""Adds up a tenant's local days from ledger and calls: whole days, again and again, so that running twice changes nothing (decision 11).

A day is marked when a call's totals are made or an entry without a call is posted; the sweeper adds up what is marked.
"""

from __future__ import annotations

import datetime as dt

import structlog
from django.db import connection, transaction
from django.db.models import Count, F, Max, Min, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from calls.ledger.days import day_bounds, local_day, mark_days
from calls.models import Call, CallRollup, CostlyCall, CostRollup, LedgerEntry, RollupDay
from calls.vocabulary import Direction
from tenants.models import Tenant
from tenants.scope import every_tenant, tenant_scope

log = structlog.get_logger(__name__)

AT_MOST = 200  # days a run; the next run takes the rest
TOP_CALLS = 10  # kept per day and currency
MAX_WAIT_S = 600  # between attempts at a day that fails


def mark_call(call: Call) -> None:
    """The call or its entries changed: its days are to be added up again. In the transaction that changed them."""
    seen = LedgerEntry.objects.filter(call=call).aggregate(first=Min("occurred_at"), last=Max("occurred_at"))
    moments = [call.created_at, *(moment for moment in seen.values() if moment is not None)]
    mark_days(call.tenant, {local_day(moment, call.tenant) for moment in moments})


def mark_all_days(tenant: Tenant) -> int:
    """Every day that the ledger or the calls know, for a tenant whose midnight moved. Returns how many."""
    days = "SELECT DISTINCT ({column} AT TIME ZONE %(zone)s)::date FROM {table} WHERE tenant_id = %(tenant)s"
    with connection.cursor() as cursor:
        cursor.execute(
            days.format(column="occurred_at", table="calls_ledgerentry")
            + " UNION "
            + days.format(column="created_at", table="calls_call"),
            {"zone": tenant.timezone, "tenant": tenant.pk},
        )
        found = {day for (day,) in cursor.fetchall()}
    found |= set(RollupDay.objects.values_list("day", flat=True))
    mark_days(tenant, found)
    RollupDay.objects.update(timezone=tenant.timezone)
    return len(found)


def roll_up_due() -> int:
    """Add up what is marked, of every tenant. Returns how many days that were."""
    with every_tenant(reason="the sweeper adds up marked days of all tenants"):
        due = list(
            RollupDay.objects.filter(due_at__lte=timezone.now())
            .order_by("due_at")
            .values_list("tenant_id", "day")[:AT_MOST]
        )
    tenants = Tenant.objects.in_bulk({tenant_id for tenant_id, _ in due})
    done = 0
    for tenant_id, day in due:
        with tenant_scope(tenants[tenant_id]):
            done += roll_up_day(tenants[tenant_id], day)
    return done


def follow_time_zones() -> int:
    """Tenants whose time zone changed since their days were added up: all their days are due. Returns how many tenants."""
    with every_tenant(reason="a time zone that changed moves a tenant's midnights"):
        moved = set(RollupDay.objects.exclude(timezone=F("tenant__timezone")).values_list("tenant_id", flat=True))
    for tenant in Tenant.objects.filter(pk__in=moved):
        with tenant_scope(tenant), transaction.atomic():
            mark_all_days(tenant)
    return len(moved)


def roll_up_day(tenant: Tenant, day: dt.date) -> bool:
    """False when somebody else is at it, or it is no longer due. A failure is put off and logged: other days go on."""
    try:
        with transaction.atomic():
            row = RollupDay.objects.select_for_update(skip_locked=True, of=("self",)).filter(day=day).first()
            if row is None or row.due_at is None:
                return False
            _add_up(tenant, day)
            # Whoever marks the day meanwhile waits for this row and marks it after: nothing is lost.
            RollupDay.objects.filter(pk=row.pk).update(due_at=None, done_at=timezone.now(), attempt=0, error="")
    except Exception as error:
        log.exception("roll_up_failed", day=str(day))
        attempt = RollupDay.objects.filter(day=day).values_list("attempt", flat=True).first() or 0
        wait = min(MAX_WAIT_S, 5 * 2 ** min(attempt, 10))
        RollupDay.objects.filter(day=day).update(
            due_at=timezone.now() + dt.timedelta(seconds=wait), attempt=attempt + 1, error=str(error)[:500]
        )
        return False
    return True


def _add_up(tenant: Tenant, day: dt.date) -> None:
    since, until = day_bounds(day, day, tenant)
    costs = (
        LedgerEntry.objects.filter(occurred_at__gte=since, occurred_at__lt=until)
        .order_by()
        .values("layer", "currency", "call__number_id", "call__agent_id", "call__direction", "call__outcome")
        .annotate(total=Sum("amount"), entries=Count("id"))
    )
    calls = Call.objects.filter(created_at__gte=since, created_at__lt=until)
    counts = (
        calls.exclude(direction=Direction.TEST)
        .order_by()
        .values("number_id", "agent_id", "outcome")
        .annotate(calls=Count("id"), seconds=Coalesce(Sum("duration_s"), 0))
    )
    CostRollup.objects.filter(day=day).delete()
    CostRollup.objects.bulk_create(
        CostRollup(
            day=day,
            number_id=row["call__number_id"],
            agent_id=row["call__agent_id"],
            direction=row["call__direction"] or "",
            layer=row["layer"],
            outcome=row["call__outcome"] or "",
            currency=row["currency"],
            amount=row["total"],
            entries=row["entries"],
        )
        for row in costs
    )
    CallRollup.objects.filter(day=day).delete()
    CallRollup.objects.bulk_create(
        CallRollup(
            day=day,
            number_id=row["number_id"],
            agent_id=row["agent_id"],
            outcome=row["outcome"],
            calls=row["calls"],
            duration_s=row["seconds"],
        )
        for row in counts
    )
    _keep_dearest(calls.filter(cost__gt=0), day)


def _keep_dearest(calls: QuerySet[Call], day: dt.date) -> None:
    CostlyCall.objects.filter(day=day).delete()
    for currency in set(calls.order_by().values_list("currency", flat=True).distinct()):
        dearest = calls.filter(currency=currency).order_by("-cost", "-id").values_list("pk", "cost")[:TOP_CALLS]
        CostlyCall.objects.bulk_create(
            CostlyCall(day=day, call_id=pk, cost=cost or 0, currency=currency) for pk, cost in dearest
        )

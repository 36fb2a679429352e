"""A tenant's days: where its midnights lie, and the mark that has a day added up again. Adds nothing up itself."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Iterable

from django.utils import timezone

from calls.models import RollupDay
from tenants.models import Tenant

SETTLE_S = 2  # calls end in bunches: one sum for all of them


def local_day(moment: dt.datetime, tenant: Tenant) -> dt.date:
    return moment.astimezone(zoneinfo.ZoneInfo(tenant.timezone)).date()


def day_bounds(first: dt.date, last: dt.date, tenant: Tenant) -> tuple[dt.datetime, dt.datetime]:
    """From the first midnight to the one after the last day; days may have 23 or 25 hours."""
    zone = zoneinfo.ZoneInfo(tenant.timezone)
    end = last + dt.timedelta(days=1)
    return dt.datetime.combine(first, dt.time(), zone), dt.datetime.combine(end, dt.time(), zone)


def mark_days(tenant: Tenant, days: Iterable[dt.date]) -> None:
    """Have these days added up soon; in order, so that two markers never wait for each other in a circle."""
    RollupDay.objects.bulk_create(
        [
            RollupDay(day=day, timezone=tenant.timezone, due_at=timezone.now() + dt.timedelta(seconds=SETTLE_S))
            for day in sorted(set(days))
        ],
        update_conflicts=True,
        unique_fields=["tenant", "day"],
        update_fields=["due_at"],
    )

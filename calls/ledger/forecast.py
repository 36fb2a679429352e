"""What a month will have cost: exact decimals from daily sums; knows no rows and no clock."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

WINDOW_DAYS = 28  # four of each weekday
FEWEST_DAYS = 3  # of history, today not counted; below that a forecast is a guess


@dataclass(frozen=True, slots=True)
class Forecast:
    """`spent` so far this month; `expected` by its end, None while there is too little to go by."""

    spent: Decimal
    expected: Decimal | None
    daily: Decimal | None
    days_seen: int


def forecast_month(daily: Mapping[dt.date, Decimal], *, today: dt.date) -> Forecast:
    """Spent this month, plus the rest of today and each day to come at the daily mean of the last 28 whole days (fewer when
    the first spend is younger). Today counts as at least what it has cost already."""
    spent = sum((amount for day, amount in daily.items() if _same_month(day, today) and day <= today), Decimal())
    first = min((day for day, amount in daily.items() if amount and day < today), default=None)
    if first is None:
        return Forecast(spent, None, None, 0)
    start = max(first, today - dt.timedelta(days=WINDOW_DAYS))
    days_seen = (today - start).days
    if days_seen < FEWEST_DAYS:
        return Forecast(spent, None, None, days_seen)
    mean = sum((amount for day, amount in daily.items() if start <= day < today), Decimal()) / days_seen
    today_spent = daily.get(today, Decimal())
    days_left = calendar.monthrange(today.year, today.month)[1] - today.day
    expected = spent + max(Decimal(), mean - today_spent) + mean * days_left
    return Forecast(spent, expected, mean, days_seen)


def _same_month(day: dt.date, other: dt.date) -> bool:
    return (day.year, day.month) == (other.year, other.month)

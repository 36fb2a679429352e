"""The month's forecast is exact, never below what was spent, and silent when it would guess."""

import datetime as dt
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from calls.ledger.forecast import FEWEST_DAYS, forecast_month

TODAY = dt.date(2026, 11, 10)


def days_before(count: int, amount: str) -> dict[dt.date, Decimal]:
    return {TODAY - dt.timedelta(days=place): Decimal(amount) for place in range(1, count + 1)}


def test_an_even_month_ends_at_its_daily_mean_times_its_days() -> None:
    forecast = forecast_month(days_before(28, "2.50"), today=TODAY)
    assert forecast.spent == Decimal("22.50")  # 1 to 9 November
    assert forecast.daily == Decimal("2.50")
    assert forecast.expected == Decimal("75.00")  # 30 days, today among them


def test_today_counts_as_what_it_cost_when_that_is_more_than_the_mean() -> None:
    forecast = forecast_month({**days_before(28, "1"), TODAY: Decimal(7)}, today=TODAY)
    assert forecast.spent == Decimal(16)
    assert forecast.expected == Decimal(16 + 20)


def test_a_young_business_is_measured_from_its_first_spend() -> None:
    assert forecast_month(days_before(4, "3"), today=TODAY).daily == Decimal(3)


def test_too_little_history_is_no_forecast() -> None:
    for count in range(FEWEST_DAYS):
        assert forecast_month(days_before(count, "3"), today=TODAY).expected is None


def test_the_last_day_of_a_month_expects_today_alone() -> None:
    today = dt.date(2026, 11, 30)
    daily = {today - dt.timedelta(days=place): Decimal(2) for place in range(1, 29)}
    assert forecast_month(daily, today=today).expected == Decimal(56 + 2)


@given(
    amounts=st.dictionaries(
        st.dates(dt.date(2026, 9, 1), dt.date(2026, 12, 31)), st.decimals(0, 10_000, places=12), max_size=60
    ),
    today=st.dates(dt.date(2026, 10, 1), dt.date(2026, 11, 30)),
)
def test_nothing_after_today_counts_and_nothing_spent_is_lost(amounts: dict[dt.date, Decimal], today: dt.date) -> None:
    forecast = forecast_month(amounts, today=today)
    past = {day: amount for day, amount in amounts.items() if day <= today}
    assert forecast == forecast_month(past, today=today)
    assert forecast.spent == sum(
        (amount for day, amount in past.items() if (day.year, day.month) == (today.year, today.month)), Decimal()
    )
    assert forecast.expected is None or forecast.expected >= forecast.spent

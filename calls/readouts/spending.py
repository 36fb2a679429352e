"""What the tenant in scope spent: read from the daily sums, never from the ledger's lines; a query's cost grows with days, not calls.

Amounts of different currencies are never added up: everything here is asked for in one currency (decision 7).
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import QuerySet, Sum

from agents.models import Agent
from calls.ledger.forecast import WINDOW_DAYS, Forecast, forecast_month
from calls.models import Budget, CallRollup, CostlyCall, CostRollup
from calls.vocabulary import Direction, Layer, Outcome
from tenants.models import Number

SUCCESSES = frozenset({Outcome.RESOLVED, Outcome.TRANSFERRED, Outcome.MESSAGE_TAKEN})  # METRICS, success_rate
TOP = 10


@dataclass(frozen=True, slots=True)
class Days:
    """A range of local days, both inclusive."""

    first: dt.date
    last: dt.date

    @property
    def count(self) -> int:
        return (self.last - self.first).days + 1

    def each(self) -> Iterator[dt.date]:
        return (self.first + dt.timedelta(days=place) for place in range(self.count))


@dataclass(frozen=True, slots=True)
class Share:
    """One number's, agent's or outcome's part: `key` filters the calls list, None stands for "no number" or "no agent"."""

    key: str | None
    label: str
    amount: Decimal
    calls: int
    successes: int

    @property
    def per_call(self) -> Decimal | None:
        return self.amount / self.calls if self.calls else None

    @property
    def per_success(self) -> Decimal | None:
        return self.amount / self.successes if self.successes else None


@dataclass(frozen=True, slots=True)
class Breakdown:
    """One table of shares, dearest first."""

    shares: tuple[Share, ...]

    @property
    def largest(self) -> Decimal:
        return max((share.amount for share in self.shares), default=Decimal())


@dataclass(frozen=True, slots=True)
class Totals:
    """`of_calls` leaves out test calls and what belongs to no call: the part that successes are measured against."""

    amount: Decimal
    of_calls: Decimal
    tests: Decimal
    calls: int
    successes: int

    @property
    def per_success(self) -> Decimal | None:
        return self.of_calls / self.successes if self.successes else None


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget beside what was spent of it. `expected` is the forecast of a month, None for a day."""

    budget: Budget
    spent: Decimal
    expected: Decimal | None

    @property
    def percent(self) -> int:
        return int(self.spent * 100 / self.budget.amount)

    @property
    def level(self) -> str:
        """ok, near (the warning mark is passed, or the forecast ends above) or over."""
        if self.spent >= self.budget.amount:
            return "over"
        if self.percent >= self.budget.warn_percent or (self.expected or 0) > self.budget.amount:
            return "near"
        return "ok"


def list_currencies(days: Days) -> list[str]:
    """Currencies with lines in the range."""
    return list(_costs(days).values_list("currency", flat=True).distinct().order_by("currency"))


def sum_by_layer(days: Days, currency: str) -> Mapping[Layer, Mapping[dt.date, Decimal]]:
    """For the chart: each layer that cost something, in the vocabulary's order."""
    sums: dict[Layer, dict[dt.date, Decimal]] = {}
    rows = _costs(days).filter(currency=currency).values_list("layer", "day").annotate(total=Sum("amount"))
    for layer, day, total in rows.order_by():
        sums.setdefault(Layer.of(layer), {})[day] = total
    return {layer: sums[layer] for layer in Layer if layer in sums}


def sum_totals(days: Days, currency: str) -> Totals:
    rows = _costs(days).filter(currency=currency).order_by().values_list("direction").annotate(total=Sum("amount"))
    by_direction = dict(rows)
    counts = _count(days, "outcome")
    amount = sum(by_direction.values(), Decimal())
    tests = by_direction.get(Direction.TEST.value, Decimal())
    return Totals(
        amount=amount,
        of_calls=amount - tests - by_direction.get("", Decimal()),
        tests=tests,
        calls=sum(calls for calls, _ in counts.values()),
        successes=sum(successes for _, successes in counts.values()),
    )


def split_by_number(days: Days, currency: str) -> Breakdown:
    names = {number.pk: number for number in Number.objects.only("id", "e164", "name", "tenant_id")}
    return _split(days, currency, "number_id", {key: number.name or number.e164 for key, number in names.items()})


def split_by_agent(days: Days, currency: str) -> Breakdown:
    return _split(days, currency, "agent_id", dict(Agent.objects.values_list("id", "name")))


def split_by_outcome(days: Days, currency: str) -> Breakdown:
    return _split(days, currency, "outcome", {outcome.value: str(outcome.label) for outcome in Outcome})


def list_dearest(days: Days, currency: str) -> list[CostlyCall]:
    """The dearest calls of the range, from each day's own dearest."""
    found = CostlyCall.objects.filter(day__gte=days.first, day__lte=days.last, currency=currency)
    return list(found.select_related("call__agent", "call__number").order_by("-cost", "-call_id")[:TOP])


def read_forecast(currency: str, *, today: dt.date) -> Forecast:
    """The running month in one currency."""
    return forecast_month(_daily(currency, today=today), today=today)


def read_budgets(*, today: dt.date) -> list[BudgetState]:
    """Each budget with what its period has cost so far, month first; two queries a currency."""
    states = []
    for budget in Budget.objects.order_by("-period"):
        daily = _daily(budget.currency, today=today)
        if budget.period == Budget.Period.DAY:
            states.append(BudgetState(budget, daily.get(today, Decimal()), None))
        else:
            forecast = forecast_month(daily, today=today)
            states.append(BudgetState(budget, forecast.spent, forecast.expected))
    return states


def spent_on(day: dt.date) -> dict[str, Decimal]:
    """One day's spend by currency."""
    rows = CostRollup.objects.filter(day=day).order_by().values_list("currency").annotate(total=Sum("amount"))
    return dict(rows)


def _costs(days: Days) -> QuerySet[CostRollup]:
    found: QuerySet[CostRollup] = CostRollup.objects.filter(day__gte=days.first, day__lte=days.last)
    return found


def _daily(currency: str, *, today: dt.date) -> dict[dt.date, Decimal]:
    """As far back as a forecast looks."""
    first = min(today.replace(day=1), today - dt.timedelta(days=WINDOW_DAYS))
    rows = (
        _costs(Days(first, today)).filter(currency=currency).order_by().values_list("day").annotate(total=Sum("amount"))
    )
    return dict(rows)


def _count(days: Days, key: str) -> dict[object, tuple[int, int]]:
    """(calls, successful calls) by `key`."""
    rows = CallRollup.objects.filter(day__gte=days.first, day__lte=days.last).order_by()
    counts: dict[object, tuple[int, int]] = {}
    for value, outcome, calls in rows.values_list(key, "outcome").annotate(total=Sum("calls")):
        before = counts.get(value, (0, 0))
        counts[value] = (before[0] + calls, before[1] + (calls if outcome in SUCCESSES else 0))
    return counts


def _split(days: Days, currency: str, key: str, labels: Mapping[object, str]) -> Breakdown:
    sums = dict(_costs(days).filter(currency=currency).order_by().values_list(key).annotate(total=Sum("amount")))
    counts = _count(days, key)
    shares = [
        Share(
            key=_text(value),
            label=labels.get(value, ""),
            amount=sums.get(value, Decimal()),
            calls=counts.get(value, (0, 0))[0],
            successes=counts.get(value, (0, 0))[1],
        )
        for value in sums.keys() | counts.keys()
    ]
    return Breakdown(tuple(sorted(shares, key=lambda share: (-share.amount, -share.calls, share.label))))


def _text(value: object) -> str | None:
    return value.hex if isinstance(value, uuid.UUID) else str(value or "") or None

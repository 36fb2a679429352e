"""What the cost pages read: sums per tenant-local day, made again whole from ledger and calls (decision 11), and budgets. Rows only."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from calls.models.call import Call
from calls.models.choices import known, term_field
from calls.vocabulary import Direction, Layer, Outcome
from tenants.base import TenantModel
from tenants.models import Number


class RollupDay(TenantModel):
    """One local day of a tenant; due while ledger or calls of that day have changed since it was added up."""

    day = models.DateField()
    timezone = models.CharField(max_length=64)  # whose midnight it was added up by
    due_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True, default="")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["tenant", "day"], name="rollup_day_once"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["due_at"], condition=models.Q(due_at__isnull=False), name="rollup_day_due"),
        ]

    def __str__(self) -> str:
        return f"{self.day}"


class CostRollup(TenantModel):
    """What one day cost per number, agent, layer and outcome, in one currency. Entries without a call have no number nor agent."""

    day = models.DateField()
    number = models.ForeignKey(Number, on_delete=models.PROTECT, null=True, related_name="+")
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, null=True, related_name="+")
    direction = term_field(Direction, blank=True, default="")  # empty: no call
    layer = term_field(Layer)
    outcome = term_field(Outcome, blank=True, default="")
    currency = models.CharField(max_length=3)
    amount = models.DecimalField(max_digits=44, decimal_places=18)  # as the ledger: never rounded
    entries = models.PositiveIntegerField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            known("layer", Layer, name="cost_rollup_layer_known"),
            models.UniqueConstraint(
                fields=["tenant", "day", "number", "agent", "direction", "layer", "outcome", "currency"],
                nulls_distinct=False,
                name="cost_rollup_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.layer} {self.amount} {self.currency}"


class CallRollup(TenantModel):
    """How many calls one day had per number, agent and outcome. Test calls are left out: they count in no statistics."""

    day = models.DateField()
    number = models.ForeignKey(Number, on_delete=models.PROTECT, null=True, related_name="+")
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, null=True, related_name="+")
    outcome = term_field(Outcome, blank=True, default="")
    calls = models.PositiveIntegerField()
    duration_s = models.PositiveBigIntegerField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["tenant", "day", "number", "agent", "outcome"], nulls_distinct=False, name="call_rollup_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.outcome} {self.calls}"


class CostlyCall(TenantModel):
    """The dearest calls of one day and currency, so that the dearest of a year are found among a few thousand rows."""

    day = models.DateField()
    call = models.ForeignKey(Call, on_delete=models.PROTECT, related_name="+")
    cost = models.DecimalField(max_digits=24, decimal_places=12)
    currency = models.CharField(max_length=3)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["tenant", "day", "call"], name="costly_call_once"),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.cost} {self.currency}"


class Budget(TenantModel):
    """What a day or a month may cost before the pages warn. It warns and stops nothing."""

    class Period(models.TextChoices):
        DAY = "day", _("a day")
        MONTH = "month", _("a month")

    period = models.CharField(max_length=8, choices=Period.choices)
    amount = models.DecimalField(max_digits=12, decimal_places=2, validators=[MinValueValidator(1)])
    currency = models.CharField(max_length=3)
    warn_percent = models.PositiveSmallIntegerField(
        default=80, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["tenant", "period"], name="budget_once"),
            models.CheckConstraint(condition=models.Q(period__in=["day", "month"]), name="budget_period_known"),
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="budget_positive"),
            models.CheckConstraint(condition=models.Q(currency__regex=r"^[A-Z]{3}$"), name="budget_currency_is_iso"),
            models.CheckConstraint(
                condition=models.Q(warn_percent__gte=1, warn_percent__lte=100), name="budget_warn_percent"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} {self.period}"

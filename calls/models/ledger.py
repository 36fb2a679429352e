"""Money: dated rate cards and the append-only ledger (decision 7). Exact decimals, currency beside every amount, no floats."""

from __future__ import annotations

import pgtrigger
from django.db import models

from calls.models.call import Call
from calls.models.choices import known, term_field
from calls.vocabulary import Layer, LedgerState
from tenants.base import TenantModel
from tenants.ids import new_id


class RateCard(models.Model):
    """Prices of one vendor from one day on. Shared by all tenants; past calls keep the card they were priced by."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    vendor = models.CharField(max_length=32)  # openai, twilio
    version = models.CharField(max_length=32)
    valid_from = models.DateField()
    currency = models.CharField(max_length=3)
    source = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["vendor", "version"], name="rate_card_version_once"),
            models.UniqueConstraint(fields=["vendor", "currency", "valid_from"], name="rate_card_day_once"),
            models.CheckConstraint(condition=models.Q(currency__regex=r"^[A-Z]{3}$"), name="rate_card_currency_is_iso"),
        ]

    def __str__(self) -> str:
        return f"{self.vendor} {self.version}"


class Rate(models.Model):
    """One price of a card, per single unit (a token, a minute, a call)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    card = models.ForeignKey(RateCard, on_delete=models.PROTECT, related_name="rates")
    item = models.CharField(max_length=96)  # e.g. gpt-realtime-2.1:audio_in, inbound_local
    unit = models.CharField(max_length=16)  # token, minute, call, segment, month
    price = models.DecimalField(max_digits=20, decimal_places=12)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["card", "item"], name="rate_once"),
            models.CheckConstraint(condition=models.Q(price__gte=0), name="rate_not_negative"),
        ]

    def __str__(self) -> str:
        return self.item


class LedgerEntry(TenantModel):
    """One line of cost. Written once under its `source_key`; UPDATE and DELETE are refused by the database."""

    call = models.ForeignKey(Call, on_delete=models.PROTECT, null=True, related_name="ledger")
    source_key = models.CharField(
        max_length=160
    )  # what it was made from: one line a source and item, however often written
    state = term_field(LedgerState)
    layer = term_field(Layer)
    item = models.CharField(max_length=96)
    quantity = models.DecimalField(max_digits=24, decimal_places=6)
    unit = models.CharField(max_length=16)
    unit_price = models.DecimalField(max_digits=20, decimal_places=12)
    amount = models.GeneratedField(  # unrounded: 6 + 12 decimals
        expression=models.F("quantity") * models.F("unit_price"),
        output_field=models.DecimalField(max_digits=44, decimal_places=18),
        db_persist=True,
    )
    currency = models.CharField(max_length=3)
    rate_card = models.ForeignKey(RateCard, on_delete=models.PROTECT, null=True, related_name="+")
    usage_lost = models.BooleanField(default=False)
    cause = models.CharField(max_length=32, blank=True, default="")
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            known("state", LedgerState, name="ledger_state_known"),
            known("layer", Layer, name="ledger_layer_known"),
            models.UniqueConstraint(fields=["tenant", "source_key"], name="ledger_source_once"),
            models.CheckConstraint(condition=models.Q(currency__regex=r"^[A-Z]{3}$"), name="ledger_currency_is_iso"),
            models.CheckConstraint(
                condition=models.Q(state="adjustment") | models.Q(quantity__gte=0), name="ledger_estimate_not_negative"
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "occurred_at"], name="ledger_by_time"),
            models.Index(fields=["tenant", "layer", "-occurred_at", "-id"], name="ledger_by_layer"),
            # The two kinds of lines that are rare and looked for.
            models.Index(
                fields=["tenant", "-occurred_at", "-id"],
                condition=models.Q(state="adjustment"),
                name="ledger_adjustments",
            ),
            models.Index(
                fields=["tenant", "-occurred_at", "-id"], condition=models.Q(usage_lost=True), name="ledger_lost"
            ),
        ]
        triggers = [pgtrigger.Protect(name="ledger_append_only", operation=pgtrigger.Update | pgtrigger.Delete)]

    def __str__(self) -> str:
        return f"{self.item} {self.quantity}"

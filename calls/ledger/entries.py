"""Turns priced lines into ledger rows, each under a key of its source, so that posting twice adds nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Sum

from calls.ledger.days import local_day, mark_days
from calls.ledger.pricing import Card, Line, find_card, price_lost_response, price_response, price_transcription
from calls.models import Call, LedgerEntry
from calls.vocabulary import Layer, LedgerState
from tenants.models import Tenant

VENDOR_MODEL = "openai"
VENDOR_CARRIER = "twilio"


class MixedCurrencies(ValueError):
    """Amounts of different currencies were to be summed: show them side by side instead."""


def price_usage(
    *,
    kind: str,
    model: str,
    usage: Mapping[str, Any] | None,
    estimated_audio_ms: int,
    at: datetime,
    cards: tuple[Card, ...],
    previous: Mapping[str, Any] | None = None,
) -> list[Line]:
    """Lines of one RecordUsage (calls.session.commands). `previous`: the call's last known response usage, for estimates."""
    card = find_card(cards, vendor=VENDOR_MODEL, on=at.date())
    if kind == "transcription":
        return price_transcription(model, usage or {}, card=card)
    if usage is None:
        return price_lost_response(model, audio_ms=estimated_audio_ms, card=card, previous=previous)
    return price_response(model, usage, card=card, layer=Layer.INSIGHT if kind == "judge" else Layer.MODEL)


def make_entries(
    lines: Iterable[Line], *, tenant_id: UUID, call_id: UUID | None, source: str, occurred_at: datetime
) -> list[LedgerEntry]:
    """Unsaved rows. `source` names what they were made from, e.g. `usage:<call>:<sequence>`; a line's item completes its key."""
    return [
        LedgerEntry(
            tenant_id=tenant_id,
            call_id=call_id,
            source_key=f"{source}:{line.item}",
            state=LedgerState.ESTIMATE,
            layer=line.layer,
            item=line.item,
            quantity=line.quantity,
            unit=line.unit,
            unit_price=line.unit_price,
            currency=line.currency,
            rate_card_id=line.card_id,
            usage_lost=line.usage_lost,
            cause=line.cause,
            occurred_at=occurred_at,
        )
        for line in lines
    ]


def post_entries(entries: Iterable[LedgerEntry]) -> None:
    """Write them; those whose source was posted before are left as they are. Those without a call are of one tenant."""
    entries = list(entries)
    LedgerEntry.objects.bulk_create(entries, ignore_conflicts=True)
    alone = [entry for entry in entries if entry.call_id is None]
    if alone:  # what belongs to a call is added up with it, when its totals are made
        tenant = Tenant.objects.get(pk=alone[0].tenant_id)
        mark_days(tenant, {local_day(entry.occurred_at, tenant) for entry in alone})


def sum_cost(call: Call) -> tuple[Decimal, str] | None:
    """The call's total and currency, None without entries. Raises MixedCurrencies."""
    sums = list(
        LedgerEntry.objects.filter(call=call).values("currency").annotate(total=Sum("amount")).order_by("currency")
    )
    if len(sums) > 1:
        raise MixedCurrencies(", ".join(row["currency"] for row in sums))
    return (sums[0]["total"], sums[0]["currency"]) if sums else None

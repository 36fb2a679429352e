"""Prices the usage of a batch in the batch's own transaction, so that no usage is on record without its cost, nor twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from calls.ledger.cards import load_cards
from calls.ledger.entries import make_entries, post_entries, price_usage
from calls.models import UsageRecord
from calls.transports.records import Fact
from tenants.models import Tenant
from tenants.scope import tenant_scope


def price_batch(facts: Sequence[Fact]) -> None:
    """A writer's `on_batch`. Runs after the batch's rows were written, on the same connection."""
    for fact in facts:
        if fact.table == "usage":
            with tenant_scope(Tenant(id=fact.tenant)):
                _price(fact)


def _price(fact: Fact) -> None:
    body = fact.body
    previous: dict[str, Any] | None = None
    if body["usage"] is None:  # an estimate rests on what the call's last response read
        previous = (
            UsageRecord.objects.filter(call_id=fact.call, kind="response", usage__isnull=False)
            .order_by("-sequence")
            .values_list("usage", flat=True)
            .first()
        )
    lines = price_usage(
        kind=body["kind"],
        model=body["model"],
        usage=body["usage"],
        estimated_audio_ms=body["estimated_audio_ms"],
        at=fact.at,
        cards=load_cards(),
        previous=previous,
    )
    source = f"usage:{fact.call}:{body['sequence']}"
    post_entries(make_entries(lines, tenant_id=fact.tenant, call_id=fact.call, source=source, occurred_at=fact.at))

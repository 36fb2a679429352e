"""Prices the usage of a batch in the batch's own transaction, so that no usage is on record without its cost, nor twice."""

from __future__ import annotations

from collections.abc import Sequence

from calls.ledger.usage import post_usage
from calls.transports.records import Fact
from tenants.models import Tenant
from tenants.scope import tenant_scope


def price_batch(facts: Sequence[Fact]) -> None:
    """A writer's `on_batch`. Runs after the batch's rows were written, on the same connection."""
    for fact in facts:
        if fact.table == "usage":
            with tenant_scope(Tenant(id=fact.tenant)):
                post_usage(
                    tenant_id=fact.tenant,
                    call_id=fact.call,
                    sequence=fact.body["sequence"],
                    kind=fact.body["kind"],
                    model=fact.body["model"],
                    usage=fact.body["usage"],
                    estimated_audio_ms=fact.body["estimated_audio_ms"],
                    at=fact.at,
                )

"""Prices the usage of a batch in the batch's own transaction, so that no usage is on record without its cost, nor twice."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence

from calls.ledger.entries import post_entries
from calls.ledger.usage import price_record
from calls.models import LedgerEntry
from calls.transports.records import Fact
from tenants.models import Tenant
from tenants.scope import tenant_scope


def price_batch(facts: Sequence[Fact]) -> None:
    """A writer's `on_batch`: one insert a tenant. Runs after the batch's rows were written, on the same connection."""
    by_tenant: dict[uuid.UUID, list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.table == "usage":
            by_tenant[fact.tenant].append(fact)
    for tenant_id, usages in by_tenant.items():
        with tenant_scope(Tenant(id=tenant_id)):
            post_entries([entry for fact in usages for entry in _price(fact)])


def _price(fact: Fact) -> list[LedgerEntry]:
    return price_record(
        tenant_id=fact.tenant,
        call_id=fact.call,
        sequence=fact.body["sequence"],
        kind=fact.body["kind"],
        model=fact.body["model"],
        usage=fact.body["usage"],
        estimated_audio_ms=fact.body["estimated_audio_ms"],
        at=fact.at,
    )

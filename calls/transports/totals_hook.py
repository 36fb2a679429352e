"""Has a call's totals made again when records of it come in after its end: from a journal, or after an outage. Computes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from calls.services.after_steps import repeat_totals
from calls.transports.records import Fact
from tenants.models import Tenant
from tenants.scope import tenant_scope


def refresh_totals(facts: Sequence[Fact]) -> None:
    """A writer's `on_batch`: one conditional UPDATE a tenant, which finds nothing while the calls are live."""
    calls = {(fact.tenant, fact.call) for fact in facts if fact.table != "flight"}
    for tenant in {tenant for tenant, _ in calls}:
        with tenant_scope(Tenant(id=tenant)):
            repeat_totals([call for owner, call in calls if owner == tenant])

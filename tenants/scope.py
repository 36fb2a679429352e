"""The tenant lock: who may touch tenant-owned rows, and the only way around it.

Reads are guarded by django-scopes' managers, writes by `TenantModel`. A scope is entered at doors (middleware, webhooks, sockets, tasks,
commands) and follows async code. Outside a scope a query raises; inside, rows of another tenant do not exist (decision 2).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

from django_scopes import get_scope, scope, scopes_disabled

if TYPE_CHECKING:
    from tenants.models import Tenant

EVERY: Final = "every"


class ScopeError(RuntimeError):
    """A tenant-owned row was touched without a tenant, or with another tenant's."""


@contextmanager
def tenant_scope(tenant: Tenant) -> Iterator[None]:
    """Everything inside sees and writes this tenant's rows alone."""
    with scope(tenant=tenant):
        yield


@contextmanager
def every_tenant(*, reason: str) -> Iterator[None]:
    """Leave the lock. Each use is listed, with its reason, in tests/tenants/test_exceptions.py; a new one fails that test."""
    if not reason:
        raise ScopeError("every_tenant needs a reason")
    with scopes_disabled():
        yield


def current_tenant_id() -> uuid.UUID | None:
    """The tenant of the running scope; None inside `every_tenant`. Raises ScopeError when no door was passed."""
    state = get_scope()
    if not state.get("_enabled", True):
        return None
    tenant = state.get("tenant")
    if tenant is None:
        raise ScopeError("no tenant in scope: enter tenant_scope(...) at the door")
    tenant_id: uuid.UUID = tenant.pk
    return tenant_id


def visible_rows() -> uuid.UUID | Literal["every"] | None:
    """Whose rows the database may show now: a tenant's, everybody's, or nobody's. For the second wall, which never raises."""
    state = get_scope()
    if not state.get("_enabled", True):
        return EVERY
    tenant = state.get("tenant")
    return None if tenant is None else tenant.pk

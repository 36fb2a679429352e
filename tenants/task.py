"""Celery tasks that keep the tenant lock: the tenant travels in the message's headers and is entered before the body."""

from __future__ import annotations

from typing import Any

from celery import Task

from tenants.models import Tenant
from tenants.scope import ScopeError, current_tenant_id, tenant_scope

HEADER = "switchboard_tenant"


class TenantTask(Task):  # type: ignore[type-arg]  # generic only in the stubs
    """Sent inside a scope, run inside the same one. Sending it without a scope refuses."""

    abstract = True

    def apply_async(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        tenant_id = current_tenant_id()
        if tenant_id is None:
            raise ScopeError(f"{self.name} needs one tenant: enter tenant_scope(...) before sending it")
        options["headers"] = {**(options.get("headers") or {}), HEADER: str(tenant_id)}
        return super().apply_async(args, kwargs, *rest, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tenant_id = (self.request.headers or {}).get(HEADER) or getattr(self.request, HEADER, None)
        if tenant_id is None:
            raise ScopeError(f"{self.name} arrived without a tenant")
        with tenant_scope(Tenant.objects.get(pk=tenant_id)):
            return super().__call__(*args, **kwargs)

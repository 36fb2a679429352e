"""The abstract row every tenant-owned table inherits: filled and refused on write, invisible without a scope on read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db import models

from tenants.ids import new_id
from tenants.scope import ScopeError, current_tenant_id

_Row = TypeVar("_Row", bound="models.Model", covariant=True)


class TenantQuerySet(models.QuerySet[_Row]):
    """Refuses bulk writes into another tenant; `save()` never runs for them (style-anchors §3.4)."""

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        rows = list(objs)
        for row in rows:
            row.check_tenant()
        return super().bulk_create(rows, *args, **kwargs)

    def bulk_update(self, objs: Iterable[Any], fields: Iterable[str], *args: Any, **kwargs: Any) -> int:
        rows = list(objs)
        for row in rows:
            row.check_tenant()
        return super().bulk_update(rows, fields, *args, **kwargs)

    def update(self, **kwargs: Any) -> int:
        if "tenant" in kwargs or "tenant_id" in kwargs:
            raise ScopeError("a row never changes its tenant")
        return super().update(**kwargs)


class TenantManager(models.Manager[_Row]):
    """Hands out the scope's rows. Raises ScopeError at once without a scope: django-scopes' own manager blocks method by method,
    and leaves `exists`, `exclude` and the async ones open."""

    def get_queryset(self) -> TenantQuerySet[_Row]:
        rows: TenantQuerySet[_Row] = TenantQuerySet(self.model, using=self._db)
        tenant_id = current_tenant_id()
        return rows if tenant_id is None else rows.filter(tenant_id=tenant_id)


class TenantModel(models.Model):
    """A row that belongs to one tenant.

    `objects` needs a scope; `save()` fills the tenant from it and refuses any other. References between tenant-owned tables carry a
    composite foreign key (tenant, id) in the database: see tenants/composite.py and the test that walks all models.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+")

    objects = TenantManager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.check_tenant()
        super().save(*args, **kwargs)

    def check_tenant(self) -> None:
        """Fill the tenant from the scope. Raises ScopeError when the row is another tenant's, or nobody is in scope."""
        current = current_tenant_id()
        if self.tenant_id is None:
            if current is None:
                raise ScopeError(f"{type(self).__name__} outside a scope needs an explicit tenant")
            self.tenant_id = current
        elif current is not None and self.tenant_id != current:
            raise ScopeError(f"{type(self).__name__} belongs to another tenant")

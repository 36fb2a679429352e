"""Migration operation for composite foreign keys (tenant, id), which make a reference across tenants impossible in the database itself.

Django 5.2 cannot declare them on a model, so they are named here and a test demands one for every reference between tenant-owned tables.
"""

from __future__ import annotations

from django.db import migrations


def unique_tenant_id(table: str) -> migrations.RunSQL:
    """The target side: (tenant_id, id) unique, so that a composite key may point at it."""
    name = f"{table}_tenant_row"
    return migrations.RunSQL(
        f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" UNIQUE (tenant_id, id)',
        f'ALTER TABLE "{table}" DROP CONSTRAINT "{name}"',
    )


def same_tenant(table: str, column: str, target: str) -> migrations.RunSQL:
    """`table.column` must point at a row of `target` with the same tenant. Checked at commit, like Django's own keys."""
    name = f"{table}_{column}_same_tenant"[:63]
    return migrations.RunSQL(
        f'ALTER TABLE "{table}" ADD CONSTRAINT "{name}" FOREIGN KEY (tenant_id, "{column}") '
        f'REFERENCES "{target}" (tenant_id, id) DEFERRABLE INITIALLY DEFERRED',
        f'ALTER TABLE "{table}" DROP CONSTRAINT "{name}"',
    )

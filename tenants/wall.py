"""The second wall: row-level security on every tenant-owned table, named here for migrations and for the backend that keeps it up.

Holds names and SQL only; `config.postgres` tells each connection whose rows it may see (docs/decisions/017-second-wall.md).
"""

from __future__ import annotations

from django.db import migrations

APP_ROLE = "switchboard_app"  # what the processes work as: one tenant's rows, or none
EVERY_ROLE = "switchboard_every"  # what `every_tenant` switches to; the owner is a member, so that migrations and dumps are whole
TENANT_SETTING = "switchboard.tenant"  # of the connection: the id of the tenant in scope, or empty

# Empty after a reset, absent on a connection that never had it: both are nobody.
_OWN = f"tenant_id = NULLIF(current_setting('{TENANT_SETTING}', true), '')::uuid"


def wall_in(*tables: str) -> migrations.RunSQL:
    """One line of a migration per new tenant-owned table: `wall_in("app_model")`. Its rows are from then on their tenant's alone.

    Belongs after the operation that makes the column `tenant_id`; tables that exist already may be named again in no later migration.
    """
    return migrations.RunSQL(
        [statement for table in tables for statement in _raise_wall(table)],
        [statement for table in tables for statement in _tear_down(table)],
    )


def _raise_wall(table: str) -> list[str]:
    return [
        f'CREATE POLICY own_tenant ON "{table}" TO {APP_ROLE} USING ({_OWN}) WITH CHECK ({_OWN})',
        f'CREATE POLICY every_tenant ON "{table}" TO {EVERY_ROLE} USING (true) WITH CHECK (true)',
        f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY',
        f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY',  # the owner too, should a process ever work as the owner
    ]


def _tear_down(table: str) -> list[str]:
    return [
        f'ALTER TABLE "{table}" NO FORCE ROW LEVEL SECURITY',
        f'ALTER TABLE "{table}" DISABLE ROW LEVEL SECURITY',
        f'DROP POLICY every_tenant ON "{table}"',
        f'DROP POLICY own_tenant ON "{table}"',
    ]

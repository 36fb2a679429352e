"""The second wall: with the lock's code out of the way, the database itself shows one tenant's rows, or none (decision 2)."""

import threading
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction

from agents.models import Secret
from calls.models import LedgerEntry
from config.engines.urls import DATABASE_APP
from config.postgres.base import DatabaseWrapper
from tenants.base import TenantModel
from tenants.models import Tenant
from tenants.scope import every_tenant, tenant_scope
from tenants.wall import APP_ROLE, EVERY_ROLE
from tests.factories import make_tenant

pytestmark = pytest.mark.django_db

HOW = 'add wall_in("{table}") to the migration that makes the table (from tenants.wall import wall_in)'


@pytest.fixture
def alice() -> Tenant:
    return _with_secret("alice")


@pytest.fixture
def charlie() -> Tenant:
    return _with_secret("charlie")


def _with_secret(slug: str) -> Tenant:
    tenant = make_tenant(slug)
    with tenant_scope(tenant):
        Secret.objects.create(name="key", value="v")
    return tenant


def owners_of_secrets() -> set[uuid.UUID]:
    """Raw SQL, with no filter: whatever the database shows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id FROM agents_secret")
        return {tenant for (tenant,) in cursor.fetchall()}


def fail_after_seeing(owners: set[uuid.UUID]) -> None:
    assert owners_of_secrets() == owners
    raise ZeroDivisionError


def ask(question: str, *values: object) -> object:
    with connection.cursor() as cursor:
        cursor.execute(question, values)
        return cursor.fetchone()[0]


def database() -> DatabaseWrapper:
    found = connection._connections[connection._alias]
    assert isinstance(found, DatabaseWrapper)
    return found


# --- what stands -----------------------------------------------------------------------------------------------------


def tenant_tables() -> list[str]:
    return sorted(model._meta.db_table for model in apps.get_models() if issubclass(model, TenantModel))


@pytest.mark.parametrize("table", tenant_tables())
def test_every_tenant_owned_table_is_behind_the_wall(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %s::regclass", [table])
        flags = cursor.fetchone()
        cursor.execute("SELECT policyname, roles::text[], cmd FROM pg_policies WHERE tablename = %s", [table])
        policies = {name: (roles, command) for name, roles, command in cursor.fetchall()}

    assert flags == (True, True), HOW.format(table=table)
    assert policies == {"own_tenant": ([APP_ROLE], "ALL"), "every_tenant": ([EVERY_ROLE], "ALL")}, HOW.format(
        table=table
    )


def test_no_table_with_a_tenant_is_left_outside_by_accident() -> None:
    """Also tables that no model of ours names: a through table, a package's."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attrelid::regclass::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
            " WHERE attname = 'tenant_id' AND relkind IN ('r', 'p') AND NOT relrowsecurity AND NOT attisdropped"
        )
        outside = {table for (table,) in cursor.fetchall()}

    assert outside <= OUTSIDE, f"not behind the wall: {outside - OUTSIDE}"


# Each with its reason, as in test_lock.NOT_TENANT_OWNED.
OUTSIDE = {"tenants_membership"}  # read before a scope exists: it decides which scope may be entered


def test_the_application_is_neither_superuser_nor_owner_of_anything() -> None:
    assert DATABASE_APP == APP_ROLE
    assert ask("SELECT current_user::text") == APP_ROLE
    assert ask("SELECT rolsuper OR rolbypassrls OR rolcreaterole FROM pg_roles WHERE rolname = session_user") is False
    assert ask("SELECT count(*) FROM pg_class WHERE pg_get_userbyid(relowner) IN (%s, %s)", APP_ROLE, EVERY_ROLE) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE agents_secret",  # would go around row-level security
        "ALTER TABLE calls_ledgerentry DISABLE TRIGGER ALL",
        "ALTER TABLE agents_secret DISABLE ROW LEVEL SECURITY",
        "DROP POLICY own_tenant ON agents_secret",
        "CREATE TABLE mine (id int)",
        "SET ROLE postgres",
    ],
)
def test_the_application_may_not_touch_the_house_itself(statement: str) -> None:
    for enter in (lambda: tenant_scope(make_tenant()), lambda: every_tenant(reason="t")):
        with pytest.raises(DatabaseError, match=r"permission denied|must be owner"), enter(), transaction.atomic():
            ask(statement)


# --- what it shows ---------------------------------------------------------------------------------------------------


def test_raw_sql_sees_one_tenant_or_nothing(alice: Tenant, charlie: Tenant) -> None:
    assert owners_of_secrets() == set()
    with tenant_scope(alice):
        assert owners_of_secrets() == {alice.pk}
        with tenant_scope(charlie):
            assert owners_of_secrets() == {charlie.pk}
        assert owners_of_secrets() == {alice.pk}
        with every_tenant(reason="a test of it"):
            assert owners_of_secrets() == {alice.pk, charlie.pk}
        assert owners_of_secrets() == {alice.pk}
    assert owners_of_secrets() == set()


def test_the_orm_without_its_lock_sees_one_tenant_or_nothing(alice: Tenant, charlie: Tenant) -> None:
    unlocked = Secret._base_manager
    assert not unlocked.exists()
    with tenant_scope(alice):
        assert [secret.tenant_id for secret in unlocked.all()] == [alice.pk]
        assert unlocked.filter(tenant_id=charlie.pk).update(name="stolen") == 0
        assert unlocked.filter(tenant_id=charlie.pk).delete()[0] == 0
    with tenant_scope(charlie):
        assert Secret.objects.get().name == "key"


def test_raw_sql_cannot_write_for_another_tenant_nor_for_nobody(alice: Tenant, charlie: Tenant) -> None:
    insert = "INSERT INTO agents_secret (id, tenant_id, name, value, updated_at) VALUES (%s, %s, 'n', 'v', now()) RETURNING 1"
    with tenant_scope(alice):
        assert ask(insert, uuid.uuid4(), alice.pk) == 1
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            ask(insert, uuid.uuid4(), charlie.pk)
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            ask("UPDATE agents_secret SET tenant_id = %s RETURNING 1", charlie.pk)
    with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
        ask(insert, uuid.uuid4(), alice.pk)


# --- how the connection is told --------------------------------------------------------------------------------------


def test_a_rolled_back_transaction_takes_the_tenant_back_and_it_is_said_again(alice: Tenant, charlie: Tenant) -> None:
    with tenant_scope(alice):
        assert owners_of_secrets() == {alice.pk}
        with pytest.raises(ZeroDivisionError), transaction.atomic(), tenant_scope(charlie):
            fail_after_seeing({charlie.pk})
        assert owners_of_secrets() == {alice.pk}
    with tenant_scope(charlie):
        with pytest.raises(ZeroDivisionError), transaction.atomic(), every_tenant(reason="a test of it"):
            fail_after_seeing({alice.pk, charlie.pk})
        assert owners_of_secrets() == {charlie.pk}


@pytest.mark.django_db(transaction=True)
def test_a_whole_transaction_that_is_rolled_back_leaves_nobody_behind(alice: Tenant, charlie: Tenant) -> None:
    with tenant_scope(alice), pytest.raises(ZeroDivisionError), transaction.atomic(), tenant_scope(charlie):
        fail_after_seeing({charlie.pk})
    assert owners_of_secrets() == set()
    with tenant_scope(alice):
        assert owners_of_secrets() == {alice.pk}


def test_the_wall_costs_a_round_trip_only_when_the_tenant_changes(alice: Tenant, charlie: Tenant) -> None:
    before = database().tenant_switches
    with tenant_scope(alice):
        for _ in range(5):
            Secret.objects.filter(name="key").update(value="w")
            with transaction.atomic():
                list(Secret.objects.all())
    with tenant_scope(alice):
        Secret.objects.count()
    assert database().tenant_switches - before == 1
    with tenant_scope(charlie):
        Secret.objects.count()
    assert database().tenant_switches - before == 2


def test_copy_is_told_too(alice: Tenant, charlie: Tenant) -> None:
    look = "COPY (SELECT tenant_id FROM agents_secret) TO STDOUT"
    with tenant_scope(charlie), connection.cursor() as cursor, cursor.copy(look) as rows:
        assert [row[0] for row in rows.rows()] == [str(charlie.pk)]


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_comes_back_to_the_pool_has_forgotten_its_tenant(alice: Tenant) -> None:
    """Looked at below Django: whoever borrows it next, by whatever way, finds nobody's rows."""
    for enter in (lambda: tenant_scope(alice), lambda: every_tenant(reason="a test of it")):
        with enter():
            assert owners_of_secrets() == {alice.pk}
        pool = database().pool
        connection.close()
        with pool.connection() as lent:
            state = lent.execute("SELECT current_user::text, current_setting('switchboard.tenant', true)").fetchone()
            assert state in ((APP_ROLE, ""), (APP_ROLE, None))
            assert lent.execute("SELECT count(*) FROM agents_secret").fetchone() == (0,)


@pytest.mark.django_db(transaction=True)
def test_two_threads_with_two_tenants_never_meet(alice: Tenant, charlie: Tenant) -> None:
    seen: dict[str, set[uuid.UUID]] = {"alice": set(), "charlie": set()}
    together = threading.Barrier(2, timeout=20)

    def look(tenant: Tenant) -> None:
        try:
            for _ in range(10):
                together.wait()
                with tenant_scope(tenant):
                    seen[tenant.slug] |= owners_of_secrets()
                connection.close()
        finally:
            connection.close()

    threads = [threading.Thread(target=look, args=(tenant,)) for tenant in (alice, charlie)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert seen == {"alice": {alice.pk}, "charlie": {charlie.pk}}


@pytest.fixture
def stranger(transactional_db: None) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """The application's login without our code: what somebody with its password sees."""
    params = {
        key: value for key, value in database().get_connection_params().items() if key in ("user", "host", "port")
    }
    with psycopg.connect(dbname=str(connection.settings_dict["NAME"]), **params) as found:
        yield found


@pytest.mark.django_db(transaction=True)
def test_the_login_alone_shows_nothing(alice: Tenant, stranger: psycopg.Connection[tuple[object, ...]]) -> None:
    assert stranger.execute("SELECT count(*) FROM agents_secret").fetchone() == (0,)
    stranger.execute(f"SET switchboard.tenant = '{alice.pk}'".encode())
    assert stranger.execute("SELECT count(*) FROM agents_secret").fetchone() == (1,)


def test_a_tenants_rows_are_still_found_by_their_index(alice: Tenant) -> None:
    """The wall's condition and the lock's filter become one for the planner; the wall itself is asked once, not per row."""
    with tenant_scope(alice):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
        plan = LedgerEntry.objects.filter(occurred_at__gt="2026-01-01T00:00Z").order_by("occurred_at").explain()
    assert "Index Scan using ledger_by_time" in plan
    assert "Index Cond: ((tenant_id = " in plan
    assert "AND (occurred_at > " in plan
    assert "One-Time Filter" in plan

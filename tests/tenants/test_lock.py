"""The tenant lock fails closed on reads and writes, in code and in the database (decision 2)."""

import asyncio

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, models, transaction

from agents.models import Agent, AgentVersion, Secret
from tenants.base import TenantModel
from tenants.models import Tenant
from tenants.scope import ScopeError, current_tenant_id, every_tenant, tenant_scope

pytestmark = pytest.mark.django_db

# Rows that belong to no single tenant, each with its reason.
NOT_TENANT_OWNED = {
    "tenants.User": "a person may belong to several tenants",
    "tenants.Tenant": "the tenant itself",
    "tenants.Membership": "read before a scope exists: it decides which scope may be entered",
    "tenants.Plan": "the operator's offers, the same for all",
    "tenants.OutgoingLetter": "an e-mail belongs to the person it goes to",
    "calls.RateCard": "the operator's prices, the same for all",
    "calls.Rate": "part of a rate card",
    "calls.Process": "a process serves all tenants",
    "calls.OperatorEvent": "what belongs to no tenant",
    "calls.SipInvitation": "belongs to nobody until its identity is proven",
}


@pytest.fixture
def alice() -> Tenant:
    return Tenant.objects.create(slug="alice", name="Alice")


@pytest.fixture
def charlie() -> Tenant:
    return Tenant.objects.create(slug="charlie", name="Charlie")


def own_models():
    return [model for app in ("tenants", "agents", "calls") for model in apps.get_app_config(app).get_models()]


def test_every_table_is_tenant_owned_or_listed_with_a_reason():
    unlisted = [
        model._meta.label
        for model in own_models()
        if not issubclass(model, TenantModel) and not model._meta.auto_created
    ]

    assert sorted(unlisted) == sorted(NOT_TENANT_OWNED)


def test_every_reference_between_tenant_owned_tables_is_held_inside_the_tenant_by_the_database():
    wanted = {
        (model._meta.db_table, field.column, field.related_model._meta.db_table)
        for model in own_models()
        if issubclass(model, TenantModel)
        for field in model._meta.fields
        if isinstance(field, models.ForeignKey) and issubclass(field.related_model, TenantModel)
    }
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT con.conrelid::regclass::text, att.attname, con.confrelid::regclass::text
            FROM pg_constraint con
            JOIN pg_attribute ten ON ten.attrelid = con.conrelid AND ten.attnum = con.conkey[1] AND ten.attname = 'tenant_id'
            JOIN pg_attribute att ON att.attrelid = con.conrelid AND att.attnum = con.conkey[2]
            WHERE con.contype = 'f' AND array_length(con.conkey, 1) = 2
            """
        )
        held = set(cursor.fetchall())

    assert wanted
    assert wanted <= held


TOUCHES = {
    "all": lambda: Secret.objects.all(),
    "count": lambda: Secret.objects.count(),
    "exists": lambda: Secret.objects.exists(),
    "exclude": lambda: Secret.objects.exclude(name="x").first(),
    "filter": lambda: Secret.objects.filter(name="x"),
    "update": lambda: Secret.objects.update(name="x"),
    "create": lambda: Secret.objects.create(name="x", value="y"),
    "save": lambda: Secret(name="x", value="y").save(),
    "bulk_create": lambda: Secret.objects.bulk_create([Secret(name="x", value="y")]),
    "in_bulk": lambda: Secret.objects.in_bulk(),
    "async": lambda: asyncio.run(Secret.objects.acount()),
}


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
def test_without_a_scope_a_query_is_an_error_never_all_rows(touch):
    with pytest.raises(ScopeError):
        touch()


def test_a_scope_shows_its_own_rows_and_no_others(alice, charlie):
    with tenant_scope(alice):
        mine = Secret.objects.create(name="key", value="alice's")
        assert list(Secret.objects.all()) == [mine]
    with tenant_scope(charlie):
        assert not Secret.objects.exists()
        assert Secret.objects.filter(pk=mine.pk).update(name="stolen") == 0


def test_saving_into_another_tenant_raises_in_every_way(alice, charlie):
    with tenant_scope(alice):
        mine = Secret.objects.create(name="key", value="v")
    with tenant_scope(charlie):
        with pytest.raises(ScopeError):
            mine.save()
        with pytest.raises(ScopeError):
            Secret.objects.bulk_create([Secret(name="other", value="v", tenant=alice)])
        with pytest.raises(ScopeError):
            Secret.objects.bulk_update([mine], ["name"])
    with tenant_scope(alice):
        with pytest.raises(ScopeError):
            Secret.objects.update(tenant=charlie)
        mine.save()


@pytest.mark.django_db(transaction=True)
def test_the_database_itself_refuses_a_reference_across_tenants(alice, charlie):
    with tenant_scope(alice):
        agent = Agent.objects.create(name="Reception", draft={})
    with tenant_scope(charlie), pytest.raises(IntegrityError, match="same_tenant"), transaction.atomic():
        AgentVersion.objects.create(agent=agent, number=1, spec={})
    with tenant_scope(alice):
        AgentVersion.objects.create(agent=agent, number=1, spec={})


def test_scopes_nest_restore_and_follow_async_code(alice, charlie):
    async def who(tenant: Tenant) -> bool:
        with tenant_scope(tenant):
            await asyncio.sleep(0)
            return current_tenant_id() == tenant.pk

    async def interleave() -> list[bool]:
        return await asyncio.gather(*[who(tenant) for tenant in (alice, charlie) * 2])

    with tenant_scope(alice):
        with tenant_scope(charlie):
            assert current_tenant_id() == charlie.pk
        assert current_tenant_id() == alice.pk
        assert asyncio.run(interleave()) == [True] * 4


def test_leaving_the_lock_needs_a_reason():
    with pytest.raises(ScopeError), every_tenant(reason=""):
        pass


def test_secrets_are_encrypted_at_rest(alice):
    with tenant_scope(alice):
        secret = Secret.objects.create(name="key", value="correct horse")
        with connection.cursor() as cursor:
            cursor.execute("SELECT value FROM agents_secret WHERE id = %s", [secret.pk])
            stored = cursor.fetchone()[0]
        assert "correct horse" not in stored
        assert Secret.objects.get(pk=secret.pk).value == "correct horse"

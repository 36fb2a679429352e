"""The audit log: who, what, before and after; never a secret, never changed."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from tenants import audit
from tenants.middleware import TenantMiddleware
from tenants.models import AuditEntry, CarrierAccount
from tenants.scope import tenant_scope
from tests.dashboard.scenes import make_member
from tests.factories import make_sid, make_tenant

pytestmark = pytest.mark.django_db


def test_an_entry_holds_who_did_what_from_where() -> None:
    tenant = make_tenant("acme")
    who = audit.Actor(kind="person", name="ada@example.com", id=tenant.pk, address="192.0.2.7", user_agent="Browser/1")
    with tenant_scope(tenant), audit.acting(who):
        audit.note("number.released", tenant, before={"state": "active"}, after={"state": "released"})
        entry = AuditEntry.objects.get()
    assert (entry.actor_name, entry.address, entry.user_agent) == ("ada@example.com", "192.0.2.7", "Browser/1")
    assert (entry.action, entry.target_name) == ("number.released", tenant.name)
    assert (entry.before, entry.after) == ({"state": "active"}, {"state": "released"})


def test_without_a_person_it_was_switchboard_itself() -> None:
    tenant = make_tenant("acme")
    with tenant_scope(tenant):
        assert audit.note("tenant.checked", tenant).actor_kind == "system"


def test_a_change_names_only_what_differs_and_hides_secrets() -> None:
    tenant = make_tenant("acme")
    with tenant_scope(tenant):
        account = CarrierAccount.objects.create(account_sid=make_sid("AC"), auth_token="old-token")
        before = audit.values_of(account, ["account_sid", "auth_token", "secondary_token"])
        account.auth_token = "new-token"
        entry = audit.note_change(
            "carrier_account.changed", account, before=before, fields=["account_sid", "auth_token", "secondary_token"]
        )
        assert entry is not None
        assert (entry.before, entry.after) == ({"auth_token": audit.HIDDEN}, {"auth_token": audit.HIDDEN})
        unchanged = audit.values_of(account, ["account_sid"])
        assert audit.note_change("carrier_account.changed", account, before=unchanged, fields=["account_sid"]) is None


@pytest.mark.parametrize("act", ["update", "delete"])
def test_entries_are_never_changed_or_deleted(act: str) -> None:
    tenant = make_tenant("acme")
    with tenant_scope(tenant):
        audit.note("tenant.checked", tenant)
        rows = AuditEntry.objects.all()
        with pytest.raises(DatabaseError, match="audit"), transaction.atomic():
            rows.update(action="tenant.hidden") if act == "update" else rows.delete()
        assert AuditEntry.objects.get().action == "tenant.checked"


def test_a_members_requests_act_in_the_members_name(rf: RequestFactory) -> None:
    tenant = make_tenant("acme")
    seen: list[audit.Actor] = []

    def view(_request: HttpRequest) -> HttpResponse:
        seen.append(audit.current_actor())
        return HttpResponse()

    request = rf.get("/o/acme/calls/", REMOTE_ADDR="192.0.2.9", headers={"user-agent": "Browser/1"})
    request.user = make_member(tenant, "ada@example.com")
    TenantMiddleware(view)(request)
    assert [(actor.name, actor.address, actor.user_agent) for actor in seen] == [
        ("ada@example.com", "192.0.2.9", "Browser/1")
    ]
    assert audit.current_actor() is audit.SYSTEM

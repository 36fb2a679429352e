"""From the open form to the first screen: a person and their business, confirmed by a letter, approved or not."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from tenants import onboarding
from tenants.models import AuditEntry, Membership, OutgoingLetter, Plan, Tenant, User
from tenants.scope import tenant_scope
from tests.dashboard.accounts.conftest import Letterbox, link_in
from tests.dashboard.scenes import PASSWORD, make_member
from tests.factories import make_tenant

pytestmark = pytest.mark.django_db
FORM = {
    "business_name": "Harbour  Dental",
    "email": "Nina@example.com",
    "password1": PASSWORD,
    "timezone": "Europe/Amsterdam",
}


def test_newcomer_signs_up_confirms_and_is_in(client: Client, settings: Settings, newest_letter: Letterbox) -> None:
    settings.SIGN_UP = "open"
    sent = client.post("/signup/", FORM)
    assert (sent.status_code, sent["Location"]) == (302, "/account/confirm-email/")
    assert client.get("/o/harbour-dental/").status_code == 302
    link = link_in(newest_letter("nina@example.com"))
    assert "nina@example.com" in client.get(link).content.decode()
    confirmed = client.post(link)
    assert (confirmed.status_code, confirmed["Location"]) == (302, "/")
    assert client.get("/")["Location"] == "/o/harbour-dental/"
    assert client.get("/o/harbour-dental/", follow=True).status_code == 200
    tenant = Tenant.objects.select_related("plan").get(slug="harbour-dental")
    assert (tenant.name, tenant.timezone, tenant.state) == ("Harbour Dental", "Europe/Amsterdam", "active")
    assert (tenant.plan or Plan()).key == "starter"
    assert tenant.trial_ends_at is not None
    assert 13 <= (tenant.trial_ends_at - timezone.now()).days <= 14
    with tenant_scope(tenant):
        acts = dict(AuditEntry.objects.values_list("action", "actor_name"))
    assert acts == {"tenant.signed_up": "nina@example.com", "member.added": "nina@example.com"}


def test_by_approval_a_business_waits_and_its_trial_begins_when_approved(client: Client, settings: Settings) -> None:
    settings.SIGN_UP = "approval"
    assert "approve each new business" in client.get("/signup/").content.decode()
    client.post("/signup/", FORM)
    tenant = Tenant.objects.get(slug="harbour-dental")
    assert (tenant.state, tenant.trial_ends_at) == ("pending", None)
    approved = onboarding.approve(tenant)
    assert approved.state == "active"
    assert approved.trial_ends_at is not None
    assert OutgoingLetter.objects.filter(to="nina@example.com", subject__contains="approved").exists()
    with pytest.raises(onboarding.NotInThisState, match="Active"):
        onboarding.approve(tenant)


def test_switched_off_nobody_signs_up(client: Client, settings: Settings) -> None:
    settings.SIGN_UP = "off"
    assert "takes no new businesses" in client.get("/signup/").content.decode()
    assert "takes no new businesses" in client.post("/signup/", FORM).content.decode()
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("business_name", "", "required"),
        ("business_name", "…!", "at least one letter or digit"),
        ("business_name", "x" * 201, "at most 200"),
        ("email", "nina", "valid email"),
        ("password1", "12345678", "too common"),
        ("timezone", "Europe/Atlantis", "valid choice"),
    ],
)
def test_each_field_explains_its_own_trouble_and_nothing_is_made(
    client: Client, field: str, value: str, message: str
) -> None:
    page = client.post("/signup/", {**FORM, field: value})
    assert page.status_code == 200
    assert message in " ".join(page.context["form"].errors[field])
    assert not User.objects.exists()
    assert not Tenant.objects.exists()


def test_two_businesses_of_one_name_get_addresses_of_their_own(client: Client) -> None:
    make_tenant("harbour-dental")
    client.post("/signup/", FORM)
    assert Tenant.objects.filter(slug="harbour-dental-2", name="Harbour Dental").exists()


def test_a_known_address_looks_the_same_to_the_asker_and_its_owner_gets_a_letter(
    client: Client, newest_letter: Letterbox
) -> None:
    make_member(make_tenant("acme"), "nina@example.com")
    fresh = client.post("/signup/", {**FORM, "email": "new@example.com"})
    known = client.post("/signup/", FORM)
    assert (known.status_code, known["Location"]) == (fresh.status_code, fresh["Location"])
    assert User.objects.filter(email="nina@example.com").count() == 1
    assert newest_letter("nina@example.com").subject == "You have an account already"
    assert Membership.objects.filter(user__email="nina@example.com").count() == 1


def test_an_unconfirmed_address_does_not_get_in(client: Client, settings: Settings) -> None:
    client.post("/signup/", FORM)
    client = Client()
    answer = client.post("/login/", {"login": "nina@example.com", "password": PASSWORD})
    assert answer["Location"] == "/account/confirm-email/"
    assert "Check your mail" in client.get("/account/confirm-email/").content.decode()
    assert client.get("/o/harbour-dental/")["Location"].startswith("/login/")

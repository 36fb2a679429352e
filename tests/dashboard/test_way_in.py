"""Log in, log out, choose a tenant: and what strangers meet."""

from __future__ import annotations

from django.test import Client

from tenants.models import Membership
from tests.dashboard.conftest import Cast
from tests.dashboard.scenes import PASSWORD, make_member
from tests.factories import make_tenant


def test_login_leads_to_the_calls_that_were_asked_for(client: Client, cast: Cast) -> None:
    asked = client.get("/o/acme/calls/")
    assert asked.status_code == 302
    response = client.post(
        asked["Location"], {"login": "Alice@example.com", "password": PASSWORD, "next": "/o/acme/calls/"}
    )
    assert (response.status_code, response["Location"]) == (302, "/o/acme/calls/")


def test_wrong_password_is_explained_and_nobody_is_logged_in(client: Client, cast: Cast) -> None:
    response = client.post("/login/", {"login": "alice@example.com", "password": "wrong"})
    assert response.status_code == 200
    assert 'role="alert"' in response.content.decode()
    assert client.get("/").status_code == 302


def test_next_never_leads_to_another_site(client: Client, cast: Cast) -> None:
    fields = {"login": "alice@example.com", "password": PASSWORD, "next": "https://evil.example/"}
    assert client.post("/login/", fields)["Location"] == "/"


def test_home_goes_straight_into_the_only_tenant(alice: Client) -> None:
    assert alice.get("/")["Location"] == "/o/acme/"
    assert alice.get("/o/acme/")["Location"] == "/o/acme/calls/"


def test_member_of_several_tenants_chooses(alice: Client, cast: Cast) -> None:
    Membership.objects.create(tenant=make_tenant("second", name="Second Clinic"), user=cast.alice, role="viewer")
    assert alice.get("/")["Location"] == "/o/"
    html = alice.get("/o/").content.decode()
    assert "Acme Dental" in html
    assert "Second Clinic" in html
    assert "Rival" not in html


def test_member_of_nothing_is_told_what_to_do(client: Client, cast: Cast) -> None:
    client.force_login(make_member(None, "bob@example.com"))
    assert "not a member of any business yet" in client.get("/o/").content.decode()


def test_logout_ends_the_session_and_needs_a_post(alice: Client) -> None:
    assert "This ends your session" in alice.get("/logout/").content.decode()
    assert alice.get("/o/acme/calls/").status_code == 200
    assert alice.post("/logout/")["Location"] == "/login/"
    assert alice.get("/o/acme/calls/").status_code == 302


def test_stranger_meets_the_same_404_for_a_foreign_and_for_a_missing_tenant(client: Client, cast: Cast) -> None:
    client.force_login(cast.charlie)
    foreign, missing = client.get("/o/acme/calls/"), client.get("/o/nobody/calls/")
    assert (foreign.status_code, missing.status_code) == (404, 404)
    assert "Acme" not in foreign.content.decode()


def test_pages_forbid_inline_code_and_name_no_other_host(alice: Client) -> None:
    response = alice.get("/o/acme/calls/")
    policy = response["Content-Security-Policy"]
    assert "'unsafe-inline'" not in policy
    assert "'unsafe-eval'" not in policy
    assert "default-src 'none'" in policy
    assert set(response["Cache-Control"].split(", ")) == {"private", "no-store"}
    html = response.content.decode()
    assert " style=" not in html
    assert "http://" not in html.replace("http://testserver", "")
    assert "https://" not in html

"""Every webhook refuses what the carrier did not sign, and each refusal first succeeds with the right signature."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django.fixtures import Settings

from calls.models import Call, CallEvent, OperatorEvent, Recording, Route
from calls.services import addresses, notes
from calls.services.tickets import ClaimedCall
from gateways.signatures import make_signature
from tenants.models import CarrierAccount, Tenant
from tenants.scope import every_tenant, tenant_scope
from tests.carrier import TestCarrier
from tests.factories import AUTH_TOKEN, make_account, make_route, make_sid, make_tenant

pytestmark = pytest.mark.django_db

CALL_HOOKS: dict[str, Callable[[str], str]] = {
    "resume": addresses.resume_url,
    "stream": addresses.stream_status_url,
    "leg": addresses.leg_status_url,
    "dial": addresses.dial_url,
    "voicemail": addresses.voicemail_url,
    "recording": addresses.recording_url,
}
NUMBER_HOOKS: dict[str, Callable[[str], str]] = {
    "voice": addresses.voice_url,
    "fallback": addresses.fallback_url,
    "status": addresses.number_status_url,
}


@pytest.fixture(autouse=True)
def quiet_operator() -> None:
    """The bound on operator events is per process and minute; each test starts with a full allowance."""
    notes.forget_operator_events()


def snapshot() -> tuple[object, ...]:
    with every_tenant(reason="a test compares before and after"):
        return (
            list(Call.objects.order_by("pk").values_list("pk", "state", "disposition", "ticket_serial")),
            CallEvent.objects.count(),
            Recording.objects.count(),
        )


@pytest.fixture
def urls(live: ClaimedCall, route: Route) -> dict[str, str]:
    return {name: make(live.ref) for name, make in CALL_HOOKS.items()} | {
        name: make(route.public_id) for name, make in NUMBER_HOOKS.items()
    }


@pytest.mark.parametrize("hook", [*CALL_HOOKS, *NUMBER_HOOKS])
def test_a_forged_missing_or_foreign_signature_is_refused(
    hook: str, urls: dict[str, str], live: ClaimedCall, carrier: TestCarrier
) -> None:
    form = carrier.about(live.call, StreamSid=make_sid("MZ"), StreamEvent="stream-started", RecordingSid=make_sid("RE"))
    other = make_tenant()
    stranger = TestCarrier(make_account(other, auth_token="f" * 32).account_sid, "f" * 32)
    before = snapshot()
    url = urls[hook]
    assert carrier.post(url, form, signature="").status_code == 403
    assert carrier.post(url, form, signature="AAAAAAAAAAAAAAAAAAAAAAAAAAA=").status_code == 403
    assert carrier.post(url, form, signature="é" * 28).status_code == 403
    assert stranger.post(url, form).status_code == 403  # signed by another tenant's account
    assert stranger.post(url, {**form, "AccountSid": stranger.account_sid}).status_code == 403
    foreign = carrier.post(url, {**form, "AccountSid": stranger.account_sid})
    assert foreign.status_code == 403  # the right key about the wrong account
    assert snapshot() == before
    assert carrier.post(url, form).status_code in (200, 204)


@pytest.mark.parametrize("hook", [*CALL_HOOKS, *NUMBER_HOOKS])
def test_a_changed_parameter_breaks_the_signature(
    hook: str, urls: dict[str, str], live: ClaimedCall, carrier: TestCarrier
) -> None:
    form = carrier.about(live.call)
    signature = make_signature(urls[hook].split("#")[0], form, AUTH_TOKEN)
    assert carrier.post(urls[hook], {**form, "CallStatus": "completed"}, signature=signature).status_code == 403


@pytest.mark.parametrize("hook", [*CALL_HOOKS, *NUMBER_HOOKS])
def test_only_posts_are_answered(hook: str, urls: dict[str, str], carrier: TestCarrier) -> None:
    path = urls[hook].split("#")[0].removeprefix("http://127.0.0.1:8000")
    assert carrier.client.get(path).status_code == 405


@pytest.mark.parametrize("hook", [*CALL_HOOKS, *NUMBER_HOOKS])
def test_a_large_body_is_refused_unread(
    hook: str, urls: dict[str, str], live: ClaimedCall, carrier: TestCarrier
) -> None:
    form = carrier.about(live.call, Padding="x" * 70_000)
    assert carrier.post(urls[hook], form).status_code == 413


def test_signatures_hold_behind_a_proxy(carrier: TestCarrier, route: Route, settings: Settings) -> None:
    settings.PUBLIC_BASE_URL = "https://voice.example.com"
    settings.ALLOWED_HOSTS = ["internal"]
    form = carrier.call_form(to=route.number.e164)
    response = carrier.post(
        addresses.voice_url(route.public_id),
        form,
        headers={"Host": "internal", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher"},
    )
    assert response.status_code == 200


def test_both_tokens_are_accepted_while_they_rotate(tenant: Tenant, carrier: TestCarrier, route: Route) -> None:
    rotated = TestCarrier(carrier.account_sid, "e" * 32)
    assert rotated.ring(route).status_code == 403
    with tenant_scope(tenant):
        account = CarrierAccount.objects.get()
        account.secondary_token = "e" * 32
        account.save()
    assert rotated.ring(route).status_code == 200
    assert carrier.ring(route).status_code == 200


def test_a_genuine_request_about_no_call_of_ours_is_not_found(carrier: TestCarrier) -> None:
    form = carrier.call_form(to="+15550001234")
    assert carrier.post(addresses.resume_url("0" * 32), form).status_code == 404
    assert carrier.post(addresses.resume_url("nonsense"), form).status_code == 404


def test_a_status_for_a_number_nobody_has_is_not_found(carrier: TestCarrier) -> None:
    form = carrier.call_form(to="+15550001234")
    assert carrier.post(addresses.number_status_url("b" * 26), form).status_code == 404


def test_more_fields_than_any_carrier_sends_are_refused(carrier: TestCarrier, route: Route) -> None:
    form = carrier.call_form(to=route.number.e164) | {f"F{number}": "" for number in range(1_100)}
    assert carrier.post(addresses.voice_url(route.public_id), form).status_code == 413


def test_a_request_without_a_call_is_malformed(carrier: TestCarrier, route: Route) -> None:
    assert carrier.ring(route, CallSid="CA1").status_code == 400
    assert carrier.ring(route, CallSid=make_sid("CA")).status_code == 200


def test_forgeries_tell_the_operator_within_bounds(carrier: TestCarrier, route: Route) -> None:
    form = carrier.call_form(to=route.number.e164)
    for _ in range(notes.OPERATOR_EVENTS_A_MINUTE + 5):
        carrier.post(addresses.voice_url(route.public_id), form, signature="AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    assert OperatorEvent.objects.filter(kind="signature_forged").count() == notes.OPERATOR_EVENTS_A_MINUTE


def test_one_tenants_carrier_cannot_speak_about_anothers_call(live: ClaimedCall, carrier: TestCarrier) -> None:
    other = make_tenant()
    stranger = TestCarrier(make_account(other, auth_token="f" * 32).account_sid, "f" * 32)
    strange_route = make_route(other)
    form = stranger.call_form(to=strange_route.number.e164, call_sid=live.call.carrier_sid)
    ended = {**form, "CallStatus": "completed", "CallDuration": "1"}
    # Its own number's status address, correctly signed, naming a call of somebody else.
    assert stranger.post(addresses.number_status_url(strange_route.public_id), ended).status_code == 204
    with tenant_scope(live.tenant):
        assert Call.objects.get(pk=live.call.pk).state == "live"


def test_a_call_sid_of_another_tenant_opens_nothing(live: ClaimedCall) -> None:
    other = make_tenant()
    stranger = TestCarrier(make_account(other, auth_token="f" * 32).account_sid, "f" * 32)
    route = make_route(other)
    response = stranger.ring(route, CallSid=live.call.carrier_sid)
    assert response.status_code == 409
    with tenant_scope(other):
        assert Call.objects.count() == 0

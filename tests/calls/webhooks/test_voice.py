"""The voice webhook: who may ask, what is recorded, what is answered."""

from __future__ import annotations

import pytest

from calls.models import Call, CallEvent, Lease, Leg
from calls.services import addresses
from tenants.models import Tenant
from tenants.scope import every_tenant, tenant_scope
from tests.carrier import TestCarrier, read_document, ticket_of
from tests.factories import make_account, make_route, make_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant() -> Tenant:
    return make_tenant()


@pytest.fixture
def carrier(tenant: Tenant) -> TestCarrier:
    return TestCarrier(make_account(tenant).account_sid)


def count_calls() -> int:
    with every_tenant(reason="test"):
        return Call.objects.count()


def test_a_call_is_connected_to_a_stream_and_recorded(tenant: Tenant, carrier: TestCarrier) -> None:
    route = make_route(tenant)
    response = carrier.ring(route)
    document = read_document(response)
    stream = document.find("Connect/Stream")
    assert stream is not None
    with tenant_scope(tenant):
        call = Call.objects.get()
        assert (call.state, call.ladder, call.attestation) == (
            "ringing",
            ["streams", "voicemail"],
            "TN-Validation-Passed-A",
        )
        assert list(Leg.objects.values_list("kind", "carrier_sid")) == [("caller", call.carrier_sid)]
        assert Lease.objects.get().token == 0
        assert CallEvent.objects.get().kind == "received"
    ref = call.pk.hex
    assert stream.get("url", "").endswith(f"/{ref}/")
    assert "#" not in stream.get("url", "")
    assert stream.get("statusCallback") == addresses.stream_status_url(ref)
    redirect = document.find("Redirect")
    assert redirect is not None
    assert redirect.text == addresses.resume_url(ref)
    assert redirect.text.endswith("#ct=2000&rt=4000&rc=2&rp=all")
    assert ticket_of(response)

"""A tenant with a number that is answered, and its carrier."""

from __future__ import annotations

import pytest

from calls.models import Route
from calls.services.tickets import ClaimedCall, claim
from tenants.models import Tenant
from tests.carrier import TestCarrier, ticket_of
from tests.factories import make_account, make_route, make_sid, make_tenant


@pytest.fixture
def tenant(db: None) -> Tenant:
    return make_tenant()


@pytest.fixture
def carrier(tenant: Tenant) -> TestCarrier:
    return TestCarrier(make_account(tenant).account_sid)


@pytest.fixture
def route(tenant: Tenant) -> Route:
    return make_route(tenant)


@pytest.fixture
def live(carrier: TestCarrier, route: Route) -> ClaimedCall:
    """A call whose stream has arrived."""
    call_sid = make_sid("CA")
    ticket = ticket_of(carrier.ring(route, CallSid=call_sid))
    return claim(ticket, call_sid=call_sid, account_sid=carrier.account_sid, stream_sid=make_sid("MZ"))

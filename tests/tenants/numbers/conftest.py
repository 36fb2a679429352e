"""A carrier with an account that a tenant uses, and the workers' hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tenants.models import Tenant
from tests.carrier_double import DoubleThread, running_double
from tests.factories import AUTH_TOKEN, make_account, make_tenant


@pytest.fixture(scope="module")
def carrier_thread() -> Iterator[DoubleThread]:
    with running_double() as thread:
        yield thread


@pytest.fixture
def double(carrier_thread: DoubleThread, settings: Any) -> Iterator[DoubleThread]:
    settings.TWILIO_API_BASE_URL = carrier_thread.double.base_url
    settings.TWILIO_TIMEOUT_S = 5.0
    carrier_thread.double.rest.requests.clear()  # numbers that a rolled-back test did not buy are on sale again
    yield carrier_thread
    faults = carrier_thread.double.faults
    faults.rest_count, faults.rest_match, faults.rest_late, faults.taken = 0, "", False, []


@pytest.fixture
def tenant(double: DoubleThread) -> Tenant:
    """With an account that the double knows."""
    tenant = make_tenant()
    account = make_account(tenant)
    double.double.add_account(sid=account.account_sid, auth_token=AUTH_TOKEN)
    return tenant

"""The carrier's configuration against ours: found, told, put right in one request (product 3.3)."""

from __future__ import annotations

import pytest

from calls.models import Route
from calls.services.addresses import voice_url
from calls.services.numbers import check_all_numbers, check_number, repair_number
from gateways.errors import GatewayError
from tenants.models import AuditEntry, Number, Tenant
from tenants.scope import tenant_scope
from tests.carrier_double import DoubleThread
from tests.tenants.numbers.desk import at_carrier, number_of, order, run

pytestmark = pytest.mark.django_db


def bought(tenant: Tenant) -> Route:
    number = number_of(tenant, run(tenant, order(tenant)))
    with tenant_scope(tenant):
        return Route.objects.select_related("number__account").get(number=number)


def test_what_somebody_changed_at_the_carrier_is_found_and_put_right(double: DoubleThread, tenant: Tenant) -> None:
    route = bought(tenant)
    (theirs,) = at_carrier(double, tenant)
    with tenant_scope(tenant):
        assert check_number(route) == []
        theirs.voice_url, theirs.trunk_sid = "https://elsewhere.example/", "TK" + "1" * 32
        assert check_all_numbers() == 1
        drift = {entry["field"]: entry["theirs"] for entry in Number.objects.get().drift}
        assert drift == {"voice_url": "https://elsewhere.example/", "trunk_sid": "TK" + "1" * 32}
        assert repair_number(route) == []
        assert Number.objects.get().drift == []
        entry = AuditEntry.objects.get(action="number.repaired")
    assert entry.before["voice_url"] == "https://elsewhere.example/"
    assert (theirs.voice_url, theirs.trunk_sid) == (voice_url(route.public_id), "")


def test_a_number_that_is_gone_at_the_carrier_is_told_as_such(double: DoubleThread, tenant: Tenant) -> None:
    route = bought(tenant)
    del double.double.exchange.numbers[route.number.e164]
    with tenant_scope(tenant):
        assert [one.field for one in check_number(route)] == ["number"]
        assert check_all_numbers() == 1
        with pytest.raises(GatewayError):
            repair_number(route)


def test_a_carrier_that_cannot_be_asked_leaves_what_was_known(double: DoubleThread, tenant: Tenant) -> None:
    route = bought(tenant)
    faults = double.double.faults
    faults.rest_status, faults.rest_count = 500, 1
    with tenant_scope(tenant):
        with pytest.raises(GatewayError):
            check_number(route)
        number = Number.objects.get()
        assert (number.drift, number.check_error) == (
            [],
            "The carrier did not answer as it should. It is tried again by itself.",
        )

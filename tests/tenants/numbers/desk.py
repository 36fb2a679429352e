"""What the numbers' tests do again and again: choose, order, let the workers work, look at the carrier."""

from __future__ import annotations

import secrets
from decimal import Decimal
from typing import Any

from django.utils import timezone

from calls.services.numbers import request_number
from emulators.twilio.values import Number as CarriersNumber
from gateways.numbers import NumberType, open_numbers
from tenants.models import CarrierAccount, Number, NumberOrder, Tenant
from tenants.numbers import saga
from tenants.numbers.orders import Wish
from tenants.scope import tenant_scope
from tests.carrier_double import DoubleThread


def choose(tenant: Tenant, country: str = "US", kind: NumberType = NumberType.LOCAL, **filters: Any) -> str:
    """A number that is on sale."""
    with tenant_scope(tenant):
        account = CarrierAccount.objects.get()
        found = open_numbers(account.account_sid, account.auth_token).search_numbers(country, kind, limit=1, **filters)
    return found[0].e164


def order(tenant: Tenant, e164: str = "", **wish: Any) -> NumberOrder:
    key = wish.pop("key", secrets.token_hex(8))
    fields = {
        "country": "US",
        "kind": "local",
        "name": "Main line",
        "monthly_price": Decimal("1.15"),
        "currency": "USD",
    }
    with tenant_scope(tenant):
        return request_number(tenant, Wish(e164=e164 or choose(tenant), **{**fields, **wish}), key=key)


def run_once(tenant: Tenant, placed: NumberOrder) -> NumberOrder:
    """One try of a worker, the wait before it skipped."""
    with tenant_scope(tenant):
        NumberOrder.objects.filter(pk=placed.pk, due_at__isnull=False).update(due_at=timezone.now(), claimed_until=None)
        saga.run_order(str(placed.pk))
        return NumberOrder.objects.select_related("number").get(pk=placed.pk)


def run(tenant: Tenant, placed: NumberOrder, *, tries: int = 12) -> NumberOrder:
    """As many tries as it takes."""
    for _ in range(tries):
        now = run_once(tenant, placed)
        if now.state != NumberOrder.State.OPEN:
            break
    return now


def at_carrier(double: DoubleThread, tenant: Tenant) -> list[CarriersNumber]:
    with tenant_scope(tenant):
        account = CarrierAccount.objects.get()
    return [one for one in double.double.exchange.numbers.values() if one.account_sid == account.account_sid]


def purchases(double: DoubleThread, e164: str) -> int:
    """How often this number was asked for with money."""
    return sum(
        method == "POST" and path.endswith("/IncomingPhoneNumbers.json") and form.get("PhoneNumber") == e164
        for method, path, form in double.double.rest.requests
    )


def number_of(tenant: Tenant, placed: NumberOrder) -> Number:
    with tenant_scope(tenant):
        return Number.objects.get(pk=placed.number_id)

"""A number together with its route: bought, taken in, checked, repaired, forgotten. The carrier's part is tenants.numbers'."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext

from agents.models import Agent
from calls.models import Call, Route
from calls.routing.carrier_config import compute_config
from calls.services.routes import save_route
from calls.vocabulary import Path, Step
from gateways.numbers import CarrierNumber, open_numbers
from tenants import audit
from tenants.models import CarrierAccount, Number, NumberOrder, Tenant
from tenants.numbers import drift
from tenants.numbers.config import Difference
from tenants.numbers.orders import Wish, find_order, place_order, reserve_number, usable_account


def request_number(
    tenant: Tenant,
    wish: Wish,
    *,
    key: str,
    agent: Agent | None = None,
    path: str = Path.STREAMS,
    ladder: Sequence[str] = (Step.STREAMS, Step.VOICEMAIL),
) -> NumberOrder:
    """Order a number: bought when `wish` has no SID, taken in when it has. The same key again is the same order.

    Number, route and order are one change: whoever calls the moment it is bought is answered. Raises plans.NotAllowed, or
    ValidationError naming the field.
    """
    with transaction.atomic():
        if (known := find_order(key)) is not None:
            return known
        number = reserve_number(tenant, wish)
        route = save_route(number, agent=agent, path=path, ladder=ladder)
        kind = NumberOrder.Kind.IMPORT if wish.carrier_sid else NumberOrder.Kind.BUY
        return place_order(number, kind, key=key, config=compute_config(route))


def list_foreign_numbers() -> list[CarrierNumber]:
    """Numbers that the account owns and we do not know: what may be taken in. Raises GatewayError, ValidationError."""
    account = usable_account()
    known = set(Number.objects.filter(state__in=Number.OWNED).values_list("e164", flat=True))
    owned = open_numbers(account.account_sid, account.auth_token).list_numbers()
    return [one for one in owned if one.e164 not in known]


@transaction.atomic
def forget_failed(number: Number) -> None:
    """Take a purchase that came to nothing off the list. Raises ValidationError for a number that is or was ours."""
    number = Number.objects.select_for_update().get(pk=number.pk)
    if number.state != Number.State.FAILED or Call.objects.filter(number=number).exists():
        raise ValidationError(gettext("Only a purchase that failed can be taken off the list."))
    audit.note("number.forgotten", number, before={"e164": number.e164})
    NumberOrder.objects.filter(number=number).delete()
    Route.objects.filter(number=number).delete()
    number.delete()


def check_number(route: Route) -> list[Difference]:
    """Ask the carrier now. Raises GatewayError."""
    return drift.check_number(route.number, compute_config(route))


def repair_number(route: Route) -> list[Difference]:
    """Put right what differs, in one request. Returns what still differs. Raises GatewayError."""
    return drift.repair_number(route.number, compute_config(route))


def check_all_numbers() -> int:
    """Every active number of the tenant in scope against the carrier's list. Returns how many differ. Raises GatewayError."""
    account = CarrierAccount.objects.filter(state=CarrierAccount.State.ACTIVE).first()
    if account is None:
        return 0
    routes = Route.objects.select_related("number").filter(number__state=Number.State.ACTIVE)
    return drift.check_numbers(account, {route.number_id: compute_config(route) for route in routes})

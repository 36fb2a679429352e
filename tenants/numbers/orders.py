"""Takes orders for numbers: what they may cost the plan, who owns the line, and the rows that the saga works on. One atomic change each."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext

from tenants import audit, plans
from tenants.models import CarrierAccount, Number, NumberOrder, Tenant
from tenants.nudges import nudge_order
from tenants.numbers.config import CarrierConfig
from tenants.services import is_taken

_OWNED_ONCE = "number_owned_once"


@dataclass(frozen=True, slots=True)
class Wish:
    """A number as it was chosen: from a search, or from the account's own list (then with its SID)."""

    e164: str
    country: str = ""
    kind: str = ""
    name: str = ""
    monthly_price: Decimal | None = None
    currency: str = ""
    capabilities: tuple[str, ...] = ()
    address_sid: str = ""
    bundle_sid: str = ""
    carrier_sid: str = ""


def find_order(key: str) -> NumberOrder | None:
    """The order that this form made already: sent twice is ordered once."""
    found: NumberOrder | None = NumberOrder.objects.select_related("number").filter(key=key).first()
    return found


def reserve_number(tenant: Tenant, wish: Wish) -> Number:
    """The row of a number that is about to be ours. Call it inside the transaction that makes the order.

    Raises plans.NotAllowed, or ValidationError naming the field.
    """
    tenant = plans.lock_for_limits(tenant)  # two buyers are counted one after the other
    plans.check_limit(tenant, plans.Limit.NUMBERS, used=plans.count_numbers())
    account = usable_account()
    if is_taken(wish.e164):
        raise ValidationError(_taken())
    number = Number(
        account=account,
        e164=wish.e164,
        carrier_sid=wish.carrier_sid,
        name=wish.name,
        state=Number.State.PROVISIONING,
        country=wish.country,
        kind=wish.kind,
        capabilities=list(wish.capabilities),
        monthly_price=wish.monthly_price,
        currency=wish.currency,
        address_sid=wish.address_sid,
        bundle_sid=wish.bundle_sid,
    )
    number.check_tenant()
    number.full_clean(validate_constraints=False)
    _save_as_owned(number)
    return number


def usable_account() -> CarrierAccount:
    """The account of the tenant in scope. Raises ValidationError with the mend when it cannot be used now."""
    account: CarrierAccount | None = CarrierAccount.objects.first()
    if account is None:
        raise ValidationError(
            gettext("No carrier account is connected yet. Connect one under Settings → Carrier, then come back.")
        )
    if account.state == CarrierAccount.State.OPENING:
        raise ValidationError(
            account.error
            or gettext("Your account at the carrier is being opened; this takes a few seconds. Try again then.")
        )
    if not account.is_usable:
        raise ValidationError(
            gettext("The account at the carrier is suspended: %(reason)s.")
            % {
                "reason": account.get_hold_display()
                if account.hold
                else gettext("ask the people who run this Switchboard")
            }
        )
    return account


def place_order(
    number: Number, kind: NumberOrder.Kind, *, key: str, config: CarrierConfig | None = None
) -> NumberOrder:
    """The row the saga works on, with its audit entry; the worker hears of it after commit."""
    order = NumberOrder(
        number=number, kind=kind, key=key, config=config.to_json() if config else {}, due_at=timezone.now()
    )
    order.save()
    audit.note(
        f"number.{kind}_requested",
        number,
        after={"e164": number.e164, "monthly_price": number.monthly_price, "currency": number.currency},
    )
    nudge_order(order)
    return order


@transaction.atomic
def request_release(number: Number, *, key: str) -> NumberOrder:
    """Give the number back: at once and for good. Raises ValidationError when it is not ours to give back now."""
    if (known := find_order(key)) is not None:
        return known
    won = Number.objects.filter(pk=number.pk, state=Number.State.ACTIVE).update(state=Number.State.RELEASING)
    if not won:
        raise ValidationError(gettext("This number is not active, so there is nothing to release."))
    number.state = Number.State.RELEASING
    return place_order(number, NumberOrder.Kind.RELEASE, key=key)


@transaction.atomic
def retry_order(tenant: Tenant, order: NumberOrder, *, address_sid: str = "", bundle_sid: str = "") -> NumberOrder:
    """Try a failed purchase again, with papers if they were what was missing. Raises as `reserve_number` does."""
    order = NumberOrder.objects.select_for_update(of=("self",)).select_related("number").get(pk=order.pk)
    number = order.number
    if order.state != NumberOrder.State.FAILED or number.state != Number.State.FAILED:
        raise ValidationError(gettext("This order is not one that failed; there is nothing to try again."))
    tenant = plans.lock_for_limits(tenant)
    plans.check_limit(tenant, plans.Limit.NUMBERS, used=plans.count_numbers())
    usable_account()
    number.state = Number.State.PROVISIONING
    number.address_sid, number.bundle_sid = address_sid or number.address_sid, bundle_sid or number.bundle_sid
    _save_as_owned(number)
    order.state, order.step, order.due_at = NumberOrder.State.OPEN, NumberOrder.Step.REQUESTED, timezone.now()
    order.attempt, order.error, order.error_detail, order.done_at = 0, "", "", None
    order.save()
    audit.note(f"number.{order.kind}_retried", number)
    nudge_order(order)
    return order


def _save_as_owned(number: Number) -> None:
    try:
        with transaction.atomic():
            number.save()
    except IntegrityError as error:
        if _OWNED_ONCE not in str(error):
            raise
        raise ValidationError(_taken()) from error


def _taken() -> str:
    return gettext("This number was taken by somebody else a moment ago. Search again and choose another.")

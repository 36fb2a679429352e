"""Carries out orders for numbers: buy, take in, release. Any step may be the last of a worker that dies; the next one goes on from there.

Nothing is concluded without a look at the carrier: a purchase whose answer was lost is found in the account's list, so a number is
never bought twice and never bought and lost (product 3.4). Only workers call this (it waits for the carrier).
"""

from __future__ import annotations

import structlog
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from gateways.errors import GatewayError
from gateways.numbers import CarrierNumber, NumberGateway, open_numbers
from tenants import audit
from tenants.carrier import ensure_account
from tenants.carrier_words import explain
from tenants.models import Number, NumberOrder
from tenants.numbers.apply import apply_config
from tenants.numbers.config import CarrierConfig, Difference
from tenants.work import claim, put_off

log = structlog.get_logger(__name__)

ATTEMPTS = 8  # with the back-off about 20 minutes; after that an order ends, if a look shows that nothing was bought
NAME_LENGTH = 40  # of 64 at the carrier; the rest is the marker (twilio.md §5.2)
TAKEN = "21422"

Step, Kind = NumberOrder.Step, NumberOrder.Kind


class OrderFailed(Exception):
    """The order cannot be carried out; the text is for people. What is at the carrier is known."""

    def __init__(self, text: str, *, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail


def run_order(order_id: str) -> bool:
    """Claim and carry out one order of the tenant in scope. Returns whether this worker won the claim."""
    order = claim(NumberOrder, order_id)
    if order is None or order.state != NumberOrder.State.OPEN:
        return False
    number = Number.objects.select_related("account").get(pk=order.number_id)
    gateway = open_numbers(number.account.account_sid, number.account.auth_token)
    try:
        if order.kind == Kind.RELEASE:
            _release(order, number, gateway)
        else:
            _acquire(order, number, gateway)
    except OrderFailed as failure:
        _fail(order, number, failure)
    except GatewayError as error:
        # Whether a purchase went through is unknown, or the number is ours and not finished: never given up.
        log.warning("number_order_waits", order=str(order.pk), step=order.step, error=str(error))
        put_off(order, error=explain(error), detail=str(error))
    return True


# --- buy, take in ------------------------------------------------------------------------------------------------------


def _acquire(order: NumberOrder, number: Number, gateway: NumberGateway) -> None:
    found = _get_owned(order, number, gateway)
    if number.carrier_sid != found.sid or order.step in (Step.REQUESTED, Step.ORDERING):
        number.carrier_sid, number.capabilities = found.sid, sorted(found.capabilities)
        number.acquired_at = number.acquired_at or timezone.now()
        number.save(update_fields=["carrier_sid", "capabilities", "acquired_at"])
        _reach(order, Step.OWNED)
    wanted = CarrierConfig.from_json(order.config)
    try:
        differences = apply_config(gateway, found, wanted)
    except GatewayError as error:
        if not error.permanent:
            raise
        # It is ours and paid for, so it is shown as such, with what is wrong with it.
        _finish_acquired(order, number, error=explain(error), detail=str(error))
        return
    _reach(order, Step.CONFIGURED)
    if differences and order.attempt <= ATTEMPTS:
        raise GatewayError(f"still differs: {', '.join(one.field for one in differences)}", permanent=False)
    _finish_acquired(order, number, differences=differences)


def _get_owned(order: NumberOrder, number: Number, gateway: NumberGateway) -> CarrierNumber:
    """The number as the account has it: by look, and only if the look finds nothing by purchase."""
    try:
        found = gateway.fetch_number(number.carrier_sid) if number.carrier_sid else _look(number, gateway)
    except GatewayError as error:
        is_untouched = order.step == Step.REQUESTED  # no purchase of ours was ever sent
        if error.permanent and (is_untouched or (number.carrier_sid and error.status == 404)):
            raise OrderFailed(explain(error), detail=str(error)) from error
        raise
    if found is not None:
        return found
    if order.kind == Kind.IMPORT:
        raise OrderFailed(gettext("The account at the carrier does not own this number any more."))
    if order.attempt > ATTEMPTS:
        raise OrderFailed(
            gettext("The carrier did not carry out the purchase within %(count)d tries. Nothing was bought.")
            % {"count": ATTEMPTS},
            detail=order.error_detail,
        )
    return _buy(order, number, gateway)


def _buy(order: NumberOrder, number: Number, gateway: NumberGateway) -> CarrierNumber:
    _reach(order, Step.ORDERING)  # durable before money can be spent
    wanted = CarrierConfig.from_json(order.config)
    try:
        return gateway.buy_number(
            number.e164,
            friendly_name=f"{number.name[:NAME_LENGTH]} {order.marker}".strip(),
            voice_url=wanted.voice_url,
            voice_fallback_url=wanted.voice_fallback_url,
            status_callback=wanted.status_callback,
            address_sid=number.address_sid,
            bundle_sid=number.bundle_sid,
        )
    except GatewayError as error:
        if not error.permanent:
            raise
        # "Not available" is also what the carrier says about a number that is ours since a moment ago.
        found = _look(number, gateway) if error.code == TAKEN else None
        if found is not None:
            return found
        raise OrderFailed(explain(error), detail=str(error)) from error


def _look(number: Number, gateway: NumberGateway) -> CarrierNumber | None:
    """The carrier matches parts of numbers; ours is the whole one."""
    return next((one for one in gateway.list_numbers(e164=number.e164) if one.e164 == number.e164), None)


def _finish_acquired(
    order: NumberOrder,
    number: Number,
    *,
    differences: list[Difference] | None = None,
    error: str = "",
    detail: str = "",
) -> None:
    now = timezone.now()
    with transaction.atomic():
        number.state, number.checked_at = Number.State.ACTIVE, now
        number.drift = [{"field": one.field, "ours": one.ours, "theirs": one.theirs} for one in differences or []]
        number.check_error = error
        number.save(update_fields=["state", "checked_at", "drift", "check_error"])
        _close(order, NumberOrder.State.FAILED if error else NumberOrder.State.DONE, error=error, detail=detail)
        action = "number.bought" if order.kind == Kind.BUY else "number.taken_in"
        audit.note(action, number, after={"carrier_sid": number.carrier_sid, "monthly_price": number.monthly_price})
        ensure_account(number.tenant)  # a trial may ring where its numbers are


# --- release -----------------------------------------------------------------------------------------------------------


def _release(order: NumberOrder, number: Number, gateway: NumberGateway) -> None:
    try:
        found = gateway.fetch_number(number.carrier_sid) if number.carrier_sid else _look(number, gateway)
    except GatewayError as error:
        if error.status != 404:
            if error.permanent and order.step == Step.REQUESTED:
                raise OrderFailed(explain(error), detail=str(error)) from error
            raise
        found = None  # given back by a run that died, or at the carrier's console
    if found is not None:
        if found.e164 != number.e164:
            raise OrderFailed(gettext("The carrier has another number under this one's id. Nothing was released."))
        if found.emergency_active:
            raise OrderFailed(explain(GatewayError("emergency address", permanent=True, code="21400")))
        _reach(order, Step.ORDERING)
        try:
            gateway.release_number(found.sid)
        except GatewayError as error:
            if not error.permanent:
                raise
            raise OrderFailed(explain(error), detail=str(error)) from error
    with transaction.atomic():
        number.state, number.released_at = Number.State.RELEASED, timezone.now()
        number.drift, number.check_error = [], ""
        number.save(update_fields=["state", "released_at", "drift", "check_error"])
        _close(order, NumberOrder.State.DONE)
        audit.note("number.released", number, before={"state": "active"}, after={"state": number.state})


# --- the order's own row -----------------------------------------------------------------------------------------------


def _reach(order: NumberOrder, step: NumberOrder.Step) -> None:
    order.step = step
    order.save(update_fields=["step"])


def _fail(order: NumberOrder, number: Number, failure: OrderFailed) -> None:
    with transaction.atomic():
        was = number.state
        number.state = Number.State.ACTIVE if order.kind == Kind.RELEASE else Number.State.FAILED
        number.save(update_fields=["state"])
        _close(order, NumberOrder.State.FAILED, error=str(failure), detail=failure.detail)
        audit.note(
            f"number.{order.kind}_failed",
            number,
            before={"state": was},
            after={"state": number.state, "why": str(failure)},
        )


def _close(order: NumberOrder, state: NumberOrder.State, *, error: str = "", detail: str = "") -> None:
    order.state, order.done_at = state, timezone.now()
    order.due_at, order.claimed_until = None, None
    order.error, order.error_detail = error, detail[:2000]
    if state == NumberOrder.State.DONE:
        order.step = Step.VERIFIED
    order.save(update_fields=["state", "done_at", "due_at", "claimed_until", "error", "error_detail", "step"])

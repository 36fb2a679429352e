"""Compares what the carrier has of each number with what we want, and puts it right (product 3.3). The result stands on the row."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from gateways.errors import GatewayError
from gateways.numbers import CarrierNumber, NumberGateway, open_numbers
from tenants import audit
from tenants.carrier_words import explain
from tenants.models import CarrierAccount, Number
from tenants.numbers.apply import apply_config
from tenants.numbers.config import CarrierConfig, Difference, find_differences

GONE = "number"  # the field that differs when the carrier has no such number


def check_numbers(account: CarrierAccount, wanted: Mapping[UUID, CarrierConfig]) -> int:
    """All active numbers of the tenant in scope against one list of the carrier's. Returns how many differ. Raises GatewayError."""
    owned = {one.sid: one for one in open_numbers(account.account_sid, account.auth_token).list_numbers()}
    differing = 0
    for number in Number.objects.filter(account=account, state=Number.State.ACTIVE, pk__in=wanted):
        differing += bool(_note_check(number, wanted[number.pk], owned.get(number.carrier_sid)))
    return differing


def check_number(number: Number, wanted: CarrierConfig) -> list[Difference]:
    """One number, now. What the carrier's failure means stands on the row; the number's last known drift stays."""
    try:
        found: CarrierNumber | None = _open(number).fetch_number(number.carrier_sid)
    except GatewayError as error:
        if error.status != 404:
            Number.objects.filter(pk=number.pk).update(check_error=explain(error), checked_at=timezone.now())
            raise
        found = None
    return _note_check(number, wanted, found)


def repair_number(number: Number, wanted: CarrierConfig) -> list[Difference]:
    """Put the carrier's configuration right in one request. Returns what still differs. Raises GatewayError."""
    gateway = _open(number)
    found = gateway.fetch_number(number.carrier_sid)
    before = find_differences(wanted, found)
    left = apply_config(gateway, found, wanted)
    with transaction.atomic():
        _save(number, left)
        if before:
            audit.note(
                "number.repaired",
                number,
                before={one.field: one.theirs for one in before},
                after={one.field: one.ours for one in before if one.field not in {rest.field for rest in left}},
            )
    return left


def _open(number: Number) -> NumberGateway:
    return open_numbers(number.account.account_sid, number.account.auth_token)


def _note_check(number: Number, wanted: CarrierConfig, found: CarrierNumber | None) -> list[Difference]:
    if found is None:
        differences = [Difference(GONE, number.e164, gettext("not in the account at the carrier any more"))]
    else:
        differences = find_differences(wanted, found)
    _save(number, differences)
    return differences


def _save(number: Number, differences: list[Difference]) -> None:
    number.drift = [{"field": one.field, "ours": one.ours, "theirs": one.theirs} for one in differences]
    number.checked_at, number.check_error = timezone.now(), ""
    number.save(update_fields=["drift", "checked_at", "check_error"])

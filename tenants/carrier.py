"""A tenant's account at the carrier: asked for, connected, tested, held. One atomic change each; tenants.carrier_work carries it out.

`ensure_account(tenant)` is what the life of a business calls: whenever its state, plan or trial changed. It never waits for the carrier.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext, ngettext

from gateways.errors import GatewayError
from gateways.telephony import CarrierAccountInfo, open_account
from tenants import audit
from tenants.carrier_words import explain
from tenants.models import CarrierAccount, Number, Tenant
from tenants.nudges import nudge_account
from tenants.scope import every_tenant, tenant_scope

_SHOWN = ("kind", "account_sid", "auth_token", "hold")


class AccountInUse(ValidationError):
    """The account cannot be exchanged while it owns numbers."""


@dataclass(frozen=True, slots=True)
class Tested:
    """What the carrier said to the test button."""

    is_ok: bool
    text: str


def has_managed_accounts() -> bool:
    """Whether this installation can open accounts for its tenants."""
    return bool(settings.TWILIO_ACCOUNT_SID and settings.TWILIO_AUTH_TOKEN)


def ensure_account(tenant: Tenant) -> CarrierAccount | None:
    """Bring the tenant's account in line with its row: opened, limited as a trial, suspended, resumed. Safe to repeat.

    The intent is written here, inside the caller's transaction; the work follows after commit. None when there is nothing to open:
    the tenant may not buy yet, or the operator has no account of its own.
    """
    with tenant_scope(tenant), transaction.atomic():
        account = CarrierAccount.objects.select_for_update().first()
        if account is None:
            if tenant.state != Tenant.State.ACTIVE or not has_managed_accounts():
                return None
            account = CarrierAccount(kind=CarrierAccount.Kind.MANAGED, state=CarrierAccount.State.OPENING)
            account.due_at = timezone.now()
            account.save()
            audit.note("carrier_account.requested", account, after={"kind": account.kind})
        elif account.is_managed:
            wake(account)
        else:
            return account  # the tenant's own: not ours to suspend
        nudge_account(account)
        return account


def wake(account: CarrierAccount) -> None:
    """Look at the account again now. A worker that is at it notices that `due_at` moved."""
    account.due_at = timezone.now()
    CarrierAccount.objects.filter(pk=account.pk).update(due_at=account.due_at, attempt=0)


def connect_own_account(*, account_sid: str, auth_token: str) -> CarrierAccount:
    """Use the tenant's own account, after the carrier has accepted the credentials. Raises ValidationError naming the field.

    The carrier is asked before anything is written: wrong credentials never replace right ones.
    """
    check_credentials(account_sid, auth_token)
    with transaction.atomic():
        account = CarrierAccount.objects.select_for_update().first() or CarrierAccount()
        before = audit.values_of(account, _SHOWN)
        if account.account_sid != account_sid:
            _check_not_in_use(account)
        account.kind, account.state = CarrierAccount.Kind.OWN, CarrierAccount.State.ACTIVE
        account.account_sid, account.auth_token, account.secondary_token = account_sid, auth_token, ""
        account.hold, account.limits, account.error, account.error_detail = CarrierAccount.Hold.NONE, "", "", ""
        account.due_at, account.claimed_until = None, None
        account.checked_at = timezone.now()
        account.check_tenant()
        account.full_clean(validate_constraints=False)
        if _is_taken(account):
            raise ValidationError({"account_sid": gettext("This account is connected to another business here.")})
        account.save()
        audit.note_change("carrier_account.connected", account, before=before, fields=_SHOWN)
    return account


def check_credentials(account_sid: str, auth_token: str) -> CarrierAccountInfo:
    """Raises ValidationError naming the field when the carrier does not accept them, or the account is not active."""
    if not auth_token:
        raise ValidationError({"auth_token": gettext("Give the auth token; the carrier's console shows it.")})
    try:
        info = open_account(account_sid, auth_token).fetch_account()
    except GatewayError as error:
        if error.status in (401, 403, 404):
            text = gettext("The carrier does not accept this account SID with this token. Copy both from its console.")
            raise ValidationError({"auth_token": text}) from error
        raise ValidationError({"account_sid": explain(error)}) from error
    if info.status != "active":
        text = gettext("This account is %(status)s at the carrier. Reactivate it there first.")
        raise ValidationError({"account_sid": text % {"status": info.status}})
    return info


def test_account(account: CarrierAccount) -> Tested:
    """Ask the carrier with what is stored. Changes nothing but the time of the look."""
    if not account.account_sid:
        return Tested(False, account.error or gettext("The account is still being opened."))
    try:
        info = open_account(account.account_sid, account.auth_token).fetch_account()
    except GatewayError as error:
        return Tested(False, explain(error))
    CarrierAccount.objects.filter(pk=account.pk).update(checked_at=timezone.now())
    if info.status != "active":
        return Tested(False, gettext("The carrier answers: the account is %(status)s.") % {"status": info.status})
    return Tested(
        True, gettext("The carrier accepts the credentials; the account “%(name)s” is active.") % {"name": info.name}
    )


def use_managed_account(tenant: Tenant) -> CarrierAccount | None:
    """Give the tenant's own account up for a managed one. Raises AccountInUse while it owns numbers."""
    with tenant_scope(tenant), transaction.atomic():
        account = CarrierAccount.objects.select_for_update().first()
        if account is not None and not account.is_managed:
            _check_not_in_use(account)
            before = audit.values_of(account, _SHOWN)
            account.kind, account.state = CarrierAccount.Kind.MANAGED, CarrierAccount.State.OPENING
            account.account_sid = account.auth_token = account.secondary_token = ""
            account.save()
            audit.note_change("carrier_account.disconnected", account, before=before, fields=_SHOWN)
        return ensure_account(tenant)


def hold_for_spending(account: CarrierAccount, *, spent: str) -> bool:
    """The trial's spend cap was reached: the account is suspended until the plan changes. Returns whether it was not held before."""
    with transaction.atomic():
        won = CarrierAccount.objects.filter(pk=account.pk, hold=CarrierAccount.Hold.NONE).update(
            hold=CarrierAccount.Hold.SPEND_CAP
        )
        if won:
            account.hold = CarrierAccount.Hold.SPEND_CAP
            audit.note(
                "carrier_account.held", account, before={"hold": ""}, after={"hold": account.hold, "spent": spent}
            )
            wake(account)
            nudge_account(account)
    return bool(won)


def _check_not_in_use(account: CarrierAccount) -> None:
    count = Number.objects.filter(account=account, state__in=Number.OWNED).count() if account.account_sid else 0
    if count:
        raise AccountInUse(
            {
                "account_sid": ngettext(
                    "The connected account owns %(count)d number: release it first, or give the same account's new token.",
                    "The connected account owns %(count)d numbers: release them first, or give the same account's new token.",
                    count,
                )
                % {"count": count}
            }
        )


def _is_taken(account: CarrierAccount) -> bool:
    with every_tenant(reason="an account at the carrier has one owner across all tenants"):
        return CarrierAccount.objects.filter(account_sid=account.account_sid).exclude(pk=account.pk).exists()

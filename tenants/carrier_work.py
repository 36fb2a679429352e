"""Brings a managed account at the carrier in line with its tenant: opened once, limited while on trial, suspended and resumed.

Every run looks at the carrier first and does what is missing, so it may die anywhere and be repeated: a subaccount carries its tenant's
marker as its name, and one that was made by a run that died is found by it. Only workers call this (it waits for the carrier).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import structlog
from django.conf import settings
from django.utils import timezone

from gateways.accounts import DialledCountry, LimitsGateway, ParentGateway, Subaccount, open_limits, open_parent
from gateways.errors import GatewayError
from tenants import audit
from tenants.carrier_words import explain
from tenants.models import CarrierAccount, Number, Tenant
from tenants.work import claim, put_off, settle

log = structlog.get_logger(__name__)

TRIGGER_NAME = "switchboard trial cap"
OPEN = "open"  # no limits of ours


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """What a trial may spend in all, and which countries it may ring."""

    cap: Decimal
    countries: frozenset[str]

    @property
    def key(self) -> str:
        """How a row remembers that the carrier holds just these."""
        return f"trial {self.cap.normalize():f} {','.join(sorted(self.countries))}"


def marker_of(tenant: Tenant) -> str:
    """The subaccount's name: what tells it from all others, and whose it is for people who read the carrier's console."""
    return f"{tenant.slug[:26]} sb-{tenant.pk.hex}"


def align_account(account_id: str) -> bool:
    """Claim and work on one account of the tenant in scope. Returns whether this worker won the claim."""
    account = claim(CarrierAccount, account_id)
    if account is None:
        return False
    parent = open_parent()
    if not account.is_managed or parent is None:
        settle(account)
        return True
    try:
        _align(account, parent)
    except GatewayError as error:
        # Nothing here is ever given up: a tenant without its account is found by its state, not by a parked row.
        log.warning("carrier_account_waits", account=str(account.pk), error=str(error))
        put_off(account, error=explain(error), detail=str(error))
    else:
        settle(account)
    return True


def _align(account: CarrierAccount, parent: ParentGateway) -> None:
    tenant = Tenant.objects.get(pk=account.tenant_id)
    is_wanted = tenant.state == Tenant.State.ACTIVE and account.hold == CarrierAccount.Hold.NONE
    if account.state == CarrierAccount.State.OPENING:
        if not is_wanted:
            return  # nothing was opened, and nothing is wanted now
        _open(account, parent, tenant)
    wanted = trial_limits(tenant)
    if account.hold == CarrierAccount.Hold.SPEND_CAP and wanted is None:
        _lift_hold(account)
        is_wanted = tenant.state == Tenant.State.ACTIVE
    if is_wanted and account.state == CarrierAccount.State.SUSPENDED:
        _set_state(account, parent, CarrierAccount.State.ACTIVE)  # first: a suspended account takes no limits either
    if account.state == CarrierAccount.State.ACTIVE:
        _limit(account, wanted)
    if not is_wanted and account.state == CarrierAccount.State.ACTIVE:
        _set_state(account, parent, CarrierAccount.State.SUSPENDED)


def _open(account: CarrierAccount, parent: ParentGateway, tenant: Tenant) -> None:
    """Look first: a run that died may have made it (product 3.4)."""
    name = marker_of(tenant)
    found = sorted(parent.find_subaccounts(name), key=lambda one: one.sid)
    made: Subaccount = found[0] if found else parent.create_subaccount(name)
    account.account_sid, account.auth_token = made.sid, made.auth_token
    account.state = CarrierAccount.State.SUSPENDED if made.status == "suspended" else CarrierAccount.State.ACTIVE
    account.checked_at = timezone.now()
    account.save(update_fields=["account_sid", "auth_token", "state", "checked_at"])
    audit.note("carrier_account.opened", account, after={"account_sid": account.account_sid})


def _set_state(account: CarrierAccount, parent: ParentGateway, state: CarrierAccount.State) -> None:
    parent.set_status(account.account_sid, "active" if state == CarrierAccount.State.ACTIVE else "suspended")
    before, account.state, account.checked_at = account.state, state, timezone.now()
    account.save(update_fields=["state", "checked_at"])
    action = "carrier_account.resumed" if state == CarrierAccount.State.ACTIVE else "carrier_account.suspended"
    audit.note(action, account, before={"state": before}, after={"state": account.state})


def _lift_hold(account: CarrierAccount) -> None:
    account.hold = CarrierAccount.Hold.NONE
    account.save(update_fields=["hold"])
    audit.note("carrier_account.hold_lifted", account, before={"hold": "spend_cap"}, after={"hold": ""})


# --- limits of a trial -------------------------------------------------------------------------------------------------


def trial_limits(tenant: Tenant) -> TrialLimits | None:
    """What holds for this tenant now; None without a trial. It may ring where its own numbers are, too."""
    if tenant.trial_ends_at is None:
        return None
    own = Number.objects.filter(state__in=Number.OWNED).exclude(country="").values_list("country", flat=True)
    return TrialLimits(settings.TRIAL_SPEND_CAP, frozenset(settings.TRIAL_COUNTRIES) | frozenset(own))


def _limit(account: CarrierAccount, wanted: TrialLimits | None) -> None:
    key = wanted.key if wanted else OPEN
    if account.limits == key or (not account.limits and wanted is None):
        return
    gateway = open_limits(account.account_sid, account.auth_token)
    _set_trigger(account, gateway, wanted)
    if wanted is None:
        gateway.set_inheritance(is_inherited=True)
    else:
        gateway.set_inheritance(is_inherited=False)
        gateway.set_countries(_differences(gateway.list_countries(), wanted.countries))
    before, account.limits = account.limits, key
    account.save(update_fields=["limits"])
    audit.note("carrier_account.limited", account, before={"limits": before}, after={"limits": key})


def _set_trigger(account: CarrierAccount, gateway: LimitsGateway, wanted: TrialLimits | None) -> None:
    """One trigger of ours, at the right height; the old one goes after the new one stands."""
    ours = [trigger for trigger in gateway.list_triggers() if trigger.name == TRIGGER_NAME]
    url = spend_url(account)
    fitting = [one for one in ours if wanted and one.limit == wanted.cap and one.callback_url == url]
    if wanted and not fitting:
        fitting = [gateway.create_trigger(TRIGGER_NAME, limit=wanted.cap, callback_url=url)]
    for trigger in ours:
        if trigger not in fitting[:1]:
            gateway.delete_trigger(trigger.sid)


def spend_url(account: CarrierAccount) -> str:
    """Asked by the carrier when the cap is passed (calls.webhooks)."""
    return f"{settings.PUBLIC_BASE_URL}/hooks/twilio/spend/{account.pk.hex}/"


def _differences(known: list[DialledCountry], allowed: frozenset[str]) -> list[DialledCountry]:
    """Only what changes is sent; high-risk prefixes are closed everywhere."""
    return [
        DialledCountry(country.iso, is_open=country.iso in allowed, has_high_risk=False)
        for country in known
        if country.is_open != (country.iso in allowed) or country.has_high_risk
    ]

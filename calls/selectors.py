"""Reads for the doors: who a webhook or a socket is about, found before any tenant is in scope. Writes nothing."""

from __future__ import annotations

import uuid

from calls.models import Call, Route, SipTrunk, TrialCall
from calls.vocabulary import CallState, Direction
from tenants.models import CarrierAccount, Number
from tenants.scope import every_tenant


def find_route(public_id: str) -> Route | None:
    """The route in a voice address, with all that the first answer needs, in one query."""
    with every_tenant(reason="a voice webhook's address names the number, and the number its tenant"):
        route: Route | None = (
            Route.objects.select_related("tenant", "number__account", "agent__published")
            .filter(public_id=public_id)
            .first()
        )
    return route


def find_trunk(public_id: str) -> SipTrunk | None:
    """The trunk in a disaster-recovery address."""
    with every_tenant(reason="a trunk's recovery address names the trunk, and the trunk its tenant"):
        trunk: SipTrunk | None = (
            SipTrunk.objects.select_related("tenant", "account").filter(public_id=public_id).first()
        )
    return trunk


def find_route_of(e164: str, account: CarrierAccount) -> Route | None:
    """Within the tenant in scope: the route of an active number of this account."""
    route: Route | None = (
        Route.objects.select_related("tenant", "number__account", "agent__published")
        .filter(number__e164=e164, number__account=account, number__state=Number.State.ACTIVE)
        .first()
    )
    return route


def find_account(account_sid: str) -> CarrierAccount | None:
    """The carrier account a request claims to come from; its token must still have signed it."""
    with every_tenant(reason="a webhook about an unknown number names only the carrier's account"):
        account: CarrierAccount | None = (
            CarrierAccount.objects.select_related("tenant")
            .filter(account_sid=account_sid)
            .exclude(account_sid="")
            .first()
        )
    return account


def find_account_by_ref(ref: str) -> CarrierAccount | None:
    """The carrier account in the address of a usage trigger."""
    try:
        account_id = uuid.UUID(hex=ref)
    except ValueError:
        return None
    with every_tenant(reason="a usage trigger's address names the account, and the account its tenant"):
        account: CarrierAccount | None = CarrierAccount.objects.select_related("tenant").filter(pk=account_id).first()
    return account


def find_call(ref: str) -> tuple[Call, CarrierAccount] | None:
    """The call in an address, with the account that owns it. None for anything that is no call of ours."""
    try:
        call_id = uuid.UUID(hex=ref)
    except ValueError:
        return None
    with every_tenant(reason="a call's address names the call, and the call its tenant"):
        call: Call | None = Call.objects.select_related("tenant", "number__account").filter(pk=call_id).first()
        if call is None:
            return None
        account = call.number.account if call.number else None
        if account is None or account.account_sid != call.account_sid:
            account = CarrierAccount.objects.filter(account_sid=call.account_sid, tenant_id=call.tenant_id).first()
    return (call, account) if account is not None else None


def find_trial(ref: str) -> TrialCall | None:
    """The test call in a browser's socket address, while nobody has answered it. None for anything else."""
    try:
        call_id = uuid.UUID(hex=ref)
    except ValueError:
        return None
    with every_tenant(reason="a browser's socket names the test call, and the call its tenant"):
        trial: TrialCall | None = (
            TrialCall.objects.select_related("call")
            .filter(call_id=call_id, call__direction=Direction.TEST, call__state=CallState.RINGING)
            .first()
        )
    return trial


def find_call_by_sid(carrier_sid: str) -> Call | None:
    """Within the tenant in scope."""
    call: Call | None = Call.objects.filter(carrier_sid=carrier_sid).first()
    return call

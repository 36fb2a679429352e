"""What a bridge asks of the house while it serves a call: end of session, recording, and moving the call by REST."""

from __future__ import annotations

import uuid

from django.db import transaction

from calls.models import Call
from calls.services.addresses import call_ref, recording_url, resume_url
from calls.services.announce import announce_call
from calls.services.closing import close_call, derive_end
from calls.services.leases import release_lease
from calls.services.recordings import note_started
from calls.services.trials import end_trial
from calls.vocabulary import CallState, Direction, EndReason, Fault
from gateways.telephony import TwilioGateway, open_account
from tenants.models import CarrierAccount


def session_finished(
    call_id: uuid.UUID, *, token: int, reason: str = "", fault: str = "", is_over: bool = False
) -> bool:
    """The bridge has let go. `is_over`: the carrier itself said so (a `stop`); otherwise it asks the resume URL what comes next.

    False: the lease was somebody else's by then, and nothing was changed.
    """
    with transaction.atomic():
        call = Call.objects.select_related("tenant").select_for_update(of=("self",)).get(pk=call_id)
        if not release_lease(call_id, token=token):
            return False
        if call.direction == Direction.TEST:  # no carrier asks what comes next
            end_trial(call, reason=reason, fault=fault)
        elif is_over and call.state != CallState.ENDED:
            end_reason, blamed = derive_end(call, "completed")
            if end_reason == EndReason.CALLER_HUNG_UP and reason:
                end_reason, blamed = EndReason.of(reason), Fault.of(fault) if fault else Fault.NONE
            close_call(call, end_reason=end_reason, fault=blamed)
        else:
            announce_call(call)
    return True


def start_recording(call: Call, *, offset_ms: int) -> str:
    """Have the carrier record the call from now on, both sides. The recording's SID. Raises GatewayError."""
    gateway = open_carrier(call)
    started = gateway.start_recording(call.carrier_sid, status_callback=recording_url(call_ref(call.pk)))
    note_started(call, started.sid, offset_ms=offset_ms)
    return started.sid


def ask_again(call: Call) -> None:
    """Have the carrier drop what it runs and ask the resume URL (a hung process, a store that is gone). Raises GatewayError."""
    open_carrier(call).update_call(call.carrier_sid, url=resume_url(call_ref(call.pk)))


def find_transfer(call: Call, e164: str) -> str:
    """The status of the leg that a transfer of this call made towards that number; empty while there is none. Raises GatewayError."""
    legs = open_carrier(call).list_calls(to_number=e164, parent_sid=call.carrier_sid, limit=20)
    statuses = [leg.status for leg in legs]
    return next((status for status in ("in-progress", "completed", *statuses) if status in statuses), "")


def let_go(call_id: uuid.UUID, *, token: int) -> bool:
    """Give a live call up for another process to take, in order. False: it was not ours any more."""
    return release_lease(call_id, token=token)


def open_carrier(call: Call) -> TwilioGateway:
    """The gateway of the account that owns the call."""
    account = CarrierAccount.objects.get(account_sid=call.account_sid)
    return open_account(account.account_sid, account.auth_token)

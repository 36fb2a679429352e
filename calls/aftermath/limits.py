"""Tells the carrier how long a live call may last at most, and where to report its end (product 6.6). The figure is the services'."""

from __future__ import annotations

import structlog

from calls.aftermath.steps import worker
from calls.models import AfterStep
from calls.services.addresses import call_ref, leg_status_url
from calls.services.live import open_carrier
from calls.services.time_limits import STEP
from calls.vocabulary import CallState
from gateways.errors import GatewayError

log = structlog.get_logger(__name__)

CALL_IS_OVER = "21220"  # twilio.md §4.3: an update of a call that has ended
CALL_IS_UNKNOWN = (
    "20404"  # the call never was this carrier's: the doctor rings with a double's; there is nothing to limit
)


@worker(STEP)
def set_time_limit(step: AfterStep) -> None:
    """One REST update. An older limit is skipped when a newer one was asked for, and a call that is over needs none."""
    call = step.call
    newest = AfterStep.objects.filter(call=call, step__startswith=f"{STEP}:").order_by("-id").first()
    if call.state == CallState.ENDED or newest is None or newest.pk != step.pk:
        return
    limit_s = int(step.step.partition(":")[2])
    try:
        open_carrier(call).update_call(
            call.carrier_sid, time_limit_s=limit_s, status_callback=leg_status_url(call_ref(call.pk))
        )
    except GatewayError as error:
        if error.code not in (CALL_IS_OVER, CALL_IS_UNKNOWN):
            raise
        log.info("time_limit_not_set", call_id=str(call.pk), code=error.code)

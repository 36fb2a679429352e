"""Calls whose end nobody reported: the carrier is asked, and its word closes the record (twilio.md §14: reconcile by REST sweep).

Runs beside the calls, at any time, in any number: each change is a conditional UPDATE elsewhere. A carrier that cannot be reached
decides nothing until no call can be that old.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone

from calls.models import Call, CallEvent, Leg, Process
from calls.services.closing import close_call, settle_ended_call
from calls.services.leases import DEAD_AFTER_S, is_process_dead, outdate_lease
from calls.services.legs import end_call_as_reported
from calls.services.live import ask_again, open_carrier
from calls.services.trials import reap_trial
from calls.vocabulary import CallState, Direction, EndReason, Fault, LegKind
from gateways.errors import GatewayError
from tenants.scope import every_tenant, tenant_scope

log = structlog.get_logger(__name__)

QUIET_S = 60  # nothing was heard of the call for so long: a dial rings 20 s, a stream arrives within 10
FRESH_S = 2.5  # a heartbeat a second, and one may be late
AT_MOST = 100  # a run: each is one REST request
SETTLE_AFTER_S = 30  # the number's status callback usually comes within a second
GIVE_UP_SETTLING_S = 900
OLDEST_GRACE_S = 600  # beyond the carrier's own limit no call lives


def reap_stale_calls() -> int:
    """Close calls that are over without our knowing, and take over the carrier's figures of those we closed. How many were settled."""
    return _for_each(_find_stale(), _reap) + _for_each(_find_unsettled(), _settle)


def recover_dead_calls() -> int:
    """Live calls of dead processes whose carrier has not asked again: have it ask (product 7.1). How many were asked for."""
    if not is_store_settled() or not _has_living_process():
        return 0
    with every_tenant(reason="a process that died held calls of any tenant"):
        late = Q(lease__process__heartbeat_at__lt=Now() - timedelta(seconds=DEAD_AFTER_S))
        stopped = Q(lease__process__stopped_at__isnull=False)
        calls = list(
            Call.objects.filter(late | stopped, state=CallState.LIVE, lease__released_at=None)
            .exclude(arrangement="trunk")  # the carrier runs no document there that could be replaced
            .select_related("tenant", "lease__process")
            .order_by("created_at")[:AT_MOST]
        )
    return _for_each(calls, _recover)


def _for_each(calls: Iterable[Call], work: Callable[[Call], bool]) -> int:
    """One call's trouble (an account that is gone, say) is logged and costs the others nothing."""
    done = 0
    for call in calls:
        with tenant_scope(call.tenant):
            try:
                done += work(call)
            except Exception:
                log.exception("watch_failed", call_id=str(call.pk), tenant_id=str(call.tenant_id))
    return done


def _find_stale() -> list[Call]:
    quiet_since = timezone.now() - timedelta(seconds=QUIET_S)
    with every_tenant(reason="the reaper looks for calls of all tenants that never ended"):
        recent = CallEvent.objects.filter(call=OuterRef("pk"), at__gt=quiet_since)
        return list(
            Call.objects.exclude(state=CallState.ENDED)
            .filter(~Exists(recent), created_at__lt=quiet_since)
            .select_related("tenant", "lease__process")
            .order_by("created_at")[:AT_MOST]
        )


def _find_unsettled() -> list[Call]:
    with every_tenant(reason="the reaper asks how long calls of all tenants really lasted"):
        running = Leg.objects.filter(call=OuterRef("pk"), kind=LegKind.CALLER, ended_at=None)
        return list(
            Call.objects.filter(
                Exists(running), state=CallState.ENDED, ended_at__lt=timezone.now() - timedelta(seconds=SETTLE_AFTER_S)
            )
            .select_related("tenant")
            .order_by("ended_at")[:AT_MOST]
        )


def is_store_settled() -> bool:
    """A store that has just come back shows every process as late: nobody takes over for one time-to-live (decision 5)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now() - pg_postmaster_start_time() > make_interval(secs => %s)", [2 * DEAD_AFTER_S])
        row = cursor.fetchone()
    return bool(row and row[0])


def _has_living_process() -> bool:
    """Somebody must be there to take the call; when all are late at once, it is the store that was away."""
    fresh = Now() - timedelta(seconds=FRESH_S)
    takers = Process.objects.filter(kind__in=["media", "web"])  # of streams; SIP has its control processes
    return takers.filter(heartbeat_at__gt=fresh, stopped_at=None, stopping_at=None).exists()


def _reap(call: Call) -> bool:
    if call.state == CallState.LIVE and not is_process_dead(call.lease.process):
        return False  # a long silence on the line is not the end of the call
    if call.direction == Direction.TEST:
        return reap_trial(call)
    try:
        known = open_carrier(call).fetch_call(call.carrier_sid)
    except GatewayError as error:
        return _reap_without_carrier(call, error)
    if not known.is_over:
        return False
    end_call_as_reported(
        call, status=known.status, duration_s=known.duration_s, ended_at=known.ended_at or timezone.now()
    )
    return True


def _reap_without_carrier(call: Call, error: GatewayError) -> bool:
    is_too_old = call.created_at < timezone.now() - timedelta(seconds=settings.CALL_TIME_LIMIT_S + OLDEST_GRACE_S)
    if error.status != 404 and not is_too_old:
        log.warning("reaper_waits", call_id=str(call.pk), error=str(error))
        return False
    # The carrier does not know the call, or it is older than any call can be.
    return close_call(
        call, end_reason=EndReason.REAPED, fault=Fault.CARRIER, ended_at=_last_sign(call), carrier_status="unknown"
    )


def _settle(call: Call) -> bool:
    assert call.ended_at is not None  # noqa: S101 # the query asked for ended calls
    try:
        known = open_carrier(call).fetch_call(call.carrier_sid)
    except GatewayError as error:
        is_hopeless = call.ended_at < timezone.now() - timedelta(seconds=GIVE_UP_SETTLING_S)
        if error.status != 404 and not is_hopeless:
            log.warning("reaper_waits", call_id=str(call.pk), error=str(error))
            return False
        settle_ended_call(call, duration_s=None, ended_at=call.ended_at)
        return True
    if not known.is_over:
        return False
    settle_ended_call(call, duration_s=known.duration_s, ended_at=known.ended_at or call.ended_at)
    return True


def _recover(call: Call) -> bool:
    # First the token: the stream that is torn down now says `stop`, and its holder must not take that for the caller's end.
    outdate_lease(call.pk, token=call.lease.token)
    if call.direction == Direction.TEST:
        return reap_trial(call)
    try:
        ask_again(call)
    except GatewayError as error:  # over already (21220), or the carrier is away: the reaper will know
        log.warning("recovery_failed", call_id=str(call.pk), error=str(error))
        return False
    log.info("recovery_asked", call_id=str(call.pk))
    return True


def _last_sign(call: Call) -> datetime:
    last = CallEvent.objects.filter(call=call).order_by("-at").values_list("at", flat=True).first()
    return last or call.created_at

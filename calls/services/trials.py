"""Test calls from the browser: a call without a carrier, served by the very consumer that serves callers (product 11.1).

It is a call of its own direction: in the ledger, because its model costs real money, and in no statistics. Nobody is dialled, nothing is
recorded at a carrier, and when its socket closes it is over: there is nobody to ask what comes next.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

import msgspec
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from agents.models import Agent, AgentVersion
from agents.spec import AgentSpec, to_builtins
from calls.models import Call, Lease, TrialCall
from calls.services.addresses import call_ref
from calls.services.announce import announce_call
from calls.services.closing import close_call, derive_end
from calls.services.notes import fresh_key, note_event
from calls.services.tickets import make_ticket
from calls.vocabulary import CallState, Direction, EndReason, EventKind, Fault
from tenants import audit
from tenants.ids import new_id
from tenants.models import Tenant, User

MAX_LIVE = 3  # test calls at once for one tenant: each occupies a model session
MAX_STARTS = 20  # by one member in ten minutes
STARTS_WINDOW = timedelta(minutes=10)
MAX_DURATION_S = 900  # a forgotten tab costs a quarter of an hour at most
_END_REASONS = frozenset(EndReason)  # a session also names causes: a lost stream is a page that was closed
SELF = "browser"  # stands where a carrier's numbers and account would


class TrialRefused(Exception):
    """No test call now; the text says why and when."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class StartedTrial:
    """What the browser needs to ring: it speaks Media Streams to `socket_url` and shows the ticket in its `start`."""

    call: Call
    socket_url: str
    stream_sid: str
    ticket: str = field(repr=False)


def start_trial(
    agent: Agent,
    spec: AgentSpec,
    *,
    by: User,
    origin: str,
    version: AgentVersion | None = None,
    draft_revision: int | None = None,
) -> StartedTrial:
    """Open the record of a test call with this agent. Raises TrialRefused. The caller checked that `by` may."""
    now = timezone.now()
    with transaction.atomic():
        tenant = Tenant.objects.select_for_update().get(pk=agent.tenant_id)  # counts below hold until commit
        _check_limits(tenant, by)
        call_id = new_id()
        call = Call.objects.create(
            id=call_id,
            agent=agent,
            agent_version=version,
            direction=Direction.TEST,
            carrier_sid=f"TC{call_id.hex}",
            account_sid=SELF,
            from_number=SELF,
            to_number=SELF,
            created_at=now,
            ticket_serial=1,
        )
        Lease.objects.create(call=call, token=0)
        limited = msgspec.structs.replace(spec, max_duration_s=min(spec.max_duration_s, MAX_DURATION_S))
        TrialCall.objects.create(
            call=call, spec=to_builtins(limited), draft_revision=draft_revision, started_by=by, origin=origin[:300]
        )
        data = {"from": SELF, "agent": agent.name, "by": by.email, "draft": draft_revision is not None}
        note_event(call, "x:trial", EventKind.RECEIVED, at=now, data=data)
        audit.note("agent.test_call", agent, after={"call": str(call.pk), "draft": draft_revision is not None})
        announce_call(call)
    ref = call_ref(call.pk)
    return StartedTrial(
        call=call,
        socket_url=media_socket_origin() + browser_path(ref),
        stream_sid=f"MZ{uuid.uuid4().hex}",
        ticket=make_ticket(ref, serial=1, issued_at=int(time.time())),
    )


def media_socket_origin() -> str:
    """Where a browser finds the media sockets; what the policy of the page that rings must allow."""
    base = urlsplit(settings.MEDIA_BASE_URL)
    return f"{'wss' if base.scheme == 'https' else 'ws'}://{base.netloc}"


def browser_path(ref: str) -> str:
    return f"{urlsplit(settings.MEDIA_BASE_URL).path}/media/browser/{ref}/"


def end_trial(call: Call, *, reason: str = "", fault: str = "") -> bool:
    """The socket is closed: the call is over, however the session meant to go on."""
    wanted = str(call.disposition.get("next", ""))
    if wanted in ("transfer", "voicemail"):
        data = {"contact": call.disposition.get("contact", ""), "status": "not_dialled", "test": True}
        note_event(call, fresh_key("x:transfer"), EventKind.TRANSFER, data=data)
        return close_call(call, end_reason=EndReason.AGENT_ENDED)
    if wanted == "ladder":
        blamed = str(call.disposition.get("fault", ""))
        return close_call(
            call, end_reason=EndReason.LADDER_EXHAUSTED, fault=Fault.of(blamed) if blamed else Fault.MODEL
        )
    if wanted == "resume":
        return close_call(call, end_reason=EndReason.REAPED, fault=Fault.US)
    end_reason, at_fault = derive_end(call, "completed")
    if end_reason == EndReason.CALLER_HUNG_UP and reason in _END_REASONS:
        end_reason, at_fault = EndReason.of(reason), Fault.of(fault) if fault else Fault.NONE
    return close_call(call, end_reason=end_reason, fault=at_fault)


def reap_trial(call: Call) -> bool:
    """Its page never rang, or its process is gone."""
    if call.state == CallState.RINGING:
        return close_call(call, end_reason=EndReason.NEVER_STARTED)
    return close_call(call, end_reason=EndReason.REAPED, fault=Fault.US)


def _check_limits(tenant: Tenant, by: User) -> None:
    if tenant.state != Tenant.State.ACTIVE:
        raise TrialRefused(_("This business is suspended; its agents answer no calls."), permanent=True)
    trials = Call.objects.filter(direction=Direction.TEST)
    if trials.exclude(state=CallState.ENDED).count() >= MAX_LIVE:
        raise TrialRefused(
            _("%(count)d test calls are running already. End one of them first.") % {"count": MAX_LIVE}, permanent=False
        )
    recent = TrialCall.objects.filter(started_by=by, call__created_at__gt=timezone.now() - STARTS_WINDOW)
    if recent.count() >= MAX_STARTS:
        raise TrialRefused(
            _("You started %(count)d test calls within ten minutes. Try again in a few minutes.")
            % {"count": MAX_STARTS},
            permanent=False,
        )

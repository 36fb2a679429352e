"""Live SIP calls between control processes: whose process died, who takes them over, and what became of their model side.

The heartbeat's lock drops with a process, so its calls are found within a second or two; the fencing token settles who has them
(decision 5). While the store itself has just come back nobody takes over.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import msgspec
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from calls.models import Call, Lease, Leg, Process
from calls.services.addresses import call_ref
from calls.services.announce import announce_call
from calls.services.disposition import save_disposition
from calls.services.leases import claim_lease, process_lock_key
from calls.services.notes import fresh_key, note_event
from calls.services.plan import build_plan
from calls.services.reaping import is_store_settled
from calls.services.sip_admission import Admitted
from calls.session.capabilities import Arrangement
from calls.session.commands import Leave
from calls.vocabulary import CallState, Cause, EventKind, Fault, LegKind
from tenants.scope import every_tenant, tenant_scope

MISSED_BEAT_S = 1.2  # a heartbeat a second; the lock that is gone says the rest


@dataclass(frozen=True, slots=True)
class Orphan:
    """A live SIP call that no process holds."""

    call_id: uuid.UUID
    token: int
    was_moved: bool = False  # let go in order, by a process that stops


def find_orphans(process_id: uuid.UUID, *, at_most: int) -> list[Orphan]:
    """Calls to attach to: their process died, or let go of them in order."""
    if not is_store_settled():
        return []
    dead = _find_dead_processes(process_id)
    left = Q(process=None) | Q(process__stopped_at__isnull=False) | Q(process__in=dead)
    with every_tenant(reason="a control process takes over SIP calls of all tenants"):
        rows = (
            Lease.objects.filter(left, call__state=CallState.LIVE, call__disposition={})
            .filter(call__legs__kind=LegKind.SIP, call__legs__ended_at=None)
            .order_by("call__created_at")
            .values_list("call_id", "token", "process")[:at_most]
        )
        return [Orphan(call_id, token, was_moved=process is None) for call_id, token, process in rows]


def _find_dead_processes(own: uuid.UUID) -> list[uuid.UUID]:
    """Late by the database's clock, and without their lock: a busy process may be late, a dead one holds no lock."""
    late = list(
        Process.objects.filter(stopped_at=None, heartbeat_at__lt=Now() - timedelta(seconds=MISSED_BEAT_S))
        .exclude(pk=own)
        .filter(leases__released_at=None)
        .distinct()
        .values_list("pk", flat=True)
    )
    if not late:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT classid::bigint, objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        held = {(int(high), int(low)) for high, low in cursor.fetchall()}
    return [
        process_id
        for process_id in late
        if ((process_lock_key(process_id) >> 32) & 0xFFFFFFFF, process_lock_key(process_id) & 0xFFFFFFFF) not in held
    ]


def take_over(orphan: Orphan, *, process_id: uuid.UUID) -> Admitted | None:
    """The call with all that its next session needs. None: somebody was faster, or it is over."""
    with every_tenant(reason="a control process takes over SIP calls of all tenants"):
        call: Call = Call.objects.select_related("tenant", "agent_version").get(pk=orphan.call_id)
    with tenant_scope(call.tenant):
        leg = Leg.objects.filter(call=call, kind=LegKind.SIP, ended_at=None).order_by("-started_at").first()
        if leg is None or call.state != CallState.LIVE:
            return None
        token = claim_lease(call, process_id=process_id, token=orphan.token)
        if token is None:
            return None
        call.resumes += 1
        Call.objects.filter(pk=call.pk).update(resumes=call.resumes, last_resume_at=timezone.now())
        note_event(
            call,
            f"w:attach:{token}",
            EventKind.RECOVERY,
            data={"cause": str(Cause.DEPLOY if orphan.was_moved else Cause.PROCESS_LOST), "token": token},
        )
        plan = build_plan(call, is_resumed=True, arrangement=arrangement_of(call), is_attached=True)
        plan = msgspec.structs.replace(plan, generation=token)
    return Admitted(call.tenant, call, call_ref(call.pk), token, leg.carrier_sid, plan)


def arrangement_of(call: Call) -> Arrangement:
    return Arrangement.SIP_TRUNK if call.arrangement == "trunk" else Arrangement.SIP_DIAL


def find_lost(held: Mapping[uuid.UUID, int]) -> set[uuid.UUID]:
    """Which of the calls that a process thinks it holds are somebody else's by now, or over."""
    if not held:
        return set()
    with every_tenant(reason="a control process looks whether its leases still hold"):
        rows = Lease.objects.filter(call_id__in=held).values_list("call_id", "token", "released_at")
        standing = {call_id for call_id, token, released in rows if token == held[call_id] and released is None}
    return set(held) - standing


def note_sip(call: Call, state: str, *, model_call_id: str, detail: str = "") -> None:
    """A point on the time line about the model's end."""
    data = {"state": state, "call_id": model_call_id, "detail": detail[:200]}
    note_event(call, fresh_key("x:sip"), EventKind.SIP, data={key: text for key, text in data.items() if text})


def accept_failed(admitted: Admitted, *, cause: Cause, fault: Fault, detail: str) -> None:
    """The model did not take the call: whoever asks next finds the way down the ladder, and the lease is free."""
    call = admitted.call
    with transaction.atomic():
        leave = Leave("ladder", cause=cause, fault=fault, detail=detail[:200])
        save_disposition(call.pk, leave, token=admitted.token)
        Leg.objects.filter(call=call, kind=LegKind.SIP, carrier_sid=admitted.model_call_id, ended_at=None).update(
            ended_at=timezone.now(), state="failed", duration_s=0
        )
        Lease.objects.filter(call=call, token=admitted.token).update(process=None, released_at=Now())
        note_sip(call, "refused", model_call_id=admitted.model_call_id, detail=f"{cause}: {detail}")
        announce_call(call)


def end_sip_leg(
    call: Call, *, model_call_id: str = "", duration_s: int | None = None, state: str = "completed"
) -> None:
    """The carrier's leg to the model is over."""
    legs = Leg.objects.filter(call=call, kind=LegKind.SIP, ended_at=None)
    if model_call_id:
        legs = legs.filter(carrier_sid=model_call_id)
    changes: dict[str, object] = {"ended_at": timezone.now(), "state": state}
    if duration_s is not None:
        changes["duration_s"] = duration_s
    legs.update(**changes)

"""The call record: the call itself, its legs, turns, tool runs, events and raw usage. Rows and constraints only.

Records carry ids and numbers made before they reach the database, so writing one twice changes nothing (decision 4).
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Func, Value

from agents.models import Agent, AgentVersion
from calls.models.choices import arrangement_field, known, known_arrangement, term_field
from calls.models.facets import KEEP_FACETS
from calls.vocabulary import (
    CallState,
    Direction,
    EndReason,
    EventKind,
    Fault,
    LegKind,
    Outcome,
    Path,
    Step,
    ToolStatus,
    TurnRole,
    TurnStatus,
)
from tenants.base import TenantModel
from tenants.models import Number


class Call(TenantModel):
    """One caller's contact with one number, however many legs, paths and processes it took."""

    number = models.ForeignKey(Number, on_delete=models.PROTECT, null=True, related_name="calls")
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, null=True, related_name="calls")
    agent_version = models.ForeignKey(AgentVersion, on_delete=models.PROTECT, null=True, related_name="calls")
    direction = term_field(Direction, default=Direction.INBOUND)
    path = term_field(Path, default=Path.STREAMS)
    arrangement = arrangement_field()
    state = term_field(CallState, default=CallState.RINGING)
    carrier_sid = models.CharField(max_length=34, unique=True)
    account_sid = models.CharField(max_length=34)
    from_number = models.CharField(max_length=64)  # E.164, or the carrier's words for a hidden caller (twilio.md §3.1)
    to_number = models.CharField(max_length=64)
    attestation = models.CharField(max_length=64, blank=True, default="")

    created_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    duration_s = models.PositiveIntegerField(null=True)
    outcome = term_field(Outcome, blank=True, default="")
    end_reason = term_field(EndReason, blank=True, default="")
    fault = term_field(Fault, blank=True, default="")

    ladder = ArrayField(
        models.CharField(max_length=32, choices=Step.choices()), default=list
    )  # as it stood at the start
    rung = models.PositiveSmallIntegerField(default=0)
    disposition = models.JSONField(
        default=dict
    )  # what the resume URL does next: session.commands.Leave as JSON, or empty
    resumes = models.PositiveSmallIntegerField(default=0)
    last_resume_at = models.DateTimeField(null=True)

    # Tickets are bound at first use (product 5.3.1): the stream that used this call's ticket, and how often one was handed out.
    ticket_serial = models.PositiveIntegerField(default=0)
    ticket_used_serial = models.PositiveIntegerField(default=0)

    # Denormalised for lists (decision 11); recomputed from the records by calls.services.totals.
    turn_count = models.PositiveIntegerField(default=0)
    barge_in_count = models.PositiveIntegerField(default=0)
    tool_ok_count = models.PositiveIntegerField(default=0)
    tool_failed_count = models.PositiveIntegerField(default=0)
    turn_latency_p95_ms = models.PositiveIntegerField(null=True)
    greeting_latency_ms = models.PositiveIntegerField(null=True)
    cost = models.DecimalField(max_digits=24, decimal_places=12, null=True)
    currency = models.CharField(max_length=3, blank=True, default="")
    flags = ArrayField(models.CharField(max_length=32), default=list)

    # What people keep about the call.
    tags = ArrayField(models.CharField(max_length=40), default=list, db_default=Value("{}"))
    reviewed_at = models.DateTimeField(null=True)
    reviewed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    review_reason = models.CharField(max_length=300, blank=True, default="", db_default="")

    # Last digits are how people remember a caller: reversed, they are the beginning of an index entry (decision 1). Byte order, so that
    # a range finds a beginning.
    caller_reversed = models.GeneratedField(
        expression=Func(
            Func(F("from_number"), Value(r"\D"), Value(""), Value("g"), function="regexp_replace"), function="reverse"
        ),
        output_field=models.CharField(max_length=64, db_collation="C"),
        db_persist=True,
    )

    class Meta:
        constraints = [
            known("direction", Direction, name="call_direction_known"),
            known("path", Path, name="call_path_known"),
            known_arrangement("call_arrangement_known"),
            known("state", CallState, name="call_state_known"),
            known("outcome", Outcome, name="call_outcome_known", blank=True),
            known("end_reason", EndReason, name="call_end_reason_known", blank=True),
            known("fault", Fault, name="call_fault_known", blank=True),
            models.CheckConstraint(
                condition=models.Q(state="ended", ended_at__isnull=False) & ~models.Q(end_reason="")
                | ~models.Q(state="ended") & models.Q(ended_at__isnull=True),
                name="call_end_is_whole",
            ),
            models.CheckConstraint(
                condition=models.Q(ticket_used_serial__lte=models.F("ticket_serial")),
                name="call_ticket_handed_out_first",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "-created_at", "-id"], name="call_by_time"),
            models.Index(fields=["tenant", "state"], condition=~models.Q(state="ended"), name="call_live"),
            models.Index(fields=["tenant", "caller_reversed"], name="call_by_caller"),
            # The columns a list can be sorted by besides time (decision 11: few, and each indexed).
            models.Index(
                fields=["tenant", "-duration_s", "-id"],
                condition=models.Q(duration_s__isnull=False),
                name="call_by_duration",
            ),
            models.Index(
                fields=["tenant", "-cost", "-id"], condition=models.Q(cost__isnull=False), name="call_by_cost"
            ),
            models.Index(
                fields=["tenant", "-turn_latency_p95_ms", "-id"],
                condition=models.Q(turn_latency_p95_ms__isnull=False),
                name="call_by_latency",
            ),
        ]
        triggers = [KEEP_FACETS]

    def __str__(self) -> str:
        return f"{self.from_number} → {self.to_number}"


class Leg(TenantModel):
    """One connection the carrier bills: the caller, a stream, a SIP leg to the model, a dialled person."""

    call = models.ForeignKey(Call, on_delete=models.PROTECT, related_name="legs")
    kind = term_field(LegKind)
    carrier_sid = models.CharField(max_length=64)  # of a SIP leg: the model's name of the call
    peer = models.CharField(max_length=64, blank=True, default="")
    state = models.CharField(max_length=16, default="in-progress")  # the carrier's word (twilio.md §4.2)
    status_sequence = models.IntegerField(default=-1)  # last SequenceNumber seen: callbacks arrive in any order (§3.5)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    duration_s = models.PositiveIntegerField(null=True)

    class Meta:
        constraints = [
            known("kind", LegKind, name="leg_kind_known"),
            models.UniqueConstraint(fields=["call", "kind", "carrier_sid"], name="leg_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.carrier_sid}"


class Turn(TenantModel):
    """One utterance: what was generated, and how much of it was heard. Times are ms on the call's clock."""

    call = models.ForeignKey(Call, on_delete=models.PROTECT, related_name="turns")
    sequence = models.PositiveIntegerField()
    revision = models.PositiveIntegerField(default=0)
    role = term_field(TurnRole)
    status = term_field(TurnStatus)
    item_id = models.CharField(max_length=64)
    previous_item_id = models.CharField(max_length=64, blank=True, default="")
    response_id = models.CharField(max_length=64, blank=True, default="")
    agent = models.CharField(max_length=100, blank=True, default="")
    phase = models.CharField(max_length=16, blank=True, default="")
    generated = models.TextField(blank=True, default="")
    heard = models.TextField(blank=True, default="")
    generated_ms = models.PositiveIntegerField(default=0)
    heard_ms = models.PositiveIntegerField(default=0)
    started_ms = models.PositiveIntegerField(default=0)
    ended_ms = models.PositiveIntegerField(null=True)
    model_latency_ms = models.PositiveIntegerField(null=True)
    turn_latency_ms = models.PositiveIntegerField(null=True)

    class Meta:
        constraints = [
            known("role", TurnRole, name="turn_role_known"),
            known("status", TurnStatus, name="turn_status_known"),
            models.UniqueConstraint(fields=["call", "sequence"], name="turn_once"),
            models.CheckConstraint(
                condition=models.Q(heard_ms__lte=models.F("generated_ms")), name="turn_heard_at_most_generated"
            ),
        ]
        ordering = ["sequence"]

    def __str__(self) -> str:
        return f"{self.sequence} {self.role}"


class ToolRun(TenantModel):
    """One tool call: its intent is here before its request leaves (product 5.4.2)."""

    call = models.ForeignKey(Call, on_delete=models.PROTECT, related_name="tool_runs")
    sequence = models.PositiveIntegerField()
    revision = models.PositiveIntegerField(default=0)
    tool_call_id = models.CharField(max_length=64)  # the model's own id of the function call
    name = models.CharField(max_length=64)
    agent = models.CharField(max_length=100, blank=True, default="")
    arguments = models.TextField(blank=True, default="")
    status = term_field(ToolStatus)
    output = models.TextField(blank=True, default="")
    started_ms = models.PositiveIntegerField(default=0)
    ended_ms = models.PositiveIntegerField(null=True)

    class Meta:
        constraints = [
            known("status", ToolStatus, name="tool_run_status_known"),
            models.UniqueConstraint(fields=["call", "sequence"], name="tool_run_once"),
        ]
        ordering = ["sequence"]

    def __str__(self) -> str:
        return f"{self.name} {self.status}"


class CallEvent(TenantModel):
    """One point on the call's time line. `key` names its source and number there: `s:12` session, `w:…` webhook, `x:…` service."""

    call = models.ForeignKey(Call, on_delete=models.PROTECT, related_name="events")
    key = models.CharField(max_length=80)
    kind = term_field(EventKind)
    at = models.DateTimeField()
    at_ms = models.PositiveIntegerField(default=0)
    data = models.JSONField(default=dict)

    class Meta:
        constraints = [
            known("kind", EventKind, name="call_event_kind_known"),
            models.UniqueConstraint(fields=["call", "key"], name="call_event_once"),
        ]
        ordering = ["at", "id"]

    def __str__(self) -> str:
        return self.kind


class UsageRecord(TenantModel):
    """The vendor's usage object as received (or its loss): the raw quantities that every price is computed from (product 9.2)."""

    call = models.ForeignKey(Call, on_delete=models.PROTECT, related_name="usage")
    sequence = models.PositiveIntegerField()
    kind = models.CharField(max_length=16)
    source_id = models.CharField(max_length=64)
    model = models.CharField(max_length=64)
    status = models.CharField(max_length=16)
    at_ms = models.PositiveIntegerField(default=0)
    usage = models.JSONField(null=True)
    estimated_audio_ms = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["call", "sequence"], name="usage_once"),
            models.CheckConstraint(
                condition=models.Q(kind__in=["response", "transcription", "judge"]), name="usage_kind_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.source_id}"

"""What keeps live calls alive: processes with a heartbeat, leases with a fencing token, the flight recorder, operator events."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from calls.models.call import Call
from tenants.base import TenantModel
from tenants.ids import new_id


class Process(models.Model):
    """A running process that may hold calls. Its heartbeat is the database's clock, once a second (decision 5)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=32, unique=True)  # stands in /media/<name>/…
    kind = models.CharField(max_length=16)
    started_at = models.DateTimeField(db_default=Now())
    heartbeat_at = models.DateTimeField(db_default=Now())
    stopping_at = models.DateTimeField(null=True)
    stopped_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=["media", "web", "sidebands"]), name="process_kind_known"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Lease(TenantModel):
    """Who holds a live call. Claimed by one conditional UPDATE; `token` grows with every claim and fences old holders off."""

    call = models.OneToOneField(Call, on_delete=models.PROTECT, related_name="lease")
    process = models.ForeignKey(Process, on_delete=models.PROTECT, null=True, related_name="leases")
    token = models.PositiveIntegerField(default=0)
    claimed_at = models.DateTimeField(null=True)
    released_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.call_id} #{self.token}"


class FlightChunk(TenantModel):
    """A piece of a session's (time, event) stream, as calls.session.flight encodes it; `manage.py replay` reads it back."""

    call = models.ForeignKey(Call, on_delete=models.PROTECT, related_name="flight")
    session = models.PositiveIntegerField()  # the lease token of the session that wrote it
    sequence = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["call", "session", "sequence"], name="flight_chunk_once")]
        ordering = ["session", "sequence"]

    def __str__(self) -> str:
        return f"{self.session}/{self.sequence}"


class OperatorEvent(models.Model):
    """Something the operator must know that belongs to no tenant: a call to a number nobody owns, a forged signature."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=32)
    at = models.DateTimeField(db_default=Now())
    data = models.JSONField(default=dict)

    class Meta:
        indexes = [models.Index(fields=["-at"], name="operator_event_by_time")]

    def __str__(self) -> str:
        return self.kind

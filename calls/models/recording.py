"""Recordings of a call: several per leg, each with its place on the call's clock; the sound lives in Django's storage."""

from __future__ import annotations

from django.db import models

from calls.models.call import Call
from tenants.base import TenantModel


def recording_path(recording: Recording, filename: str) -> str:
    """A private name: tenant and ids only, nothing a person said or owns."""
    return f"recordings/{recording.tenant_id}/{recording.call_id}/{recording.pk}.wav"


class Recording(TenantModel):
    """One recording: announced by us or by the carrier, fetched, then played from our own storage (product 8.5)."""

    class Kind(models.TextChoices):
        CALL = "call"
        VOICEMAIL = "voicemail"

    class State(models.TextChoices):
        RUNNING = "running"
        FETCHING = "fetching"
        STORED = "stored"
        ABSENT = "absent"
        FAILED = "failed"

    call = models.ForeignKey(Call, on_delete=models.PROTECT, related_name="recordings")
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.CALL)
    state = models.CharField(max_length=16, choices=State.choices, default=State.RUNNING)
    carrier_sid = models.CharField(max_length=34)
    offset_ms = models.PositiveIntegerField(default=0)
    duration_s = models.PositiveIntegerField(null=True)
    channels = models.PositiveSmallIntegerField(default=1)
    source = models.CharField(max_length=40, blank=True, default="")  # the carrier's word (twilio.md §4.5)
    file = models.FileField(upload_to=recording_path, blank=True)
    sha256 = models.CharField(max_length=64, blank=True, default="")
    peaks = models.BinaryField(null=True)  # one byte a bar and channel, interleaved: drawn without reading the sound
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["call", "carrier_sid"], name="recording_once"),
            models.CheckConstraint(condition=models.Q(kind__in=["call", "voicemail"]), name="recording_kind_known"),
            models.CheckConstraint(
                condition=models.Q(state__in=["running", "fetching", "stored", "absent", "failed"]),
                name="recording_state_known",
            ),
            models.CheckConstraint(
                condition=~models.Q(state="stored") | ~models.Q(file="") & ~models.Q(sha256=""),
                name="recording_stored_is_whole",
            ),
        ]

    def __str__(self) -> str:
        return self.carrier_sid

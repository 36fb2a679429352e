"""The outbox of e-mails: rows are the truth, a worker sends them (decision 9). Written and read by tenants.mail alone."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.crypto import EncryptedTextField
from tenants.ids import new_id


class OutgoingLetter(models.Model):
    """One e-mail. Belongs to a person, not to a tenant. Its text may hold a key to an account: encrypted, and wiped once it has left."""

    class State(models.TextChoices):
        DUE = "due", _("Waiting")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Given up")

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    to = models.EmailField()
    subject = models.CharField(max_length=200)
    text = EncryptedTextField(blank=True, default="")
    state = models.CharField(max_length=16, choices=State.choices, default=State.DUE)
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField(default=timezone.now)
    claimed_until = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(state__in=["due", "sent", "failed"]), name="letter_state_known"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["due_at"], condition=models.Q(state="due"), name="letter_due"),
        ]

    def __str__(self) -> str:
        return f"{self.to}: {self.subject}"

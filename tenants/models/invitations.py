"""Invitations to join a tenant: one link, one person, one role, for some days. Changed by tenants.members alone."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tenants.base import TenantModel
from tenants.models.people import Membership


class Invitation(TenantModel):
    """Open until it is accepted or revoked, or its time is over. Sending it again gives it a new `serial`: older links stop working."""

    class State(models.TextChoices):
        OPEN = "open", _("Waiting")
        ACCEPTED = "accepted", _("Accepted")
        REVOKED = "revoked", _("Revoked")

    email = models.EmailField()
    role = models.CharField(max_length=16, choices=Membership.Role.choices)
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    serial = models.PositiveIntegerField(default=1)
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    accepted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                models.F("tenant"), Lower("email"), condition=models.Q(state="open"), name="invitation_open_once"
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["open", "accepted", "revoked"]), name="invitation_state_known"
            ),
            models.CheckConstraint(
                condition=models.Q(role__in=["owner", "admin", "supervisor", "viewer"]), name="invitation_role_known"
            ),
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def is_over(self) -> bool:
        """Its time has run out."""
        return self.expires_at <= timezone.now()

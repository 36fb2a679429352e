"""Who did what, when and from where: rows that nobody changes or deletes (product 2.4). Written by tenants.audit alone."""

from __future__ import annotations

from typing import ClassVar

import pgtrigger
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.base import TenantModel


class AuditEntry(TenantModel):
    """One act: its name, what it was done to, the values before and after. Names are kept beside ids, since rows go away."""

    class ActorKind(models.TextChoices):
        PERSON = "person", _("Member")
        STAFF = "staff", _("Operator's staff")
        SYSTEM = "system", _("Switchboard")

    at = models.DateTimeField(auto_now_add=True)
    actor_kind = models.CharField(max_length=16, choices=ActorKind.choices)
    actor_id = models.UUIDField(null=True, blank=True)
    actor_name = models.CharField(max_length=254)
    action = models.CharField(max_length=64)  # "number.released": what it was done to, then what was done
    target_type = models.CharField(max_length=64)
    target_id = models.CharField(max_length=64, blank=True, default="")
    target_name = models.CharField(max_length=254, blank=True, default="")
    before = models.JSONField(default=dict, blank=True)
    after = models.JSONField(default=dict, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(actor_kind__in=["person", "staff", "system"]), name="audit_actor_known"
            ),
            models.CheckConstraint(condition=models.Q(action__regex=r"^[a-z_]+\.[a-z_]+$"), name="audit_action_form"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["tenant", "-at", "-id"], name="audit_by_time"),
            models.Index(fields=["tenant", "target_type", "target_id", "-at"], name="audit_by_target"),
        ]
        triggers: ClassVar[list[pgtrigger.Trigger]] = [
            pgtrigger.Protect(name="audit_append_only", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"{self.actor_name}: {self.action} {self.target_name}"

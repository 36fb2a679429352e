"""What a member's test call in the browser was started with; rows only (product 11.1)."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from calls.models.call import Call
from tenants.base import TenantModel


class TrialCall(TenantModel):
    """Beside a call with direction `test`: the agent as it was when the call began, which may be a draft that no version holds."""

    call = models.OneToOneField(Call, on_delete=models.PROTECT, related_name="trial")
    spec = models.JSONField()
    draft_revision = models.PositiveIntegerField(null=True)  # null: the published version served
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    origin = models.CharField(max_length=300)  # of the page: the socket must come from the same one

    def __str__(self) -> str:
        return f"trial {self.call_id}"

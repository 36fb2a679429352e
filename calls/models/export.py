"""An export of calls as work with progress (decision 11): a row that a worker claims, a private file, a link that expires. Rows only."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from tenants.base import TenantModel


def export_path(export: CallExport, filename: str) -> str:
    """A private name: tenant and ids only."""
    return f"exports/{export.tenant_id}/{export.pk}.{export.form}"


class CallExport(TenantModel):
    """One file of calls, asked for by a member. Claimed by a conditional UPDATE, safe to run twice, gone when it expires."""

    class Form(models.TextChoices):
        CSV = "csv"
        JSON = "json"

    class State(models.TextChoices):
        DUE = "due"
        DONE = "done"
        FAILED = "failed"
        EXPIRED = "expired"

    member = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    form = models.CharField(max_length=8, choices=Form.choices, default=Form.CSV)
    query = models.TextField(
        max_length=2000, blank=True, default=""
    )  # the list's query string, read again by the worker
    state = models.CharField(max_length=16, choices=State.choices, default=State.DUE)
    rows_done = models.PositiveIntegerField(default=0)
    rows_expected = models.PositiveIntegerField(null=True)
    file = models.FileField(upload_to=export_path, blank=True)
    size = models.PositiveBigIntegerField(default=0)
    error = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    done_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=["due", "done", "failed", "expired"]), name="call_export_state_known"
            ),
            models.CheckConstraint(condition=models.Q(form__in=["csv", "json"]), name="call_export_form_known"),
            models.CheckConstraint(
                condition=~models.Q(state="done") | ~models.Q(file="") & models.Q(expires_at__isnull=False),
                name="call_export_done_is_whole",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(state="due"), name="call_export_due"),
            models.Index(fields=["expires_at"], condition=models.Q(state="done"), name="call_export_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.form} {self.state}"

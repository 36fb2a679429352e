"""Work that follows a call, as rows: the truth that Celery is only a nudge for (decision 8)."""

from __future__ import annotations

from django.db import models

from calls.models.call import Call
from tenants.base import TenantModel


class AfterStep(TenantModel):
    """One step of one call. Claimed by a conditional UPDATE, retried with back-off, parked with its reason when it cannot succeed."""

    class State(models.TextChoices):
        DUE = "due"
        DONE = "done"
        PARKED = "parked"

    call = models.ForeignKey(Call, on_delete=models.PROTECT, related_name="after_steps")
    step = models.CharField(max_length=48)  # totals, carrier_cost, recording:<sid>
    state = models.CharField(max_length=16, choices=State.choices, default=State.DUE)
    due_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True, default="")
    done_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["call", "step"], name="after_step_once"),
            models.CheckConstraint(
                condition=models.Q(state__in=["due", "done", "parked"]), name="after_step_state_known"
            ),
        ]
        indexes = [models.Index(fields=["due_at"], condition=models.Q(state="due"), name="after_step_due")]

    def __str__(self) -> str:
        return f"{self.step} {self.state}"

"""Orders of members to live calls: rows that the process holding the call takes by a conditional UPDATE. Rows only."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from calls.models.call import Call
from calls.models.choices import known, term_field
from calls.vocabulary import OrderKind, OrderState
from tenants.base import TenantModel


class LiveOrder(TenantModel):
    """What a member wants done with a live call. The hint over the channel layer may be lost; this row is polled (decision 5)."""

    call = models.ForeignKey(Call, on_delete=models.PROTECT, related_name="orders")
    member = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    kind = term_field(OrderKind)
    text = models.TextField(max_length=1000, blank=True, default="")  # a note's words
    contact = models.CharField(max_length=100, blank=True, default="")
    state = term_field(OrderState, default=OrderState.ASKED)
    why = models.CharField(max_length=300, blank=True, default="")
    asked_at = models.DateTimeField()
    taken_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            known("kind", OrderKind, name="live_order_kind_known"),
            known("state", OrderState, name="live_order_state_known"),
        ]
        indexes = [models.Index(fields=["asked_at"], condition=models.Q(state="asked"), name="live_order_waiting")]
        ordering = ["asked_at", "id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.state}"


class Listener(TenantModel):
    """Somebody hears a live call. The lease is renewed by the listener's socket; sound flows only while one stands."""

    call = models.ForeignKey(Call, on_delete=models.PROTECT, related_name="listeners")
    member = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    started_at = models.DateTimeField()
    until = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["until"], condition=models.Q(stopped_at=None), name="listener_now")]

    def __str__(self) -> str:
        return f"{self.member_id} hears {self.call_id}"

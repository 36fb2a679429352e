"""What tenants' own systems are told: endpoints, deliveries and each attempt. Rows are the truth that Celery is only a nudge for."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from calls.models.call import Call
from calls.models.choices import known, term_field
from calls.vocabulary import DeliveryState, HookEvent
from tenants.base import TenantModel
from tenants.crypto import EncryptedTextField

MAX_URL_CHARS = 2_000


class WebhookEndpoint(TenantModel):
    """An address of the tenant's that is told of events. Removed ones stay: their deliveries are history."""

    url = models.CharField(max_length=MAX_URL_CHARS)
    description = models.CharField(max_length=200, blank=True, default="")
    events = ArrayField(models.CharField(max_length=32, choices=HookEvent.choices()))
    secret = EncryptedTextField()  # whsec_…, Standard Webhooks
    previous_secret = EncryptedTextField(blank=True, default="")  # signs beside the new one while a rotation overlaps
    previous_until = models.DateTimeField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    stopped_because = models.CharField(max_length=300, blank=True, default="")  # why Switchboard itself turned it off
    removed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "url"], condition=models.Q(removed_at=None), name="webhook_endpoint_once"
            ),
            models.CheckConstraint(condition=~models.Q(events=[]), name="webhook_endpoint_hears_something"),
        ]

    def __str__(self) -> str:
        return self.url


class WebhookDelivery(TenantModel):
    """One event for one endpoint: sent until it is taken, for at most 72 hours. Its id is the `webhook-id` of every attempt."""

    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.PROTECT, related_name="deliveries")
    event = term_field(HookEvent)
    subject = models.CharField(max_length=64)  # the id of what it is about: one event is told once
    call = models.ForeignKey(Call, on_delete=models.PROTECT, related_name="deliveries", null=True, blank=True)
    body = models.TextField()  # the very text that is signed
    state = term_field(DeliveryState, default=DeliveryState.DUE)
    due_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveSmallIntegerField(default=0)  # since it was last asked for; a replay begins anew
    error = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "event", "subject"], name="webhook_delivery_once"),
            known("event", HookEvent, name="webhook_delivery_event_known"),
            known("state", DeliveryState, name="webhook_delivery_state_known"),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(state="due"), name="webhook_delivery_due"),
            models.Index(fields=["tenant", "endpoint", "-created_at", "-id"], name="webhook_delivery_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.state}"

    @property
    def message_id(self) -> str:
        """The `webhook-id`: the same for each attempt and each replay, so that a receiver can drop what it has."""
        return f"msg_{self.pk.hex}"

    @property
    def delivery_state(self) -> DeliveryState:
        return DeliveryState.of(self.state)


class WebhookAttempt(TenantModel):
    """One request of a delivery and what came back."""

    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.CASCADE, related_name="attempts")
    at = models.DateTimeField(auto_now_add=True)
    duration_ms = models.PositiveIntegerField()
    status = models.PositiveSmallIntegerField(null=True)  # None: no answer
    answer = models.TextField(blank=True, default="")  # its beginning
    error = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        indexes = [models.Index(fields=["delivery", "-at"], name="webhook_attempt_by_time")]

    def __str__(self) -> str:
        return f"{self.status or self.error}"

"""Webhooks out: who is told what. Each change is atomic and audited; deliveries are rows, the nudge after commit is a courtesy."""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from agents.tools.fence import EgressFence, FenceError
from calls.models import Call, WebhookDelivery, WebhookEndpoint
from calls.services.announce import nudge_deliveries
from calls.vocabulary import DeliveryState, HookEvent
from tenants import audit
from tenants.ids import new_id

SECRET_BYTES = 32  # Standard Webhooks asks for 24 to 64
OVERLAP = timedelta(hours=24)  # both secrets sign for a day after a rotation
_AUDITED = ("url", "description", "events", "is_active")


def make_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


@transaction.atomic
def save_endpoint(
    endpoint: WebhookEndpoint | None, *, url: str, events: Sequence[str], description: str = "", is_active: bool = True
) -> WebhookEndpoint:
    """Add an endpoint to the tenant in scope (with a fresh secret), or change one. Raises ValidationError naming the field."""
    _check_url(url)
    before = audit.values_of(endpoint, _AUDITED) if endpoint else {}
    saved = endpoint or WebhookEndpoint(secret=make_secret())
    saved.url, saved.description, saved.is_active = url, description, is_active
    saved.events = [event for event in HookEvent if event in events and event is not HookEvent.TEST]
    if not saved.events:
        raise ValidationError({"events": _("Choose at least one event.")})
    if is_active:
        saved.stopped_because = ""
    try:
        with transaction.atomic():
            saved.save()
    except IntegrityError as error:
        raise ValidationError({"url": _("This address is on the list already.")}) from error
    if endpoint is None:
        audit.note("webhook.added", saved, after={"url": url, "events": list(saved.events)})
    else:
        audit.note_change("webhook.changed", saved, before=before, fields=_AUDITED)
    return saved


@transaction.atomic
def rotate_secret(endpoint: WebhookEndpoint) -> str:
    """A new secret signs from now on; the old one beside it for a day. Returns the new one, to be shown once."""
    endpoint.previous_secret, endpoint.previous_until = endpoint.secret, timezone.now() + OVERLAP
    endpoint.secret = make_secret()
    endpoint.save(update_fields=["secret", "previous_secret", "previous_until"])
    audit.note("webhook.secret_rotated", endpoint)
    return endpoint.secret


@transaction.atomic
def remove_endpoint(endpoint: WebhookEndpoint) -> None:
    """Nothing is sent there any more; its log stays."""
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(is_active=False, removed_at=timezone.now())
    WebhookDelivery.objects.filter(endpoint=endpoint, state=DeliveryState.DUE).update(
        state=DeliveryState.FAILED, done_at=timezone.now(), error=_("The address was removed.")
    )
    audit.note("webhook.removed", endpoint)


@transaction.atomic
def send_test(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """One event of no consequence, so that the receiver can be seen to answer."""
    subject = new_id()
    return _queue(endpoint, HookEvent.TEST, str(subject), {"id": str(subject), "message": "It works."}, call=None)


def tell(event: HookEvent, subject: uuid.UUID, data: Mapping[str, Any], *, call: Call | None = None) -> int:
    """Queue the event for every endpoint of the tenant in scope that wants it, once each. Returns how many there are.

    Call inside the transaction that makes it true.
    """
    wanting = list(WebhookEndpoint.objects.filter(is_active=True, removed_at=None, events__contains=[event.value]))
    for endpoint in wanting:
        _queue(endpoint, event, str(subject), data, call=call)
    return len(wanting)


def wants(event: HookEvent) -> bool:
    """Whether anybody listens, before an expensive body is made."""
    return WebhookEndpoint.objects.filter(is_active=True, removed_at=None, events__contains=[event.value]).exists()


@transaction.atomic
def replay(delivery: WebhookDelivery) -> bool:
    """Send it again from the beginning, with the same id. Returns False when it is waiting already, or its address is gone."""
    if delivery.endpoint.removed_at is not None:
        return False
    won = (
        WebhookDelivery.objects.filter(pk=delivery.pk)
        .exclude(state=DeliveryState.DUE)
        .update(state=DeliveryState.DUE, due_at=timezone.now(), claimed_until=None, attempt=0, error="", done_at=None)
    )
    if won:
        audit.note("webhook.replayed", delivery)
        nudge_deliveries([delivery])
    return bool(won)


def _queue(
    endpoint: WebhookEndpoint, event: HookEvent, subject: str, data: Mapping[str, Any], *, call: Call | None
) -> WebhookDelivery:
    now = timezone.now()
    body = json.dumps({"type": event.value, "timestamp": now.isoformat(), "data": data}, ensure_ascii=False)
    delivery, is_new = WebhookDelivery.objects.get_or_create(
        endpoint=endpoint, event=event, subject=subject, defaults={"body": body, "due_at": now, "call": call}
    )
    if is_new:
        nudge_deliveries([delivery])
    return delivery


def _check_url(url: str) -> None:
    """What can be known before a connection is made; the fence looks again at each delivery."""
    fence = EgressFence(allow=settings.TOOL_EGRESS_ALLOW)
    try:
        target = fence.read_url(url)
    except FenceError as error:
        raise ValidationError({"url": _("This address cannot be used: %(why)s.") % {"why": error}}) from error
    is_open = f"{target.host}:{target.port}" in settings.TOOL_EGRESS_ALLOW
    if target.scheme != "https" and not is_open:
        raise ValidationError(
            {"url": _("Write an address that begins with https://: what callers said travels in it.")}
        )

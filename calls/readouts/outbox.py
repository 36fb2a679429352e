"""What the screens read of webhooks: endpoints with their health, pages of deliveries, one delivery with its attempts; reads only."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max, Q
from django.utils import timezone

from calls.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from calls.readouts.access import NotFound
from calls.vocabulary import DeliveryState

PAGE = 50
RECENT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """An endpoint and how its last seven days went."""

    endpoint: WebhookEndpoint
    delivered: int
    failed: int
    waiting: int
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """Newest first. `older` is the cursor of the next page, empty on the last."""

    deliveries: list[WebhookDelivery]
    older: str


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """One delivery with every attempt, newest first, and its body laid out for reading."""

    delivery: WebhookDelivery
    attempts: list[WebhookAttempt]
    body: str


def list_endpoints() -> list[EndpointRow]:
    since = timezone.now() - RECENT
    recent = Q(deliveries__created_at__gte=since)
    rows = (
        WebhookEndpoint.objects.filter(removed_at=None)
        .annotate(
            delivered=Count("deliveries", filter=recent & Q(deliveries__state=DeliveryState.DELIVERED)),
            failed=Count("deliveries", filter=recent & Q(deliveries__state=DeliveryState.FAILED)),
            waiting=Count("deliveries", filter=Q(deliveries__state=DeliveryState.DUE)),
            last_at=Max("deliveries__done_at", filter=Q(deliveries__state=DeliveryState.DELIVERED)),
        )
        .order_by("url")
    )
    return [EndpointRow(row, row.delivered, row.failed, row.waiting, row.last_at) for row in rows]


def access_endpoint(endpoint_id: uuid.UUID) -> WebhookEndpoint:
    """Raises NotFound for a stranger's, or one that was removed."""
    found = WebhookEndpoint.objects.filter(pk=endpoint_id, removed_at=None).first()
    if found is None:
        raise NotFound("no such webhook")
    return found


def list_deliveries(endpoint: WebhookEndpoint, *, state: str = "", before: str = "") -> DeliveryPage:
    """One page of an endpoint's log; `before` is the cursor of the page before it, an unreadable one means the first page."""
    rows = WebhookDelivery.objects.filter(endpoint=endpoint).order_by("-created_at", "-id")
    if state in set(DeliveryState):
        rows = rows.filter(state=state)
    cursor = _read_cursor(before)
    if cursor:
        at, pk = cursor
        rows = rows.filter(Q(created_at__lt=at) | Q(created_at=at, id__lt=pk))
    found = list(rows.defer("body")[: PAGE + 1])
    last = found[PAGE - 1] if len(found) > PAGE else None
    return DeliveryPage(found[:PAGE], f"{last.created_at.isoformat()}_{last.pk}" if last else "")


def read_delivery(delivery_id: uuid.UUID) -> DeliveryView:
    """Raises NotFound."""
    found = WebhookDelivery.objects.select_related("endpoint", "call").filter(pk=delivery_id).first()
    if found is None:
        raise NotFound("no such delivery")
    attempts = list(WebhookAttempt.objects.filter(delivery=found).order_by("-at", "-id"))
    return DeliveryView(found, attempts, json.dumps(json.loads(found.body), ensure_ascii=False, indent=2))


def _read_cursor(text: str) -> tuple[datetime, uuid.UUID] | None:
    at, _, pk = text.rpartition("_")
    try:
        return datetime.fromisoformat(at), uuid.UUID(pk)
    except ValueError:
        return None

"""Sends webhooks to tenants' own systems, signed after Standard Webhooks, through the egress fence, for at most 72 hours (product 8.4).

A worker claims a delivery by a conditional UPDATE; one that dies leaves an expired claim for the sweeper. Every attempt is on record.
Redirects are not followed: a signed body goes to the address that was written down, or nowhere.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from standardwebhooks import Webhook

from agents.tools.client import ExchangeError, Progress, Request, ToolClient
from agents.tools.fence import EgressFence, FenceError
from calls.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from calls.vocabulary import DeliveryState

log = structlog.get_logger(__name__)

TIMEOUT_S = 15.0  # Standard Webhooks: 15 to 30 s; a receiver should take it first and work later
CLAIM_SECONDS = 60  # above the time-out: a claim never expires under a worker that still sends
# Seconds before each further attempt: 71 h 36 min in all (product 8.4: up to 72 h).
PAUSES_S = (5, 60, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 64_800, 79_200)
MAX_KEPT_CHARS = 4_096  # of what the receiver answered
LONGEST_RETRY_AFTER_S = 24 * 3600.0
GONE = 410  # Standard Webhooks: the receiver wants no more, ever
USER_AGENT = "Switchboard-Webhooks/1"


@dataclass(frozen=True, slots=True)
class Told:
    """How one request ended. `status` None: there was no answer. `retry_after_s`: what the receiver asked for."""

    status: int | None
    answer: str
    error: str
    is_permanent: bool = False
    retry_after_s: float | None = None

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def deliver(delivery_id: str) -> bool:
    """Claim and send one delivery of the tenant in scope. Returns whether this worker won the claim."""
    delivery = _claim(delivery_id)
    if delivery is None:
        return False
    began = time.monotonic()
    told = send(delivery)
    took_ms = int((time.monotonic() - began) * 1000)
    with transaction.atomic():
        WebhookAttempt.objects.create(
            delivery=delivery, duration_ms=took_ms, status=told.status, answer=told.answer, error=told.error[:300]
        )
        _settle(delivery, told)
    return True


def send(delivery: WebhookDelivery) -> Told:
    """One signed request. Never raises for what a receiver can do."""
    fence = EgressFence(allow=settings.TOOL_EGRESS_ALLOW)
    try:
        target = fence.read_url(delivery.endpoint.url)
    except FenceError as error:
        return Told(None, "", _("The address cannot be used: %(why)s.") % {"why": error}, is_permanent=True)
    headers = (("Content-Type", "application/json"), ("Accept", "*/*"), *sign(delivery, at=timezone.now()))
    request = Request("POST", target, headers, body=delivery.body.encode())
    return asyncio.run(_exchange(fence, request))


def sign(delivery: WebhookDelivery, *, at: datetime) -> list[tuple[str, str]]:
    """The three headers of Standard Webhooks; while a rotation overlaps, both secrets sign."""
    endpoint = delivery.endpoint
    keys = [endpoint.secret]
    if endpoint.previous_secret and endpoint.previous_until and endpoint.previous_until > at:
        keys.append(endpoint.previous_secret)
    moment = at.astimezone(UTC)
    signatures = [Webhook(key).sign(delivery.message_id, moment, delivery.body) for key in keys]
    return [
        ("webhook-id", delivery.message_id),
        ("webhook-timestamp", str(int(moment.timestamp()))),
        ("webhook-signature", " ".join(signatures)),
    ]


async def _exchange(fence: EgressFence, request: Request) -> Told:
    client = ToolClient(fence, ssl_context=_trust(), user_agent=USER_AGENT)
    try:
        answer = await client.exchange(request, timeout_s=TIMEOUT_S, progress=Progress(), follows=False)
    except ExchangeError as error:
        return Told(None, "", str(error), is_permanent=error.fault == "fenced")
    except TimeoutError:
        return Told(None, "", _("No answer within %(seconds)d s.") % {"seconds": TIMEOUT_S})
    finally:
        await client.aclose()
    text = answer.body.decode("utf-8", "replace").replace("\x00", "\ufffd")[:MAX_KEPT_CHARS]
    why = "" if 200 <= answer.status < 300 else _("It answered %(status)d.") % {"status": answer.status}
    if 300 <= answer.status < 400:
        why = _("It answered %(status)d; redirects are not followed. Write down the address it leads to.") % {
            "status": answer.status
        }
    return Told(answer.status, text, why, retry_after_s=_read_retry_after(answer.headers.get("retry-after", "")))


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


def _read_retry_after(text: str) -> float | None:
    """Seconds, or an HTTP date (RFC 9110 §10.2.3); nonsense counts as nothing."""
    try:
        seconds = float(text) if text.isdecimal() else (parsedate_to_datetime(text) - timezone.now()).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


def _claim(delivery_id: str) -> WebhookDelivery | None:
    now = timezone.now()
    with transaction.atomic():
        won = (
            WebhookDelivery.objects.filter(pk=delivery_id, state=DeliveryState.DUE, due_at__lte=now)
            .filter(Q(claimed_until=None) | Q(claimed_until__lt=now))
            .update(claimed_until=now + timedelta(seconds=CLAIM_SECONDS), attempt=F("attempt") + 1)
        )
        return WebhookDelivery.objects.select_related("endpoint").get(pk=delivery_id) if won else None


def _settle(delivery: WebhookDelivery, told: Told) -> None:
    mine = WebhookDelivery.objects.filter(pk=delivery.pk, state=DeliveryState.DUE, attempt=delivery.attempt)
    now = timezone.now()
    if told.is_taken:
        mine.update(state=DeliveryState.DELIVERED, done_at=now, claimed_until=None, error="")
        return
    if told.status == GONE:
        WebhookEndpoint.objects.filter(pk=delivery.endpoint_id).update(
            is_active=False, stopped_because=_("The address answered 410 Gone: it wants no more webhooks.")
        )
    if told.is_permanent or told.status == GONE or delivery.attempt > len(PAUSES_S):
        mine.update(state=DeliveryState.FAILED, done_at=now, claimed_until=None, error=told.error[:300])
        log.warning("webhook_given_up", delivery_id=str(delivery.pk), error=told.error)
        return
    # Up to a fifth earlier, never later: receivers that were down together are not asked together, and 72 h stay 72 h.
    pause_s = PAUSES_S[delivery.attempt - 1] * random.uniform(0.8, 1.0)
    if told.retry_after_s is not None:
        pause_s = max(pause_s, told.retry_after_s)
    mine.update(due_at=now + timedelta(seconds=pause_s), claimed_until=None, error=told.error[:300])

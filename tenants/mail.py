"""Sends e-mails from the outbox: one conditional UPDATE claims a letter, a refusal or an absent server is retried, then given up.

Callers only queue; nobody waits for a mail server.
"""

from __future__ import annotations

import random
import uuid
from datetime import timedelta

import structlog
from celery import current_app
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from kombu.exceptions import OperationalError

from gateways import mail
from gateways.errors import GatewayError
from tenants.models import OutgoingLetter

log = structlog.get_logger(__name__)

CLAIM_SECONDS = 60  # above EMAIL_TIMEOUT_S for each of the handful of commands of one delivery
FIRST_BACK_OFF_SECONDS = 15.0
ATTEMPTS = 9  # with the back-off below about two hours: longer than a mail server's restart, shorter than a link's life
SWEEP_AT_MOST = 100
SEND_LETTERS = "tenants.tasks.send_letters"


def queue_mail(*, to: str, subject: str, text: str) -> OutgoingLetter:
    """Put a letter into the outbox; it leaves after commit. Call inside the transaction that makes it necessary."""
    letter = OutgoingLetter.objects.create(to=to, subject=subject[:200], text=text)
    transaction.on_commit(_nudge)
    return letter


def send_due() -> int:
    """Send what is due; returns how many letters left."""
    now = timezone.now()
    due = OutgoingLetter.objects.filter(state=OutgoingLetter.State.DUE, due_at__lte=now)
    keys = due.filter(Q(claimed_until=None) | Q(claimed_until__lt=now)).order_by("due_at").values_list("pk", flat=True)
    return sum(_send(letter) for key in list(keys[:SWEEP_AT_MOST]) if (letter := _claim(key)))


def _claim(key: uuid.UUID) -> OutgoingLetter | None:
    now = timezone.now()
    won = (
        OutgoingLetter.objects.filter(pk=key, state=OutgoingLetter.State.DUE, due_at__lte=now)
        .filter(Q(claimed_until=None) | Q(claimed_until__lt=now))
        .update(claimed_until=now + timedelta(seconds=CLAIM_SECONDS), attempt=F("attempt") + 1)
    )
    return OutgoingLetter.objects.get(pk=key) if won else None


def _send(letter: OutgoingLetter) -> bool:
    try:
        mail.send(mail.Letter(key=str(letter.pk), to=letter.to, subject=letter.subject, text=letter.text))
    except GatewayError as error:
        _put_off(letter, error)
        return False
    _settle(letter, state=OutgoingLetter.State.SENT, sent_at=timezone.now(), text="", error="")
    return True


def _put_off(letter: OutgoingLetter, error: GatewayError) -> None:
    log.warning("letter_not_sent", letter=str(letter.pk), attempt=letter.attempt, code=error.code, error=str(error))
    if error.permanent or letter.attempt >= ATTEMPTS:
        _settle(letter, state=OutgoingLetter.State.FAILED, text="", error=str(error)[:200])
        return
    wait = FIRST_BACK_OFF_SECONDS * 2 ** (letter.attempt - 1) * random.uniform(0.8, 1.2)  # noqa: S311 # spreads retries
    _settle(letter, due_at=timezone.now() + timedelta(seconds=wait), error=str(error)[:200])


def _settle(letter: OutgoingLetter, **values: object) -> None:
    # Only the attempt that holds the claim may settle it: a slow one that lost it finds no row.
    OutgoingLetter.objects.filter(pk=letter.pk, attempt=letter.attempt).update(claimed_until=None, **values)


def _nudge() -> None:
    try:
        current_app.send_task(SEND_LETTERS, retry=False)  # by name: the tasks stand above the services
    except OperationalError as error:
        log.warning("letter_nudge_lost", error=type(error).__name__)  # the sweeper finds it (decision 9)

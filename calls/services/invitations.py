"""Invitations of the model's SIP edge: taken in once, claimed by one control process, and told how they ended (product 5.2.2).

A row is written before the vendor gets its 200; whoever claims it works outside the request. Nothing in an invitation is believed here.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from calls.models import SipInvitation
from calls.services.announce import nudge_sidebands

log = structlog.get_logger(__name__)

CLAIM_S = 15  # an accept takes up to OPENAI_TIMEOUT_S; a process that dies over it is followed by another
STALE_S = 60  # §2.3: retries older than the ring time are about calls that no longer exist
KEPT_S = 86_400  # what the caller's side sent is of no use after a day
MOST_HEADERS, LONGEST_HEADER = 60, 1_000


class MalformedInvitation(ValueError):
    """A genuine webhook that does not hold what the vendor documents."""

    permanent = True


def take_in(webhook_id: str, data: Mapping[str, Any]) -> bool:
    """Remember the invitation. False: this webhook, or this call, is known already. Raises MalformedInvitation."""
    model_call_id = data.get("call_id")
    if not isinstance(model_call_id, str) or not 4 <= len(model_call_id) <= 64 or not model_call_id.isascii():
        raise MalformedInvitation("data.call_id is missing or malformed")
    rows = SipInvitation.objects.bulk_create(
        [
            SipInvitation(
                webhook_id=webhook_id[:128],
                model_call_id=model_call_id,
                headers=_read_headers(data.get("sip_headers")),
                media_security=str(data.get("sip_media_security") or "")[:16],
            )
        ],
        ignore_conflicts=True,
    )
    is_new = SipInvitation.objects.filter(pk=rows[0].pk).exists()
    if is_new:
        transaction.on_commit(nudge_sidebands)
    return is_new


def claim_invitations(process_id: uuid.UUID, *, at_most: int) -> list[SipInvitation]:
    """Those that nobody works on, oldest first; each goes to one process."""
    with transaction.atomic():
        waiting = Q(state=SipInvitation.State.PENDING) | Q(state=SipInvitation.State.CLAIMED, claimed_until__lt=Now())
        found = list(
            SipInvitation.objects.select_for_update(skip_locked=True)
            .filter(waiting, received_at__gt=Now() - timedelta(seconds=STALE_S))
            .order_by("received_at")[:at_most]
        )
        if found:
            SipInvitation.objects.filter(pk__in=[row.pk for row in found]).update(
                state=SipInvitation.State.CLAIMED,
                process_id=process_id,
                claimed_until=Now() + timedelta(seconds=CLAIM_S),
            )
    return found


def end_invitation(invitation_id: uuid.UUID, *, state: str, reason: str = "") -> None:
    """Nothing more is to be done about it."""
    SipInvitation.objects.filter(pk=invitation_id).update(state=state, reason=reason[:200], claimed_until=None)


def prove(invitation_id: uuid.UUID, *, carrier_sid: str) -> bool:
    """Bind the invitation to the carrier's call that proves it. False: that call proved another one already."""
    with transaction.atomic():
        if SipInvitation.objects.filter(carrier_sid=carrier_sid).exclude(pk=invitation_id).exists():
            return False
        SipInvitation.objects.filter(pk=invitation_id).update(carrier_sid=carrier_sid)
    return True


def forget_old_invitations() -> int:
    """Delete what is of no use any more; it holds callers' numbers."""
    deleted, _ = SipInvitation.objects.filter(received_at__lt=Now() - timedelta(seconds=KEPT_S)).delete()
    return deleted


def find_header(headers: list[list[str]], name: str) -> str:
    """The first value of that name; empty when there is none."""
    return next((value for key, value in headers if key.lower() == name.lower()), "")


def find_parameter(headers: list[list[str]], name: str) -> str:
    """Our own header; some edges hand it on as a parameter of the `To` address instead (openai-realtime.md §2.1)."""
    direct = find_header(headers, name)
    if direct:
        return direct
    for part in find_header(headers, "To").replace("?", ";").replace("&", ";").rstrip(">").split(";"):
        key, _, value = part.partition("=")
        if key.strip().lower() == name.lower():
            return value.strip("<>")
    return ""


def _read_headers(given: object) -> list[list[str]]:
    """In order, repeats kept, bounded. Raises MalformedInvitation."""
    if not isinstance(given, list):
        raise MalformedInvitation("data.sip_headers is no list")
    read: list[list[str]] = []
    for entry in given[:MOST_HEADERS]:
        if isinstance(entry, dict) and isinstance(entry.get("name"), str) and isinstance(entry.get("value"), str):
            read.append([_clean(entry["name"]), _clean(entry["value"])])
    return read


def _clean(text: str) -> str:
    return text.replace("\x00", "")[:LONGEST_HEADER]  # PostgreSQL's JSON takes no NUL

"""Where a call goes when its stream ends, as its present holder says; an old holder's word changes nothing (decision 5)."""

from __future__ import annotations

import uuid

import msgspec
from django.db.models import Exists, OuterRef

from calls.models import Call, Lease
from calls.session.commands import Leave
from calls.vocabulary import CallState


def save_disposition(call_id: uuid.UUID, leave: Leave, *, token: int) -> bool:
    """Make the word durable before the socket closes. False: the lease went to somebody else, or the call is over."""
    holds = Lease.objects.filter(call=OuterRef("pk"), token=token, released_at=None)
    return bool(
        Call.objects.filter(Exists(holds), pk=call_id)
        .exclude(state=CallState.ENDED)
        .update(disposition=msgspec.to_builtins(leave))
    )

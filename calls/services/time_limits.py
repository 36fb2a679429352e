"""The carrier-side limit of a call: its cost is bounded even when all our processes are dead (product 6.6). Asked for as an after-step."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone

from calls.models import Call
from calls.services.after_steps import add_steps

GRACE_S = 60  # product 6.6: cap + 60 s
STEP = "time_limit"


def limit_call(call: Call, more_s: int) -> None:
    """Have the carrier end the call `more_s` + 60 s from now at the latest. Replaces any earlier limit."""
    start = call.answered_at or call.created_at
    elapsed_s = max(0, round((timezone.now() - start).total_seconds()))
    limit_s = min(elapsed_s + more_s + GRACE_S, settings.CALL_TIME_LIMIT_S)
    add_steps(call, [f"{STEP}:{limit_s}"])

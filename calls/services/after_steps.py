"""Puts work on a call's list for later; the rows are the truth, the nudge after commit is a courtesy. Does none of it itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta

from django.utils import timezone

from calls.models import AfterStep, Call, Recording
from calls.services.announce import nudge_steps

TOTALS = "totals"
CARRIER_COST = "carrier_cost"
FETCH_DELAY_S = 2.0  # after `completed` the media may still 404 for a moment (twilio.md §8.2)


def add_steps(call: Call, names: Iterable[str], *, delay_s: float = 0.0) -> None:
    """Have these steps done once each; adding one again changes nothing. Call inside the transaction that makes it necessary."""
    due_at = timezone.now() + timedelta(seconds=delay_s)
    steps = [AfterStep(call=call, tenant_id=call.tenant_id, step=name, due_at=due_at) for name in names]
    AfterStep.objects.bulk_create(steps, ignore_conflicts=True)
    if not delay_s:
        nudge_steps(call, steps)


def add_recording_fetch(recording: Recording, *, delay_s: float = 0.0) -> None:
    add_steps(recording.call, [f"recording:{recording.pk}"], delay_s=delay_s)


def repeat_totals(call_ids: Iterable[uuid.UUID]) -> None:
    """Records of these calls came in: where the totals were made already, have them made again. The sweeper finds them."""
    AfterStep.objects.filter(call_id__in=call_ids, step=TOTALS, state=AfterStep.State.DONE).update(
        state=AfterStep.State.DUE, due_at=timezone.now(), done_at=None, attempt=0
    )


def hasten_steps(call: Call, name: str) -> None:
    """What the step waited for is here: have it done now."""
    steps = list(AfterStep.objects.filter(call=call, step=name, state=AfterStep.State.DUE))
    if steps:
        AfterStep.objects.filter(pk__in=[step.pk for step in steps], state=AfterStep.State.DUE).update(
            due_at=timezone.now()
        )
        nudge_steps(call, steps)

"""The step engine: rows are the truth, a worker claims one by a conditional UPDATE, does it, and says how it went (decision 8).

A worker that dies leaves an expired claim, which the sweeper hands out again; every step is safe to run twice.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from calls.models import AfterStep
from calls.services.announce import announce_call
from gateways.errors import GatewayError

log = structlog.get_logger(__name__)

CLAIM_SECONDS = 150  # above CELERY_TASK_TIME_LIMIT: a claim never expires under a worker that still runs
ATTEMPTS = 8  # with the back-off below about 1 h 25 min in all
FIRST_BACK_OFF_SECONDS = 10.0

Worker = Callable[[AfterStep], None]
_workers: dict[str, Worker] = {}


class StepLater(Exception):
    """Not an error: what the step needs is not there yet (a recording still processing, a price still missing)."""

    def __init__(self, reason: str, *, seconds: float) -> None:
        super().__init__(reason)
        self.seconds = seconds


def worker(kind: str) -> Callable[[Worker], Worker]:
    """Registers the function that does steps named `kind` or `kind:<detail>`."""

    def register(function: Worker) -> Worker:
        _workers[kind] = function
        return function

    return register


def run_step(step_id: str) -> bool:
    """Claim and run one step of the tenant in scope. Returns whether this worker won the claim."""
    step = _claim(step_id)
    if step is None:
        return False
    with structlog.contextvars.bound_contextvars(tenant_id=str(step.tenant_id), call_id=str(step.call_id)):
        _run(step)
    return True


def _run(step: AfterStep) -> None:
    try:
        _workers[step.step.partition(":")[0]](step)
    except StepLater as later:
        _put_off(step, str(later), seconds=later.seconds, counts=False)
    except GatewayError as error:
        _fail(step, str(error), is_permanent=error.permanent)
    except Exception as error:
        log.exception("after_step_failed", step=step.step)
        _fail(step, f"{type(error).__name__}: {error}", is_permanent=False)
    else:
        AfterStep.objects.filter(pk=step.pk).update(
            state=AfterStep.State.DONE, done_at=timezone.now(), claimed_until=None, error=""
        )
    announce_call(step.call)  # open pages show what came of it: the price, the recording, the reason why not


def retry_step(step: AfterStep) -> None:
    """Give a parked step a fresh set of attempts (the button beside its reason)."""
    AfterStep.objects.filter(pk=step.pk, state=AfterStep.State.PARKED).update(
        state=AfterStep.State.DUE, attempt=0, due_at=timezone.now(), claimed_until=None
    )


def _claim(step_id: str) -> AfterStep | None:
    now = timezone.now()
    with transaction.atomic():
        won = (
            AfterStep.objects.filter(pk=step_id, state=AfterStep.State.DUE, due_at__lte=now)
            .filter(Q(claimed_until=None) | Q(claimed_until__lt=now))
            .update(claimed_until=now + timedelta(seconds=CLAIM_SECONDS), attempt=F("attempt") + 1)
        )
        return AfterStep.objects.select_related("call").get(pk=step_id) if won else None


def _fail(step: AfterStep, reason: str, *, is_permanent: bool) -> None:
    if is_permanent or step.attempt >= ATTEMPTS:
        AfterStep.objects.filter(pk=step.pk).update(
            state=AfterStep.State.PARKED, error=reason[:2000], claimed_until=None
        )
        log.error("after_step_parked", step=step.step, reason=reason)
        return
    # Full jitter: workers that failed together do not come back together.
    _put_off(
        step, reason, seconds=random.uniform(0.5, 1.0) * FIRST_BACK_OFF_SECONDS * 2 ** (step.attempt - 1), counts=True
    )


def _put_off(step: AfterStep, reason: str, *, seconds: float, counts: bool) -> None:
    AfterStep.objects.filter(pk=step.pk).update(
        due_at=timezone.now() + timedelta(seconds=seconds),
        claimed_until=None,
        error=reason[:2000],
        attempt=step.attempt if counts else step.attempt - 1,
    )

"""Celery's doors: each task calls one function. The rows are the truth; a lost task is found again by the sweeper."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.db.models import Q
from django.utils import timezone

from calls.aftermath import carrier, deliveries, limits, recordings, rollups, steps, totals  # noqa: F401 # importing them registers their workers
from calls.models import AfterStep, CallExport, WebhookDelivery
from calls.services import exports, numbers, reaping
from calls.vocabulary import DeliveryState
from tenants.models import Number, Tenant
from tenants.scope import every_tenant, tenant_scope
from tenants.task import TenantTask

SWEEP_AT_MOST = 200  # a run takes what one worker does in about five seconds; the rest is due again at the next


@shared_task(base=TenantTask)
def run_after_step(step_id: str) -> None:
    steps.run_step(step_id)


@shared_task
def sweep_after_steps() -> None:
    """Send every step that is due or whose worker died, each in its own tenant's scope."""
    now = timezone.now()
    with every_tenant(reason="the sweeper looks for due work of all tenants"):
        due = list(
            AfterStep.objects.filter(state=AfterStep.State.DUE, due_at__lte=now)
            .filter(Q(claimed_until=None) | Q(claimed_until__lt=now))
            .order_by("due_at")
            .values_list("id", "tenant_id")[:SWEEP_AT_MOST]
        )
    tenants = Tenant.objects.in_bulk({tenant_id for _, tenant_id in due})
    for step_id, tenant_id in due:
        with tenant_scope(tenants[tenant_id]):
            run_after_step.delay(str(step_id))


@shared_task(base=TenantTask)
def deliver_webhook(delivery_id: str) -> None:
    deliveries.deliver(delivery_id)


@shared_task
def sweep_deliveries() -> None:
    """Send every webhook that is due or whose worker died, each in its own tenant's scope."""
    now = timezone.now()
    with every_tenant(reason="the sweeper looks for due webhooks of all tenants"):
        due = list(
            WebhookDelivery.objects.filter(state=DeliveryState.DUE, due_at__lte=now)
            .filter(Q(claimed_until=None) | Q(claimed_until__lt=now))
            .order_by("due_at")
            .values_list("id", "tenant_id")[:SWEEP_AT_MOST]
        )
    tenants = Tenant.objects.in_bulk({tenant_id for _, tenant_id in due})
    for delivery_id, tenant_id in due:
        with tenant_scope(tenants[tenant_id]):
            deliver_webhook.delay(str(delivery_id))


@shared_task
def reap_calls() -> None:
    """Close calls whose end nobody reported."""
    reaping.reap_stale_calls()


@shared_task
def recover_calls() -> None:
    """Take over live calls of processes that died, hang or were cut off."""
    reaping.recover_dead_calls()


@shared_task
def roll_up_costs() -> None:
    """Add up the days whose calls or entries changed."""
    rollups.roll_up_due()


@shared_task
def follow_time_zones() -> None:
    """Add up anew where a tenant's midnight moved."""
    rollups.follow_time_zones()


@shared_task(base=TenantTask)
def check_numbers() -> None:
    """The carrier's list against ours, for the tenant in scope."""
    numbers.check_all_numbers()


@shared_task
def check_every_number() -> None:
    """Each night: look for numbers whose configuration at the carrier is no longer ours (product 3.3)."""
    with every_tenant(reason="the nightly look at the carrier visits every tenant with active numbers"):
        ids = set(Number.objects.filter(state=Number.State.ACTIVE).values_list("tenant_id", flat=True))
    for tenant in Tenant.objects.filter(pk__in=ids, state=Tenant.State.ACTIVE):
        with tenant_scope(tenant):
            check_numbers.delay()


@shared_task(time_limit=3_600, soft_time_limit=3_500)
def run_export(export_id: str) -> None:
    """Finds its tenant itself: the file is written over many batches, each in a scope of its own."""
    with every_tenant(reason="an export's row names its tenant"):
        export = CallExport.objects.select_related("tenant").filter(pk=export_id).first()
    if export is not None:
        exports.run_export(export.tenant, export.pk)


@shared_task
def sweep_exports() -> None:
    """Send exports that are due or whose worker died; delete the files of those whose time is over."""
    now = timezone.now()
    with every_tenant(reason="the sweeper looks for exports of all tenants"):
        due = CallExport.objects.filter(state=CallExport.State.DUE, due_at__lte=now - timedelta(seconds=5))
        waiting = list(due.filter(Q(claimed_until=None) | Q(claimed_until__lt=now)).values_list("id", flat=True)[:20])
        over = list(
            CallExport.objects.filter(state=CallExport.State.DONE, expires_at__lte=now).select_related("tenant")[:100]
        )
    for export_id in waiting:
        run_export.delay(str(export_id))
    for export in over:
        exports.expire_exports(export.tenant, [export.pk])

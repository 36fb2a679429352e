"""Celery's doors of this room: each task calls one function. The rows are the truth; a lost task is found again by the sweeper."""

from __future__ import annotations

from celery import shared_task

from tenants import carrier_work, mail
from tenants.models import CarrierAccount, NumberOrder, Tenant
from tenants.numbers import saga
from tenants.scope import every_tenant, tenant_scope
from tenants.task import TenantTask
from tenants.work import find_due

SWEEP_AT_MOST = 100


@shared_task
def send_letters() -> None:
    """Send the e-mails that are due."""
    mail.send_due()


@shared_task(base=TenantTask)
def align_account(account_id: str) -> None:
    carrier_work.align_account(account_id)


@shared_task(base=TenantTask)
def run_order(order_id: str) -> None:
    saga.run_order(order_id)


@shared_task
def sweep_carrier_work() -> None:
    """Send what is due at the carrier, or whose worker died, each in its own tenant's scope."""
    with every_tenant(reason="the sweeper looks for due work at the carrier of all tenants"):
        accounts = find_due(CarrierAccount, limit=SWEEP_AT_MOST)
        orders = find_due(NumberOrder, limit=SWEEP_AT_MOST)
    tenants = Tenant.objects.in_bulk({tenant_id for _, tenant_id in (*accounts, *orders)})
    for task, rows in ((align_account, accounts), (run_order, orders)):
        for row_id, tenant_id in rows:
            with tenant_scope(tenants[tenant_id]):
                task.delay(str(row_id))

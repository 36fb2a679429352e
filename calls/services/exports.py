"""Exports too large for one answer: asked for, written by a worker with progress, offered for a while, then deleted (decision 11)."""

from __future__ import annotations

import tempfile
import uuid
from datetime import timedelta
from functools import partial

import msgspec
import structlog
from celery import current_app
from django.core.exceptions import ValidationError
from django.core.files import File
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from calls.models import CallExport
from calls.readouts.export import write_export
from calls.readouts.listing import CallFilter
from calls.services.announce import herald
from tenants import audit
from tenants.models import Tenant, User
from tenants.scope import tenant_scope

log = structlog.get_logger(__name__)

RUN_EXPORT = "calls.tasks.run_export"
MOST_AT_ONCE = 3  # of one tenant
KEEP_HOURS = 24
CLAIM_SECONDS = 180  # renewed with every batch
ATTEMPTS = 3
PROGRESS_CALLS = 5_000


@transaction.atomic
def ask_export(tenant: Tenant, wanted: CallFilter, *, form: str, member: User, expected: int | None) -> CallExport:
    """Raises ValidationError while the tenant has as many under way as it may."""
    if CallExport.objects.filter(state=CallExport.State.DUE).count() >= MOST_AT_ONCE:
        raise ValidationError(_("%(count)d exports are being written; wait for one of them.") % {"count": MOST_AT_ONCE})
    export = CallExport(
        tenant=tenant,
        member=member,
        form=form,
        query=msgspec.json.encode(wanted).decode(),
        rows_expected=expected,
        due_at=timezone.now(),
    )
    export.save()
    audit.note("export.asked", export, after={"form": form, "filter": export.query}, name=f"calls.{form}")
    transaction.on_commit(partial(herald.put, partial(_nudge, export.pk)))
    return export


def run_export(tenant: Tenant, export_id: uuid.UUID) -> bool:
    """Claim and write one export. Returns whether this worker won the claim. Enters the scope by itself, batch by batch."""
    now = timezone.now()
    with tenant_scope(tenant):
        won = (
            CallExport.objects.filter(pk=export_id, state=CallExport.State.DUE, due_at__lte=now)
            .filter(Q(claimed_until=None) | Q(claimed_until__lt=now))
            .update(claimed_until=now + timedelta(seconds=CLAIM_SECONDS), attempt=F("attempt") + 1, rows_done=0)
        )
        if not won:
            return False
        export = CallExport.objects.get(pk=export_id)
    try:
        _write(tenant, export)
    except Exception as error:
        log.exception("export_failed", export_id=str(export_id))
        is_last = export.attempt >= ATTEMPTS
        with tenant_scope(tenant):
            CallExport.objects.filter(pk=export_id, state=CallExport.State.DUE).update(
                state=CallExport.State.FAILED if is_last else CallExport.State.DUE,
                error=f"{type(error).__name__}: {error}"[:500],
                claimed_until=None,
                due_at=timezone.now() + timedelta(seconds=10 * export.attempt),
            )
    return True


def expire_exports(tenant: Tenant, export_ids: list[uuid.UUID]) -> int:
    """Delete the files whose time is over. The rows stay: who exported what is history."""
    done = 0
    with tenant_scope(tenant):
        for export in CallExport.objects.filter(pk__in=export_ids, state=CallExport.State.DONE):
            name = str(export.file.name)
            won = CallExport.objects.filter(pk=export.pk, state=CallExport.State.DONE).update(
                state=CallExport.State.EXPIRED, file=""
            )
            if won:
                export.file.storage.delete(name)
                done += 1
    return done


def _write(tenant: Tenant, export: CallExport) -> None:
    wanted = msgspec.json.decode(export.query, type=CallFilter)
    count = shown = 0
    with tempfile.TemporaryFile() as draft:
        for piece, calls in write_export(tenant, wanted, form=export.form, limit=None):
            draft.write(piece)
            count += calls
            if count - shown >= PROGRESS_CALLS:
                shown = count
                _report(tenant, export, count)
        size = draft.tell()
        draft.seek(0)
        with tenant_scope(tenant):
            export.file.save(f"{export.pk}.{export.form}", File(draft), save=False)
            now = timezone.now()
            won = CallExport.objects.filter(pk=export.pk, state=CallExport.State.DUE, attempt=export.attempt).update(
                state=CallExport.State.DONE,
                file=export.file.name,
                size=size,
                rows_done=count,
                rows_expected=count,
                done_at=now,
                expires_at=now + timedelta(hours=KEEP_HOURS),
                claimed_until=None,
                error="",
            )
            if not won:  # another worker took over meanwhile
                export.file.storage.delete(str(export.file.name))


def _report(tenant: Tenant, export: CallExport, count: int) -> None:
    with tenant_scope(tenant):
        CallExport.objects.filter(pk=export.pk, attempt=export.attempt).update(
            rows_done=count, claimed_until=timezone.now() + timedelta(seconds=CLAIM_SECONDS)
        )


def _nudge(export_id: uuid.UUID, _loop: object) -> None:
    # By name: the tasks stand above the services.
    current_app.send_task(RUN_EXPORT, (str(export_id),), retry=False)

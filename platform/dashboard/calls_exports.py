"""Large exports: asked for here, watched while they are written, fetched through one checked door until they expire."""

from __future__ import annotations

import uuid
from functools import partial

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from calls.models import CallExport
from calls.readouts.access import NotFound
from calls.readouts.listing import count_calls
from calls.services.exports import KEEP_HOURS, ask_export
from dashboard.calls_list import FORMS, read_filter
from dashboard.doors import tenant_form, tenant_screen
from dashboard.streams import file_response
from tenants import audit
from tenants.middleware import TenantRequest
from tenants.models import User
from tenants.permissions import Permission

SHOWN = 20


@tenant_form(needs=Permission.HISTORY_EXPORT)
def exports(request: TenantRequest) -> HttpResponse:
    """The tenant's latest exports; POST asks for one more of the list's filters."""
    if request.method == "POST":
        return _ask(request)
    found = list(CallExport.objects.select_related("member").order_by("-created_at")[:SHOWN])
    is_fragment = bool(getattr(request, "htmx", False))
    return render(
        request,
        "calls/_exports.html" if is_fragment else "calls/exports.html",
        {
            "exports": found,
            "keep_hours": KEEP_HOURS,
            "is_busy": any(export.state == CallExport.State.DUE for export in found),
        },
    )


@tenant_screen(needs=Permission.HISTORY_EXPORT)
def export_file(request: TenantRequest, export_id: uuid.UUID) -> HttpResponseBase:
    """The file, to members alone; every fetch is on the audit log."""
    export: CallExport | None = CallExport.objects.filter(pk=export_id, state=CallExport.State.DONE).first()
    if export is None:
        raise NotFound("export")
    open_file = partial(export.file.storage.open, str(export.file.name), "rb")
    if not export.file.storage.exists(str(export.file.name)):
        raise NotFound("export")
    response = file_response(request, open_file, size=export.size, content_type=FORMS[export.form], etag=export.pk.hex)
    day = export.created_at.date()
    response["Content-Disposition"] = f'attachment; filename="calls-{request.tenant.slug}-{day:%Y-%m-%d}.{export.form}"'
    response["Cache-Control"] = "no-store"
    response["X-Content-Type-Options"] = "nosniff"
    if request.method == "GET":
        audit.note("export.fetched", export, name=f"calls.{export.form}")
    return response


def _ask(request: TenantRequest) -> HttpResponse:
    member = request.user
    assert isinstance(member, User)  # noqa: S101 # the tenant's door lets members in alone
    form = request.POST.get("form", "csv")
    wanted = read_filter(request)
    count = count_calls(request.tenant, wanted)
    try:
        ask_export(
            request.tenant,
            wanted,
            form=form if form in FORMS else "csv",
            member=member,
            expected=None if count.is_capped else count.value,
        )
    except ValidationError as problem:
        messages.error(request, problem.messages[0])
    else:
        messages.success(request, _("The export is being written; its link appears below."))
    return redirect("calls-exports", slug=request.tenant.slug)

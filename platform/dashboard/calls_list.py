"""The calls list and its streamed export: what happened, newest first; parses the URL, reads, renders."""

from __future__ import annotations

import uuid
import zoneinfo

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone

from calls.models import BulkAct
from calls.readouts.annotations import list_views, read_columns
from calls.readouts.export import write_export
from calls.readouts.listing import (
    COUNT_LIMIT,
    EXPORT_LIMIT,
    MATCH_LIMIT,
    CallFilter,
    Cursor,
    count_calls,
    list_agents,
    list_calls,
    list_numbers,
    list_tags,
)
from dashboard.calls_columns import COLUMNS, SCREEN, choose
from dashboard.calls_filters import CallFilterForm, keep_filters
from dashboard.doors import tenant_screen
from dashboard.streams import stream_response
from tenants.middleware import TenantRequest
from tenants.models import User
from tenants.permissions import Permission, may

FORMS = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


@tenant_screen(needs=Permission.HISTORY_VIEW)
def calls(request: TenantRequest) -> HttpResponse:
    """The whole page, or only its results for htmx."""
    form = read_form(request)
    wanted = form.to_filter(_zone(request))
    cursor = Cursor.decode(request.GET["at"]) if "at" in request.GET else None
    page = list_calls(request.tenant, wanted, order=form.order, cursor=cursor)
    count = count_calls(request.tenant, wanted)
    member = request.user
    assert isinstance(member, User)  # noqa: S101 # the tenant's door lets members in alone
    in_url = request.GET.get("cols", "")
    columns = choose(in_url.split(",") if in_url else read_columns(member=member, screen=SCREEN))
    is_fragment = bool(getattr(request, "htmx", False)) and not request.headers.get("HX-History-Restore-Request")
    context = {
        "form": form,
        "page": page,
        "order": form.order,
        "columns": columns,
        "column_count": len(columns) + 1,
        "count": count,
        "count_limit": MATCH_LIMIT if wanted.is_matched else COUNT_LIMIT,
        "match_limit": MATCH_LIMIT,
        "export_limit": EXPORT_LIMIT,
        "export_is_job": count.is_capped or count.value > EXPORT_LIMIT,
        "is_filtered": not wanted.is_empty,
        "is_first_page": cursor is None,
        "filters": keep_filters(request.GET),
        "did": _find_act(request, member),
        "can_annotate": may(request.membership.role, Permission.HISTORY_ANNOTATE),
        "can_export": may(request.membership.role, Permission.HISTORY_EXPORT),
    }
    if not is_fragment:
        context |= {
            "views": list_views(member=member, screen=SCREEN),
            "view_query": keep_filters(request.GET, also=["cols"]),
            "all_columns": [column for column in COLUMNS if not column.is_fixed],
            "chosen": {column.key for column in columns},
        }
    response = render(request, "calls/_results.html" if is_fragment else "calls/list.html", context)
    response["Vary"] = "HX-Request, Cookie"
    return response


@tenant_screen(needs=Permission.HISTORY_EXPORT)
def export(request: TenantRequest, form: str) -> HttpResponseBase:
    """The matching calls as CSV or JSON, at most EXPORT_LIMIT (larger ones are a job, decision 11)."""
    wanted = read_form(request).to_filter(_zone(request))
    pieces = (piece for piece, _calls in write_export(request.tenant, wanted, form=form, limit=EXPORT_LIMIT))
    day = timezone.localdate()
    return stream_response(
        request,
        pieces,
        content_type=FORMS[form],
        headers={
            "Content-Disposition": f'attachment; filename="calls-{request.tenant.slug}-{day:%Y-%m-%d}.{form}"',
            "Cache-Control": "no-store",
        },
    )


def read_form(request: TenantRequest) -> CallFilterForm:
    data = request.POST if request.method == "POST" else request.GET
    return CallFilterForm(data, numbers=list_numbers(), agents=list_agents(), tags=list_tags())


def read_filter(request: TenantRequest) -> CallFilter:
    return read_form(request).to_filter(_zone(request))


def _zone(request: TenantRequest) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(request.tenant.timezone)


def _find_act(request: TenantRequest, member: User) -> BulkAct | None:
    """The act that this page came from, so that it can be undone."""
    try:
        act_id = uuid.UUID(request.GET.get("did", ""))
    except ValueError:
        return None
    found: BulkAct | None = BulkAct.objects.filter(pk=act_id, member=member, undone_at=None).first()
    return found

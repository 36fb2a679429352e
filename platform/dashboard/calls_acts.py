"""What members do to calls: bulk acts with undo, notes, tags, reviewed; their views and columns. Each calls one service."""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.http.request import QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from calls.models import BulkAct
from calls.readouts.access import NotFound, access_call
from calls.services.annotating import act_on_calls, add_note, remove_note, undo_act
from calls.services.views import choose_columns, delete_view, save_view
from dashboard.calls_columns import SCREEN, keep_known
from dashboard.calls_filters import keep_filters
from dashboard.doors import tenant_act
from tenants.middleware import TenantRequest
from tenants.models import User
from tenants.permissions import Permission, may


@tenant_act(needs=Permission.HISTORY_ANNOTATE)
def bulk(request: TenantRequest) -> HttpResponse:
    """Tag, untag or review the ticked calls; the list then offers to undo it."""
    back = QueryDict(request.POST.get("back", ""), mutable=True)
    ids = _read_ids(request.POST.getlist("call"))
    kind = request.POST.get("kind", "")
    if kind not in BulkAct.Kind.values:
        messages.error(request, _("Choose what to do with the calls."))
    elif not ids:
        messages.error(request, _("Tick the calls first: the boxes stand at the beginning of each row."))
    else:
        try:
            act = act_on_calls(
                ids, kind=kind, value=request.POST.get(_VALUE_FIELD.get(kind, ""), ""), member=_member(request)
            )
        except ValidationError as problem:
            messages.error(request, problem.messages[0])
        else:
            back["did"] = str(act.pk)
    return redirect(f"{reverse('calls', args=[request.tenant.slug])}?{back.urlencode()}")


@tenant_act(needs=Permission.HISTORY_ANNOTATE)
def undo(request: TenantRequest, act_id: uuid.UUID) -> HttpResponse:
    count = undo_act(act_id, member=_member(request))
    if not count and not BulkAct.objects.filter(pk=act_id, member=_member(request)).exists():
        raise NotFound("act")
    messages.success(
        request,
        ngettext("Undone on %(count)d call.", "Undone on %(count)d calls.", count) % {"count": count},
    )
    return redirect(_back(request))


@tenant_act(needs=Permission.HISTORY_ANNOTATE)
def annotate(request: TenantRequest, call_id: uuid.UUID) -> HttpResponse:
    """One call from its own page: a tag more or less, reviewed or not, a note more or less."""
    call = access_call(request.tenant, call_id=call_id)
    member, what = _member(request), request.POST.get("kind", "")
    try:
        if what == "note":
            add_note(call, author=member, text=request.POST.get("text", ""))
        elif what == "remove_note":
            for note_id in _read_ids([request.POST.get("note", "")]):
                remove_note(call, note_id=note_id, author=member)
        elif what in BulkAct.Kind.values:
            act_on_calls([call.pk], kind=what, value=request.POST.get(_VALUE_FIELD.get(what, ""), ""), member=member)
        else:
            messages.error(request, _("Choose what to do with the call."))
    except ValidationError as problem:
        messages.error(request, problem.messages[0])
    return redirect(f"{reverse('call', args=[request.tenant.slug, call.pk])}#call-desk")


@tenant_act(needs=Permission.HISTORY_VIEW)
def keep_view(request: TenantRequest) -> HttpResponse:
    """Save the list's filters, columns and order under a name. To share takes the right to annotate."""
    query = keep_filters(QueryDict(request.POST.get("query", "")), also=["cols"])
    wants_share = bool(request.POST.get("shared"))
    is_shared = wants_share and may(request.membership.role, Permission.HISTORY_ANNOTATE)
    try:
        view = save_view(
            owner=_member(request), screen=SCREEN, name=request.POST.get("name", ""), query=query, is_shared=is_shared
        )
    except ValidationError as problem:
        messages.error(request, problem.messages[0])
    else:
        messages.success(request, _("The view “%(name)s” is saved; you find it under Views.") % {"name": view.name})
        if wants_share and not is_shared:
            messages.warning(request, _("Your role cannot share views: this one is yours alone."))
    return redirect(f"{reverse('calls', args=[request.tenant.slug])}?{query}")


@tenant_act(needs=Permission.HISTORY_VIEW)
def drop_view(request: TenantRequest, view_id: uuid.UUID) -> HttpResponse:
    may_manage = may(request.membership.role, Permission.SETTINGS_MANAGE)
    name = delete_view(view_id, member=_member(request), may_manage=may_manage)
    if name is None:
        raise NotFound("view")
    messages.success(request, _("The view “%(name)s” is deleted.") % {"name": name})
    return redirect(_back(request))


@tenant_act(needs=Permission.HISTORY_VIEW)
def keep_columns(request: TenantRequest) -> HttpResponse:
    """The member's columns from now on; those in the address give way."""
    wanted = [] if request.POST.get("reset") else keep_known(request.POST.getlist("column"))
    choose_columns(member=_member(request), screen=SCREEN, columns=wanted)
    query = keep_filters(QueryDict(request.POST.get("query", "")))
    return redirect(f"{reverse('calls', args=[request.tenant.slug])}?{query}")


_VALUE_FIELD: dict[str, str] = {"tag": "tag", "untag": "tag", "review": "reason"}


def _member(request: TenantRequest) -> User:
    member = request.user
    assert isinstance(member, User)  # noqa: S101 # the tenant's door lets members in alone
    return member


def _back(request: TenantRequest) -> str:
    """Where the act came from, within the list alone: an address from a form is never trusted with a host."""
    query = urlsplit(request.POST.get("back", "")).query or request.POST.get("back", "").lstrip("?")
    return f"{reverse('calls', args=[request.tenant.slug])}?{keep_filters(QueryDict(query), also=['cols'])}"


def _read_ids(texts: list[str]) -> list[uuid.UUID]:
    ids = []
    for text in texts:
        try:
            ids.append(uuid.UUID(text))
        except ValueError:
            continue
    return ids

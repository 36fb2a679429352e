"""The browser's door into the tenant lock: `/o/<slug>/…` is entered only by members; for others the tenant does not exist."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from allauth.account.adapter import get_adapter
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse

from tenants.audit import Actor, acting
from tenants.models import AuditEntry, Membership, Tenant, User
from tenants.permissions import rights_of
from tenants.scope import tenant_scope


class TenantRequest(HttpRequest):
    """What a view behind the door receives."""

    tenant: Tenant
    membership: Membership
    can: dict[str, bool]  # tenants.permissions.rights_of the member's role, for templates


class TenantMiddleware:
    """Resolves `/o/<slug>/…`, checks membership and runs the view (lazy rendering included) inside the tenant's scope."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        slug = _slug_of(request.path_info)
        if slug is None:
            return self.get_response(request)
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        membership = Membership.objects.select_related("tenant").filter(tenant__slug=slug, user=request.user).first()
        if membership is None:
            # 404, not 403: someone else's tenant does not exist (style-anchors, habit 8).
            raise Http404
        request.tenant = membership.tenant  # type: ignore[attr-defined]  # TenantRequest, given its fields here
        request.membership = membership  # type: ignore[attr-defined]
        request.can = rights_of(membership.role)  # type: ignore[attr-defined]
        structlog.contextvars.bind_contextvars(tenant_id=str(membership.tenant_id))
        with tenant_scope(membership.tenant), acting(actor_of(request)):
            response = self.get_response(request)
            if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
                response.render()
        return response


def actor_of(request: HttpRequest, user: User | None = None) -> Actor:
    """The person behind a request, for the audit log (`user`: who is just signing up). Staff behind a member's eyes stay staff."""
    person = user or request.user
    kind, name, key = AuditEntry.ActorKind.PERSON, str(person), person.pk
    impersonators = request.session.get("hijack_history", []) if hasattr(request, "session") else []
    if impersonators:
        staff = User.objects.get(pk=impersonators[0])
        kind, name, key = AuditEntry.ActorKind.STAFF, f"{staff} as {person}", staff.pk
    return Actor(
        kind=kind,
        name=name,
        id=key,
        address=get_adapter(request).get_client_ip(request) or None,
        user_agent=request.META.get("HTTP_USER_AGENT", ""),
    )


def _slug_of(path: str) -> str | None:
    parts = path.split("/", 3)
    return parts[2] if len(parts) > 3 and parts[1] == "o" and parts[2] else None

"""After the log-in: choose a tenant, land on the first screen that the member may see."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from dashboard.doors import tenant_screen
from dashboard.navigation import landing_for
from tenants.middleware import TenantRequest
from tenants.models import Membership, User
from tenants.permissions import Permission


@require_safe
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Straight into the only tenant; with several (or none) to the choice."""
    memberships = _memberships(request)
    if len(memberships) == 1:
        return redirect("tenant-home", slug=memberships[0].tenant.slug)
    return redirect("tenants")


@require_safe
@login_required
def tenants(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/tenants.html", {"memberships": _memberships(request)})


@tenant_screen(needs=Permission.HOME_VIEW)
def tenant_home(request: TenantRequest) -> HttpResponse:
    return redirect(reverse(landing_for(request.can), kwargs={"slug": request.tenant.slug}))


def _memberships(request: HttpRequest) -> list[Membership]:
    user = request.user
    assert isinstance(user, User)  # noqa: S101 # login_required
    return list(Membership.objects.filter(user=user).select_related("tenant").order_by("tenant__name"))

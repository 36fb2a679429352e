"""What every screen inside a tenant shares: the right it needs, the tenant's time zone, methods, and 404 for what is not theirs."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from calls.readouts.access import NotFound
from tenants.middleware import TenantRequest
from tenants.permissions import Permission, may

P = ParamSpec("P")
View = Callable[Concatenate[TenantRequest, P], HttpResponseBase]
SAFE = ("GET", "HEAD")


def tenant_screen(*, needs: Permission) -> Callable[[View[P]], Callable[..., HttpResponseBase]]:
    """A screen to look at, below `/o/<slug>/`. The middleware has checked membership and entered the tenant's scope."""
    return _door(needs, SAFE)


def tenant_form(*, needs: Permission) -> Callable[[View[P]], Callable[..., HttpResponseBase]]:
    """A screen with a form: shown by GET, sent by POST."""
    return _door(needs, (*SAFE, "POST"))


def tenant_act(*, needs: Permission) -> Callable[[View[P]], Callable[..., HttpResponseBase]]:
    """An act behind a button: POST alone."""
    return _door(needs, ("POST",))


def _door(needs: Permission, methods: Iterable[str]) -> Callable[[View[P]], Callable[..., HttpResponseBase]]:
    def decorate(view: View[P]) -> Callable[..., HttpResponseBase]:
        @wraps(view)
        def inner(request: TenantRequest, slug: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not may(request.membership.role, needs):
                raise PermissionDenied(
                    gettext("Your role (%(role)s) does not include this. An owner of %(tenant)s can change your role.")
                    % {"role": request.membership.get_role_display(), "tenant": request.tenant.name}
                )
            with timezone.override(zoneinfo.ZoneInfo(request.tenant.timezone)):
                try:
                    response = view(request, *args, **kwargs)
                except NotFound as missing:
                    raise Http404(str(missing)) from missing
            if not response.has_header("Cache-Control"):
                # What callers said stays out of caches that outlive the session (ASVS 5, V14.3).
                patch_cache_control(response, private=True, no_store=True)
            return response

        guarded: Callable[..., HttpResponseBase] = require_http_methods(list(methods))(inner)
        guarded.needs = needs  # type: ignore[attr-defined]  # read by the generated walk of roles
        return guarded

    return decorate

"""What every screen inside a tenant shares: the tenant's time zone, safe methods, and 404 for what is not theirs."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.http import Http404
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_safe

from calls.readouts.access import NotFound
from tenants.middleware import TenantRequest

P = ParamSpec("P")


def tenant_screen(
    view: Callable[Concatenate[TenantRequest, P], HttpResponseBase],
) -> Callable[..., HttpResponseBase]:
    """A GET screen below `/o/<slug>/`. The middleware has checked membership and entered the tenant's scope."""

    @wraps(view)
    def inner(request: TenantRequest, slug: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with timezone.override(zoneinfo.ZoneInfo(request.tenant.timezone)):
            try:
                response = view(request, *args, **kwargs)
            except NotFound as missing:
                raise Http404(str(missing)) from missing
        if not response.has_header("Cache-Control"):
            # What callers said stays out of caches that outlive the session (ASVS 5, V14.3).
            patch_cache_control(response, private=True, no_store=True)
        return response

    return require_safe(inner)

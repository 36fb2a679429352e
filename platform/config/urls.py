"""Every address of the product in one table."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from config import health

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("hooks/", include("calls.urls")),
    path("", include("dashboard.urls")),
]

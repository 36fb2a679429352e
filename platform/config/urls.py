"""Every address of the product in one table."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("hooks/", include("calls.urls")),
    path("", include("dashboard.urls")),
]

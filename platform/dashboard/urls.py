"""The screens' addresses. Everything below `/o/<slug>/` passes the tenant's door first (tenants.middleware)."""

from __future__ import annotations

from django.urls import URLPattern, path

from dashboard import calls_urls, pages
from dashboard.accounts import invited
from dashboard.accounts.urls import urlpatterns as account_patterns
from dashboard.integrations.urls import urlpatterns as integration_patterns

urlpatterns: list[URLPattern] = [
    path("", pages.home, name="home"),
    *account_patterns,
    path("invitations/<str:token>/", invited.invitation, name="invitation"),
    path("o/", pages.tenants, name="tenants"),
    path("o/<slug:slug>/", pages.tenant_home, name="tenant-home"),
    *calls_urls.urlpatterns,
    *integration_patterns,
]

"""The screens' addresses. Everything below `/o/<slug>/` passes the tenant's door first (tenants.middleware)."""

from __future__ import annotations

from django.urls import URLPattern, path

from dashboard import call_page, calls_list, pages, recordings
from dashboard.accounts import invited
from dashboard.accounts.urls import urlpatterns as account_patterns

urlpatterns: list[URLPattern] = [
    path("", pages.home, name="home"),
    *account_patterns,
    path("invitations/<str:token>/", invited.invitation, name="invitation"),
    path("o/", pages.tenants, name="tenants"),
    path("o/<slug:slug>/", pages.tenant_home, name="tenant-home"),
    path("o/<slug:slug>/calls/", calls_list.calls, name="calls"),
    path("o/<slug:slug>/calls/export.csv", calls_list.export, name="calls-export"),
    path("o/<slug:slug>/calls/<uuid:call_id>/", call_page.call, name="call"),
    path(
        "o/<slug:slug>/calls/<uuid:call_id>/recordings/<uuid:recording_id>.wav", recordings.recording, name="recording"
    ),
]

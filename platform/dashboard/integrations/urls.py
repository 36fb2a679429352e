"""The addresses of what a tenant connects to its own systems."""

from __future__ import annotations

from django.urls import URLPattern, path

from dashboard.integrations import webhooks

urlpatterns: list[URLPattern] = [
    path("o/<slug:slug>/integrations/", webhooks.integrations, name="integrations"),
    path("o/<slug:slug>/integrations/webhooks/new/", webhooks.new, name="integrations-webhook-new"),
    path("o/<slug:slug>/integrations/webhooks/<uuid:endpoint_id>/", webhooks.endpoint, name="integrations-webhook"),
    path(
        "o/<slug:slug>/integrations/webhooks/<uuid:endpoint_id>/test/", webhooks.test, name="integrations-webhook-test"
    ),
    path(
        "o/<slug:slug>/integrations/webhooks/<uuid:endpoint_id>/rotate/",
        webhooks.rotate,
        name="integrations-webhook-rotate",
    ),
    path(
        "o/<slug:slug>/integrations/webhooks/<uuid:endpoint_id>/remove/",
        webhooks.remove,
        name="integrations-webhook-remove",
    ),
    path("o/<slug:slug>/integrations/deliveries/<uuid:delivery_id>/", webhooks.delivery, name="integrations-delivery"),
    path(
        "o/<slug:slug>/integrations/deliveries/<uuid:delivery_id>/replay/",
        webhooks.replay,
        name="integrations-delivery-replay",
    ),
]

"""The screens of webhooks out in the generated walk (tests/test_isolation.py)."""

from __future__ import annotations

from calls.models import WebhookDelivery, WebhookEndpoint
from calls.services import outbox
from tenants.scope import tenant_scope
from tests.isolation.doors import Door, Post, World

_BASE = "o/<slug:slug>/integrations/"
_FORM = {"url": "https://example.com/new", "events": ["call.ended"], "is_active": "on"}


def _endpoint(world: World) -> WebhookEndpoint:
    with tenant_scope(world.tenant):
        found = WebhookEndpoint.objects.filter(url="https://example.com/hers").first()
        return found or outbox.save_endpoint(None, url="https://example.com/hers", events=["call.ended"])


def _delivery(world: World) -> WebhookDelivery:
    endpoint = _endpoint(world)
    with tenant_scope(world.tenant):
        return outbox.send_test(endpoint)


DOORS = {
    _BASE: Door(lambda w: "/o/{slug}/integrations/", is_list=True),
    f"{_BASE}webhooks/new/": Door(
        lambda w: "/o/{slug}/integrations/webhooks/new/",
        posts=(Post(lambda w: _FORM, succeeds=frozenset({201})),),
        is_list=True,
    ),
    f"{_BASE}webhooks/<uuid:endpoint_id>/": Door(
        lambda w: f"/o/{{slug}}/integrations/webhooks/{_endpoint(w).pk}/", posts=(Post(lambda w: _FORM),)
    ),
    f"{_BASE}webhooks/<uuid:endpoint_id>/test/": Door(
        lambda w: f"/o/{{slug}}/integrations/webhooks/{_endpoint(w).pk}/test/", looks=False, posts=(Post(),)
    ),
    f"{_BASE}webhooks/<uuid:endpoint_id>/rotate/": Door(
        lambda w: f"/o/{{slug}}/integrations/webhooks/{_endpoint(w).pk}/rotate/",
        looks=False,
        posts=(Post(succeeds=frozenset({201})),),
    ),
    f"{_BASE}webhooks/<uuid:endpoint_id>/remove/": Door(
        lambda w: f"/o/{{slug}}/integrations/webhooks/{_endpoint(w).pk}/remove/", looks=False, posts=(Post(),)
    ),
    f"{_BASE}deliveries/<uuid:delivery_id>/": Door(lambda w: f"/o/{{slug}}/integrations/deliveries/{_delivery(w).pk}/"),
    f"{_BASE}deliveries/<uuid:delivery_id>/replay/": Door(
        lambda w: f"/o/{{slug}}/integrations/deliveries/{_delivery(w).pk}/replay/", looks=False, posts=(Post(),)
    ),
}

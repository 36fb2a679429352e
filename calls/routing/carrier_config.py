"""What the carrier is to do with a call to a number, computed from its route alone; applied by tenants.numbers."""

from __future__ import annotations

from calls.models import Route
from calls.services.addresses import fallback_url, number_status_url, voice_url
from tenants.numbers.config import CarrierConfig


def compute_config(route: Route) -> CarrierConfig:
    """The route's opaque id stands in the addresses, so that a change of the route is no drift at the carrier."""
    return CarrierConfig(
        voice_url=voice_url(route.public_id),
        voice_fallback_url=fallback_url(route.public_id),
        status_callback=number_status_url(route.public_id),
    )

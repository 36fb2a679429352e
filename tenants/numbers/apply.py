"""Applies a CarrierConfig to an owned number in one request, and tells what still differs. Decides nothing, writes no row."""

from __future__ import annotations

from gateways.numbers import CarrierNumber, NumberGateway
from tenants.numbers.config import CarrierConfig, Difference, find_differences


def apply_config(gateway: NumberGateway, found: CarrierNumber, wanted: CarrierConfig) -> list[Difference]:
    """Nothing is sent when nothing differs. Raises GatewayError."""
    if not find_differences(wanted, found):
        return []
    changed = gateway.update_number(
        found.sid,
        voice_url=wanted.voice_url,
        voice_fallback_url=wanted.voice_fallback_url,
        status_callback=wanted.status_callback,
        clear_application=bool(found.voice_application_sid),
        trunk_sid=wanted.trunk_sid if found.trunk_sid != wanted.trunk_sid else None,
    )
    return find_differences(wanted, changed)

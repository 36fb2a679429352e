"""What a number is to do at the carrier, as a value that calls.routing computes, and how it differs from what the carrier has. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from gateways.numbers import CarrierNumber


@dataclass(frozen=True, slots=True)
class CarrierConfig:
    """Where the carrier asks when the number is called. With a trunk the voice URL sleeps, and stands for the way back (§5.7)."""

    voice_url: str
    voice_fallback_url: str
    status_callback: str
    trunk_sid: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, str]) -> CarrierConfig:
        return cls(**given)


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that is not as we want it. `theirs` is what the carrier has."""

    field: str
    ours: str
    theirs: str


def find_differences(wanted: CarrierConfig, found: CarrierNumber) -> list[Difference]:
    """Empty: the number does what we want of it."""
    pairs = {
        "voice_url": (wanted.voice_url, found.voice_url),
        "voice_fallback_url": (wanted.voice_fallback_url, found.voice_fallback_url),
        "status_callback": (wanted.status_callback, found.status_callback),
        "voice_method": ("POST", found.voice_method.upper()),
        "voice_fallback_method": ("POST", found.voice_fallback_method.upper()),
        "status_callback_method": ("POST", found.status_callback_method.upper()),
        "trunk_sid": (wanted.trunk_sid, found.trunk_sid),
        # An application would be asked instead of the voice URL (§5.2).
        "voice_application_sid": ("", found.voice_application_sid),
    }
    return [Difference(field, ours, theirs) for field, (ours, theirs) in pairs.items() if ours != theirs]

"""From raw quantities to priced lines, exactly; pure arithmetic on Decimals, knows no rows and no clock.

Cached tokens are inside the input counts and reasoning tokens inside the output text count (openai-realtime.md §5.1): each is priced once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from calls.vocabulary import Layer

ASSISTANT_TOKENS_PER_MS = Decimal("0.02")  # 1 token per 50 ms of agent audio, openai-realtime.md §5.2
SPOKEN_TEXT_SHARE = Decimal(
    "0.25"
)  # text tokens beside audio tokens of the same speech: 100 to 400 in §5.3's worked minute
NO_RATE = "no_rate"  # cause of a line whose item stands on no card: quantity kept, price zero until a card names it

TOLL_FREE = ("+1800", "+1833", "+1844", "+1855", "+1866", "+1877", "+1888")


@dataclass(frozen=True, slots=True)
class Card:
    """One vendor's prices from `valid_from` on: item → (unit, price per single unit)."""

    id: str
    vendor: str
    version: str
    valid_from: date
    currency: str
    rates: Mapping[str, tuple[str, Decimal]]


@dataclass(frozen=True, slots=True)
class Line:
    """One ledger line before it is a row. amount = quantity × unit_price, unrounded."""

    layer: Layer
    item: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    currency: str
    card_id: str | None
    usage_lost: bool = False
    cause: str = ""

    @property
    def amount(self) -> Decimal:
        return self.quantity * self.unit_price


def find_card(cards: tuple[Card, ...], *, vendor: str, on: date) -> Card | None:
    """The vendor's newest card that was valid on that day."""
    valid = [card for card in cards if card.vendor == vendor and card.valid_from <= on]
    return max(valid, key=lambda card: card.valid_from, default=None)


def price_response(
    model: str, usage: Mapping[str, Any], *, card: Card | None, layer: Layer = Layer.MODEL
) -> list[Line]:
    """Lines of one `response.done` usage object. Missing fields count as zero (§5.1)."""
    given = usage.get("input_token_details") or {}
    cached = given.get("cached_tokens_details") or {}
    made = usage.get("output_token_details") or {}
    text_in, audio_in, image_in = (
        _count(given, "text_tokens"),
        _count(given, "audio_tokens"),
        _count(given, "image_tokens"),
    )
    if not given:
        text_in = _count(usage, "input_tokens")
    text_cached, audio_cached, image_cached = _split_cached(_count(given, "cached_tokens"), cached, text_in=text_in)
    text_out, audio_out = _count(made, "text_tokens"), _count(made, "audio_tokens")
    if not made:
        text_out = _count(usage, "output_tokens")
    quantities = {
        "text_in": text_in - text_cached,
        "text_cached": text_cached,
        "audio_in": audio_in - audio_cached,
        "audio_cached": audio_cached,
        "image_in": image_in - image_cached,
        "image_cached": image_cached,
        "text_out": text_out,
        "audio_out": audio_out,
    }
    return [
        _line(layer, f"{model}:{kind}", Decimal(count), "token", card)
        for kind, count in quantities.items()
        if count > 0
    ]


def price_lost_response(
    model: str, *, audio_ms: int, card: Card | None, previous: Mapping[str, Any] | None = None
) -> list[Line]:
    """An estimate for a response whose usage never arrived: the audio we received, and the context the last response read.

    `previous` is the usage of the call's last response: its input was cached for the next one, its output became input.
    """
    audio_out = (ASSISTANT_TOKENS_PER_MS * audio_ms).to_integral_value()
    quantities = {"audio_out": audio_out, "text_out": (audio_out * SPOKEN_TEXT_SHARE).to_integral_value()}
    if previous:
        quantities["text_cached"] = Decimal(_count(previous, "input_tokens"))
        quantities["audio_in"] = Decimal(_count(previous.get("output_token_details") or {}, "audio_tokens"))
    return [
        _line(Layer.MODEL, f"{model}:{kind}", count, "token", card, usage_lost=True)
        for kind, count in quantities.items()
        if count > 0
    ]


def price_transcription(model: str, usage: Mapping[str, Any], *, card: Card | None) -> list[Line]:
    """Lines of one transcription: by tokens or by duration, whichever the transcriber reports (§5.1)."""
    if usage.get("type") == "duration":
        minutes = (Decimal(str(usage.get("seconds") or 0)) / 60).quantize(Decimal("0.000001"))
        return [_line(Layer.TRANSCRIPTION, f"{model}:minute", minutes, "minute", card)] if minutes else []
    details = usage.get("input_token_details") or {}
    quantities = {
        "text_in": _count(details, "text_tokens"),
        "audio_in": _count(details, "audio_tokens") if details else _count(usage, "input_tokens"),
        "text_out": _count(usage, "output_tokens"),
    }
    return [
        _line(Layer.TRANSCRIPTION, f"{model}:{kind}", Decimal(count), "token", card)
        for kind, count in quantities.items()
        if count > 0
    ]


def price_minutes(layer: Layer, item: str, *, seconds: int, card: Card | None) -> Line:
    """A leg's minutes: the carrier bills started minutes (twilio.md §10)."""
    return _line(layer, item, Decimal(math.ceil(seconds / 60)), "minute", card)


def inbound_item(to_number: str) -> str:
    """The carrier's tariff for an inbound leg on that number."""
    return "voice_inbound_tollfree" if to_number.startswith(TOLL_FREE) else "voice_inbound_local"


def _line(
    layer: Layer, item: str, quantity: Decimal, unit: str, card: Card | None, *, usage_lost: bool = False
) -> Line:
    rate = card.rates.get(item) if card else None
    return Line(
        layer=layer,
        item=item,
        quantity=quantity,
        unit=rate[0] if rate else unit,
        unit_price=rate[1] if rate else Decimal(0),
        currency=card.currency if card else "USD",
        card_id=card.id if card and rate else None,
        usage_lost=usage_lost,
        cause="" if rate else NO_RATE,
    )


def _count(details: Mapping[str, Any], name: str) -> int:
    value = details.get(name) or 0
    return max(0, int(value))


def _split_cached(total: int, details: Mapping[str, Any], *, text_in: int) -> tuple[int, int, int]:
    if details:
        return _count(details, "text_tokens"), _count(details, "audio_tokens"), _count(details, "image_tokens")
    # Without details, text is assumed to be cached first (§5.3).
    text = min(total, text_in)
    return text, total - text, 0

"""Reads the rate cards into plain values and keeps them for a while; the writer and the steps price by these."""

from __future__ import annotations

import time

from calls.ledger.pricing import Card
from calls.models import RateCard

KEEP_SECONDS = 60.0  # a new card is dated at least a day ahead; a minute's delay changes no price

_kept: tuple[float, tuple[Card, ...]] | None = None


def load_cards() -> tuple[Card, ...]:
    """All cards, at most a minute old."""
    global _kept
    now = time.monotonic()
    if _kept is None or now - _kept[0] > KEEP_SECONDS:
        _kept = (now, _read_cards())
    return _kept[1]


def forget_cards() -> None:
    """Read afresh at the next use: after a card was changed, and between tests."""
    global _kept
    _kept = None


def _read_cards() -> tuple[Card, ...]:
    return tuple(
        Card(
            id=str(card.pk),
            vendor=card.vendor,
            version=card.version,
            valid_from=card.valid_from,
            currency=card.currency,
            rates={rate.item: (rate.unit, rate.price) for rate in card.rates.all()},
        )
        for card in RateCard.objects.prefetch_related("rates")
    )

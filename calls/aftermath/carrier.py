"""Estimates what the carrier will bill for a call's legs; the bill itself arrives later and is posted as adjustments."""

from __future__ import annotations

from collections.abc import Iterator

from calls.aftermath.steps import StepLater, worker
from calls.aftermath.totals import compute_totals
from calls.ledger.cards import load_cards
from calls.ledger.entries import VENDOR_CARRIER, make_entries, post_entries
from calls.ledger.pricing import Card, Line, find_card, inbound_item, price_minutes
from calls.models import AfterStep, Call, Leg
from calls.vocabulary import Layer, LegKind

STEP = "carrier_cost"
WAIT_SECONDS = 20.0  # for a leg whose end the carrier has not reported yet

_ITEMS = {
    LegKind.STREAM: (Layer.STREAM, "media_stream"),
    LegKind.PERSON: (Layer.CARRIER, "voice_outbound"),
}


@worker(STEP)
def estimate_carrier_cost(step: AfterStep) -> None:
    """Posts one line a leg (twilio.md §10: billed per started minute, per leg), then computes the totals afresh.

    Raises StepLater while a leg has no duration.
    """
    call = step.call
    card = find_card(load_cards(), vendor=VENDOR_CARRIER, on=call.created_at.date())
    legs = list(Leg.objects.filter(call=call))
    if any(seconds_of(leg) is None for leg in legs):
        raise StepLater("a leg's end has not been reported yet", seconds=WAIT_SECONDS)
    for leg in legs:
        for line in price_leg(call, leg, card=card):
            post_entries(
                make_entries(
                    [line],
                    tenant_id=call.tenant_id,
                    call_id=call.pk,
                    source=f"leg:{leg.pk}",
                    occurred_at=leg.ended_at or call.created_at,
                )
            )
    compute_totals(step)


def seconds_of(leg: Leg) -> int | None:
    """The leg's billable seconds: the carrier's figure, else the span we saw, None while it runs."""
    if leg.duration_s is not None:
        return leg.duration_s
    if leg.ended_at is None:
        return None
    return max(0, round((leg.ended_at - leg.started_at).total_seconds()))


def price_leg(call: Call, leg: Leg, *, card: Card | None) -> Iterator[Line]:
    """The leg's line; none for a leg of no time (a caller who was never answered costs nothing)."""
    seconds = seconds_of(leg) or 0
    if seconds == 0:
        return
    kind = LegKind.of(leg.kind)
    layer, item = _ITEMS.get(kind, (Layer.CARRIER, inbound_item(call.to_number)))
    yield price_minutes(layer, item, seconds=seconds, card=card)

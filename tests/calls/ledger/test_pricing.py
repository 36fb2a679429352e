"""Prices follow openai-realtime.md §5.1–5.3 and twilio.md §10 to the last decimal."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.ledger.pricing import (
    NO_RATE,
    Card,
    find_card,
    inbound_item,
    price_lost_response,
    price_minutes,
    price_response,
    price_transcription,
)
from calls.vocabulary import Layer

MODEL = "gpt-realtime-2.1"
PER_TOKEN = {
    "text_in": "4.00", "text_cached": "0.40", "text_out": "24.00",
    "audio_in": "32.00", "audio_cached": "0.40", "audio_out": "64.00",
    "image_in": "5.00", "image_cached": "0.50",
}  # fmt: skip
CARD = Card(
    id="card",
    vendor="openai",
    version="2026-11",
    valid_from=date(2024, 1, 1),
    currency="USD",
    rates={
        **{f"{MODEL}:{kind}": ("token", Decimal(price) / 1_000_000) for kind, price in PER_TOKEN.items()},
        "gpt-4o-mini-transcribe:audio_in": ("token", Decimal("0.00000125")),
        "gpt-4o-mini-transcribe:text_out": ("token", Decimal("0.000005")),
        "whisper-1:minute": ("minute", Decimal("0.006")),
        "voice_inbound_local": ("minute", Decimal("0.0085")),
    },
)
# The vendor's own shape, openai-realtime.md §5.1.
USAGE = {
    "total_tokens": 1250, "input_tokens": 1100, "output_tokens": 150,
    "input_token_details": {
        "text_tokens": 700, "audio_tokens": 400, "image_tokens": 0,
        "cached_tokens": 832,
        "cached_tokens_details": {"text_tokens": 640, "audio_tokens": 192, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 40, "audio_tokens": 110, "reasoning_tokens": 25},
}  # fmt: skip


def quantities(lines):
    return {line.item.partition(":")[2]: line.quantity for line in lines}


def total(lines):
    return sum((line.amount for line in lines), Decimal(0))


def test_cached_tokens_are_counted_once_and_reasoning_tokens_stay_inside_text():
    lines = price_response(MODEL, USAGE, card=CARD)

    assert quantities(lines) == {
        "text_in": 60, "text_cached": 640, "audio_in": 208, "audio_cached": 192, "text_out": 40, "audio_out": 110,
    }  # fmt: skip
    by_hand = 60 * 4 + 640 * Decimal("0.4") + 208 * 32 + 192 * Decimal("0.4") + 40 * 24 + 110 * 64
    assert total(lines) == Decimal(by_hand) / 1_000_000


def test_cached_tokens_without_details_are_taken_from_text_first():
    usage = {"input_token_details": {"text_tokens": 100, "audio_tokens": 50, "cached_tokens": 120}}

    assert quantities(price_response(MODEL, usage, card=CARD)) == {
        "text_cached": 100,
        "audio_in": 30,
        "audio_cached": 20,
    }


def test_usage_without_any_details_is_priced_as_text():
    usage = {"input_tokens": 10, "output_tokens": 5}

    assert quantities(price_response(MODEL, usage, card=CARD)) == {"text_in": 10, "text_out": 5}


@pytest.mark.parametrize("usage", [{}, {"input_token_details": None, "output_token_details": {}}])
def test_empty_usage_makes_no_line(usage):
    assert price_response(MODEL, usage, card=CARD) == []


def test_lost_usage_is_estimated_from_received_audio_and_the_last_context_and_says_so():
    lines = price_lost_response(MODEL, audio_ms=2_000, card=CARD, previous=USAGE)

    assert quantities(lines) == {"audio_out": 40, "text_out": 10, "text_cached": 1100, "audio_in": 110}
    assert all(line.usage_lost for line in lines)


def test_lost_usage_of_a_first_response_without_audio_costs_nothing():
    assert price_lost_response(MODEL, audio_ms=0, card=CARD) == []


def test_transcription_by_tokens_and_by_duration():
    tokens = {
        "type": "tokens", "total_tokens": 40, "input_tokens": 30,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 30}, "output_tokens": 10,
    }  # fmt: skip
    by_tokens = price_transcription("gpt-4o-mini-transcribe", tokens, card=CARD)
    by_minute = price_transcription("whisper-1", {"type": "duration", "seconds": 3.2}, card=CARD)

    assert total(by_tokens) == Decimal("30") * Decimal("0.00000125") + Decimal("10") * Decimal("0.000005")
    assert quantities(by_minute) == {"minute": Decimal("0.053333")}
    assert {line.layer for line in by_tokens + by_minute} == {Layer.TRANSCRIPTION}


def test_an_item_without_a_rate_keeps_its_quantity_and_names_the_cause():
    (line,) = price_response("gpt-realtime-9", {"output_tokens": 7}, card=CARD)

    assert (line.quantity, line.amount, line.cause, line.card_id) == (7, 0, NO_RATE, None)


def test_started_minutes_are_billed():
    bill = {
        seconds: price_minutes(Layer.CARRIER, "voice_inbound_local", seconds=seconds, card=CARD).quantity
        for seconds in (1, 60, 61)
    }

    assert bill == {1: 1, 60: 1, 61: 2}


def test_toll_free_numbers_have_their_own_tariff():
    assert inbound_item("+18005550100") == "voice_inbound_tollfree"
    assert inbound_item("+15550000000") == "voice_inbound_local"


def test_a_call_keeps_the_card_of_its_day():
    newer = Card(id="b", vendor="openai", version="2027-01", valid_from=date(2027, 1, 1), currency="USD", rates={})

    assert find_card((CARD, newer), vendor="openai", on=date(2026, 12, 31)) is CARD
    assert find_card((CARD, newer), vendor="openai", on=date(2027, 1, 1)) is newer
    assert find_card((CARD, newer), vendor="twilio", on=date(2027, 1, 1)) is None


counts = st.integers(0, 10**7)


@given(
    text=counts, audio=counts, image=counts, shares=st.tuples(*[st.floats(0, 1)] * 3), text_out=counts, audio_out=counts
)
def test_every_input_token_is_priced_exactly_once(text, audio, image, shares, text_out, audio_out):
    cached = [int(count * share) for count, share in zip((text, audio, image), shares, strict=True)]
    usage = {
        "input_token_details": {
            "text_tokens": text, "audio_tokens": audio, "image_tokens": image, "cached_tokens": sum(cached),
            "cached_tokens_details": dict(zip(("text_tokens", "audio_tokens", "image_tokens"), cached, strict=True)),
        },
        "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
    }  # fmt: skip
    found = quantities(price_response(MODEL, usage, card=CARD))

    assert found.get("text_in", 0) + found.get("text_cached", 0) == text
    assert found.get("audio_in", 0) + found.get("audio_cached", 0) == audio
    assert found.get("image_in", 0) + found.get("image_cached", 0) == image
    assert found.get("text_out", 0) == text_out
    assert found.get("audio_out", 0) == audio_out

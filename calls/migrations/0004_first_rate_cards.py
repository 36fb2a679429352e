"""The first rate cards: figures of the vendors' pages as read in November 2026; later cards are added by the operator, never edited."""

from datetime import date
from decimal import Decimal

from django.db import migrations

from tenants.ids import new_id

# USD per 1M tokens: text in, cached, out; audio in, cached, out; image in, cached.
REALTIME = {
    "gpt-realtime-2.1": "4.00 0.40 24.00 32.00 0.40 64.00 5.00 0.50",
    "gpt-realtime-2": "4.00 0.40 24.00 32.00 0.40 64.00 5.00 0.50",
    "gpt-realtime-2.1-mini": "0.60 0.06 2.40 10.00 0.30 20.00 0.80 0.08",
    "gpt-realtime-1.5": "4.00 0.40 16.00 32.00 0.40 64.00 5.00 0.50",
    "gpt-realtime": "4.00 0.40 16.00 32.00 0.40 64.00 5.00 0.50",
    "gpt-realtime-mini": "0.60 0.06 2.40 10.00 0.30 20.00 0.80 0.08",
}
KINDS = ["text_in", "text_cached", "text_out", "audio_in", "audio_cached", "audio_out", "image_in", "image_cached"]
# A prompt's text has no figure of its own on the page: it is priced like the audio.
TRANSCRIBERS = {
    "gpt-4o-mini-transcribe": {"text_in": "1.25", "audio_in": "1.25", "text_out": "5.00"},
    "gpt-4o-transcribe": {"text_in": "2.50", "audio_in": "6.00", "text_out": "10.00"},
}
TRANSCRIBED_MINUTES = {"whisper-1": "0.006", "gpt-transcribe": "0.0045", "gpt-live-transcribe": "0.017", "gpt-realtime-whisper": "0.017"}
TWILIO = {
    "voice_inbound_local": ("minute", "0.0085"),
    "voice_inbound_tollfree": ("minute", "0.0220"),
    "voice_outbound": ("minute", "0.0140"),
    "media_stream": ("minute", "0.0040"),
    "conversation_relay": ("minute", "0.07"),
    "sip_interface": ("minute", "0.0040"),
    "recording": ("minute", "0.0025"),
    "recording_storage": ("minute_month", "0.0005"),
    "amd": ("call", "0.0075"),
    "sms": ("segment", "0.0083"),
    "number_local": ("month", "1.15"),
    "number_tollfree": ("month", "2.15"),
}
MILLION = Decimal(1_000_000)


def add_cards(apps, schema_editor):
    RateCard = apps.get_model("calls", "RateCard")
    Rate = apps.get_model("calls", "Rate")

    def add(vendor, source, rates):
        card, _ = RateCard.objects.get_or_create(
            vendor=vendor,
            version="2026-11",
            defaults={"id": new_id(), "valid_from": date(2024, 1, 1), "currency": "USD", "source": source},
        )
        for item, (unit, price) in rates.items():
            Rate.objects.get_or_create(card=card, item=item, defaults={"id": new_id(), "unit": unit, "price": price})

    tokens = {
        f"{model}:{kind}": ("token", Decimal(price) / MILLION)
        for model, prices in REALTIME.items()
        for kind, price in zip(KINDS, prices.split(), strict=True)
    }
    tokens |= {
        f"{model}:{kind}": ("token", Decimal(price) / MILLION)
        for model, prices in TRANSCRIBERS.items()
        for kind, price in prices.items()
    }
    tokens |= {f"{model}:minute": ("minute", Decimal(price)) for model, price in TRANSCRIBED_MINUTES.items()}
    add("openai", "model pages and realtime costs guide, read October to November 2026", tokens)
    add("twilio", "US list prices as quoted in 2026", {item: (unit, Decimal(price)) for item, (unit, price) in TWILIO.items()})


class Migration(migrations.Migration):
    dependencies = [("calls", "0003_same_tenant")]

    operations = [migrations.RunPython(add_cards, migrations.RunPython.noop)]

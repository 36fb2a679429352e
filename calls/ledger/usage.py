"""Prices a call's raw usage: as it arrives, and once more after the call for whatever was on record but never priced."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from calls.ledger.cards import load_cards
from calls.ledger.entries import make_entries, post_entries, price_usage
from calls.models import Call, LedgerEntry, UsageRecord


def price_record(
    *,
    tenant_id: uuid.UUID,
    call_id: uuid.UUID,
    sequence: int,
    kind: str,
    model: str,
    usage: Mapping[str, Any] | None,
    estimated_audio_ms: int,
    at: datetime,
) -> list[LedgerEntry]:
    """The unsaved lines of one usage record, in the scope of its tenant. Posting them again adds nothing."""
    previous: dict[str, Any] | None = None
    if usage is None:  # an estimate rests on what the call's last response read
        previous = (
            UsageRecord.objects.filter(call_id=call_id, kind="response", usage__isnull=False)
            .order_by("-sequence")
            .values_list("usage", flat=True)
            .first()
        )
    lines = price_usage(
        kind=kind,
        model=model,
        usage=usage,
        estimated_audio_ms=estimated_audio_ms,
        at=at,
        cards=load_cards(),
        previous=previous,
    )
    source = name_source(call_id, sequence)
    return make_entries(lines, tenant_id=tenant_id, call_id=call_id, source=source, occurred_at=at)


def make_up_usage(call: Call) -> int:
    """Price what no line stands for: pricing may have failed while the call ran. Returns how many records that were."""
    priced = set(LedgerEntry.objects.filter(call=call).values_list("source_key", flat=True))
    began_at = call.answered_at or call.created_at
    missing = [
        record
        for record in UsageRecord.objects.filter(call=call).order_by("sequence")
        if not any(key.startswith(f"{name_source(call.pk, record.sequence)}:") for key in priced)
    ]
    for record in missing:
        post_entries(
            price_record(
                tenant_id=call.tenant_id,
                call_id=call.pk,
                sequence=record.sequence,
                kind=record.kind,
                model=record.model,
                usage=record.usage,
                estimated_audio_ms=record.estimated_audio_ms,
                at=began_at + timedelta(milliseconds=record.at_ms),
            )
        )
    return len(missing)


def name_source(call_id: uuid.UUID, sequence: int) -> str:
    """What a usage record's lines are keyed by."""
    return f"usage:{call_id}:{sequence}"

"""Fetches a recording from the carrier into our private storage, priced and check-summed (product 8.5)."""

from __future__ import annotations

import hashlib
import tempfile
from typing import IO

from django.core.files import File

from calls.aftermath.steps import StepLater, worker
from calls.aftermath.totals import compute_totals
from calls.ledger.cards import load_cards
from calls.ledger.entries import VENDOR_CARRIER, make_entries, post_entries
from calls.ledger.pricing import find_card, price_minutes
from calls.models import AfterStep, Recording
from calls.readouts.hook_bodies import describe_recording
from calls.services import outbox
from calls.vocabulary import HookEvent, Layer
from gateways.telephony import open_account
from tenants.models import CarrierAccount

KIND = "recording"
RETRY_SECONDS = 3.0  # after `completed` the media may still be missing for a moment (twilio.md §8.2)


@worker(KIND)
def fetch_recording(step: AfterStep) -> None:
    """Downloads, stores and prices one recording. Raises StepLater while the carrier still works on it."""
    recording = Recording.objects.select_related("call").get(pk=step.step.partition(":")[2])
    if recording.state == Recording.State.STORED:
        return
    account = CarrierAccount.objects.get(account_sid=recording.call.account_sid)
    gateway = open_account(account.account_sid, account.auth_token)
    info = gateway.fetch_recording(recording.carrier_sid)
    if info.status in ("absent", "failed", "deleted"):
        Recording.objects.filter(pk=recording.pk).update(
            state=Recording.State.ABSENT if info.status == "absent" else Recording.State.FAILED
        )
        return
    if info.status != "completed":
        raise StepLater(f"the carrier says the recording is {info.status}", seconds=RETRY_SECONDS)
    with tempfile.TemporaryFile() as sound:
        gateway.download_recording(recording.carrier_sid, sound, channels=info.channels)
        recording.sha256 = _digest(sound)
        recording.channels = info.channels
        recording.duration_s = info.duration_s
        recording.source = info.source
        recording.state = Recording.State.STORED
        recording.file.save(f"{recording.pk}.wav", File(sound), save=False)
    recording.save()
    outbox.tell(HookEvent.RECORDING_STORED, recording.pk, describe_recording(recording), call=recording.call)
    _post_cost(recording)
    compute_totals(step)


def _digest(sound: IO[bytes]) -> str:
    digest = hashlib.sha256()
    sound.seek(0)
    while part := sound.read(1 << 16):
        digest.update(part)
    sound.seek(0)
    return digest.hexdigest()


def _post_cost(recording: Recording) -> None:
    call = recording.call
    card = find_card(load_cards(), vendor=VENDOR_CARRIER, on=call.created_at.date())
    line = price_minutes(Layer.RECORDING, "recording", seconds=recording.duration_s or 0, card=card)
    if line.quantity:
        post_entries(
            make_entries(
                [line],
                tenant_id=call.tenant_id,
                call_id=call.pk,
                source=f"recording:{recording.pk}",
                occurred_at=recording.created_at,
            )
        )

"""`doctor --call`: the carrier's double rings one of our numbers through the real public address, and every hop is timed.

The model, the network and the processes are the configured ones; only the carrier is the double, with the tenant's own token.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from calls.models import Route
from calls.services.addresses import number_status_url, voice_url
from config.doctor.result import Finding, failed, ok
from emulators.callers import Caller, HangUp, WaitForAgent
from emulators.twilio.config import DoubleConfig
from emulators.twilio.double import TwilioDouble
from tenants.scope import every_tenant

CALLER = "+15005550100"
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What the double saw, in seconds since it began to ring; None for what never happened."""

    status: str
    webhook_s: float | None
    stream_s: float | None
    voice_s: float | None


def place_call(e164: str) -> Iterator[Finding]:
    """Rings the number (or the first one, when empty), hears the greeting out and hangs up."""
    with every_tenant(reason="the doctor rings any tenant's number"):
        routes = Route.objects.select_related("number__account").filter(number__state="active").order_by("id")
        route = (routes.filter(number__e164=e164) if e164 else routes).first()
    if route is None:
        yield failed(
            "call", f"there is no active number {e164}".rstrip(), mend="provision one, or name another with --number"
        )
        return
    seen = asyncio.run(_ring(route))
    hops = {
        "call: webhook answered": seen.webhook_s,
        "call: stream up": seen.stream_s,
        "call: agent heard": seen.voice_s,
    }
    for name, at_s in hops.items():
        if at_s is None:
            yield failed(
                name, f"never; the call is {seen.status}", mend="look at the media process' log and at the call's page"
            )
        else:
            yield ok(name, f"{at_s * 1000:.0f} ms after ringing")


async def _ring(route: Route) -> Rehearsed:
    number = route.number
    async with TwilioDouble(DoubleConfig(strict=False)) as double:
        double.add_account(sid=number.account.account_sid, auth_token=number.account.auth_token)
        double.add_number(
            number.e164,
            account=number.account.account_sid,
            sid=number.carrier_sid or None,
            voice_url=voice_url(route.public_id),
            status_callback=number_status_url(route.public_id),
        )
        caller = Caller([WaitForAgent(quiet_ms=800, timeout_s=PATIENCE_SECONDS), HangUp()])
        call = await double.ring(to=number.e164, from_=CALLER, caller=caller)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(call.ended(), timeout=PATIENCE_SECONDS * 2)
        times = {entry.kind: entry.at_s for entry in reversed(call.log)}
        voice_ms = call.leg.ear.first_voice_ms
        stream_s = times.get("stream-started")
        # Without a stream the voice was the carrier's, reading a sentence or its apology.
        return Rehearsed(
            status=call.status,
            webhook_s=times.get("twiml"),
            stream_s=stream_s,
            voice_s=None if voice_ms is None or stream_s is None else voice_ms / 1000,
        )

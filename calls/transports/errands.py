"""What a bridge has the desk do for it: leave the call durably, start its recording. Each wait has its limit; none decides."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from calls.session.commands import Leave
from calls.session.events import Event, RecordingFailed, RecordingStarted
from calls.transports.ports import Desk, LiveCall, Records

log = structlog.get_logger(__name__)

DISPOSITION_S = 0.25  # product 5.4.2: the one wait for the database that a call allows
REDIRECT_S = 10.0  # the telephony gateway's own limit (TWILIO_TIMEOUT_S)
RECORDING_S = 10.0


async def walk_out(call: LiveCall, leave: Leave, *, desk: Desk, records: Records) -> None:
    """The disposition first; then the caller closes the socket, and the carrier asks the resume URL (twilio.md §1.6).

    Never raises but on cancellation: when nothing could be stored or said, the document after `<Connect>` is the last net.
    """
    try:
        try:
            async with asyncio.timeout(DISPOSITION_S):
                await desk.save_disposition(call, leave)
                await records.flush(call)  # whoever resumes reads what was said
        except Exception as error:  # no store: tell the carrier itself what to do next
            log.warning("disposition_not_saved", detail=str(error) or type(error).__name__, next=leave.next)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REDIRECT_S):
                    await desk.redirect(call, leave)
    except Exception:
        log.exception("leave_failed")  # the resume URL decides without word from us


async def record_call(call: LiveCall, *, desk: Desk, deliver: Callable[[Event], None], offset_ms: int) -> None:
    """Start the carrier's recording and tell the session. Whatever goes wrong, the call goes on and the record says so."""
    try:
        async with asyncio.timeout(RECORDING_S):
            sid = await desk.start_recording(call, offset_ms=offset_ms)
    except Exception as error:
        log.warning("recording_failed", detail=str(error))
        deliver(RecordingFailed(str(error)[:300]))
    else:
        deliver(RecordingStarted(sid))

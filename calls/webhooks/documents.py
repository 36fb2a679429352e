"""Renders an answer as TwiML; every address in it comes from calls.services.addresses. Decides nothing."""

from __future__ import annotations

from calls.services import addresses
from calls.services.answers import AnyAnswer, ConnectStream, DialPerson, HangUp, TakeVoicemail
from calls.services.tickets import make_ticket
from gateways.twiml import Document

STREAM_NAME = "agent"
TICKET = "ticket"
VOICEMAIL_SILENCE_S = 5  # the carrier's own default, sent explicitly (twilio.md §3.7)


def render_answer(answer: AnyAnswer, ref: str) -> str:
    """The document for this call. The same answer always renders the same text."""
    document = Document().say(answer.say)
    match answer:
        case ConnectStream():
            document.connect_stream(
                addresses.media_url(answer.process, ref),
                name=f"{STREAM_NAME}-{answer.serial}",  # unique per call (§1.2)
                status_callback=addresses.stream_status_url(ref),
                parameters={TICKET: make_ticket(ref, serial=answer.serial, issued_at=answer.issued_at)},
            ).redirect(addresses.resume_url(ref))
        case DialPerson():
            document.dial_number(
                answer.e164,
                action=addresses.dial_url(ref),
                time_limit_s=answer.time_limit_s,
                timeout_s=answer.timeout_s,
                caller_id=answer.caller_id,
                status_callback=addresses.leg_status_url(ref),
            )
        case TakeVoicemail():
            document.say(answer.greeting).record(
                action=addresses.voicemail_url(ref),
                recording_status_callback=addresses.recording_url(ref),
                max_length_s=answer.max_length_s,
                silence_s=VOICEMAIL_SILENCE_S,
            ).redirect(addresses.resume_url(ref))  # a silent caller: no action request, the next verb runs (§3.7)
        case HangUp():
            document.hangup()
    return document.render()

"""Renders an answer as TwiML; every address in it comes from calls.services.addresses. Decides nothing."""

from __future__ import annotations

from calls.services import addresses, sentences
from calls.services.answers import AnyAnswer, ConnectStream, DialPerson, DialSip, HangUp, Line, TakeVoicemail
from calls.services.tickets import SIP_CALL, SIP_TICKET, make_ticket
from gateways.twiml import Document
from gateways.voice_calls import sip_address

STREAM_NAME = "agent"
TICKET = "ticket"
HOLD_QUERY = "hold"
HOLD_PAUSE_S = 4
MOST_HOLDS = (
    8  # about 40 s with what the carrier needs between them; it follows at most 10 redirects in a row (§3.2: 11215)
)
VOICEMAIL_SILENCE_S = 5  # the carrier's own default, sent explicitly (twilio.md §3.7)


def render_answer(answer: AnyAnswer, ref: str) -> str:
    """The document for this call. The same answer always renders the same text."""
    document = Document()
    for line in answer.say:
        _say(document, line)
    match answer:
        case ConnectStream():
            document.connect_stream(
                addresses.media_url(answer.process, ref),
                name=f"{STREAM_NAME}-{answer.serial}",  # unique per call (§1.2)
                status_callback=addresses.stream_status_url(ref),
                parameters={TICKET: make_ticket(ref, serial=answer.serial, issued_at=answer.issued_at)},
            ).redirect(addresses.resume_url(ref))
        case DialSip():
            document.dial_sip(
                sip_address(),
                headers={
                    SIP_TICKET: make_ticket(ref, serial=answer.serial, issued_at=answer.issued_at),
                    SIP_CALL: ref,
                },
                action=addresses.sip_url(ref),
                refer_url=addresses.refer_url(ref),
                time_limit_s=answer.time_limit_s,
                timeout_s=answer.timeout_s,
                recording_status_callback=addresses.recording_url(ref) if answer.records else "",
            )
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
            _say(document, answer.greeting).record(
                action=addresses.voicemail_url(ref),
                recording_status_callback=addresses.recording_url(ref),
                max_length_s=answer.max_length_s,
                silence_s=VOICEMAIL_SILENCE_S,
            ).redirect(addresses.resume_url(ref))  # a silent caller: no action request, the next verb runs (§3.7)
        case HangUp():
            document.hangup()
    return document.render()


def render_hold(url: str, *, holds: int) -> str:
    """Without a database: ask the caller for patience and have the carrier ask `url` again, a bounded number of times.

    It is given to whoever asks, because no signature can be checked then: it tells and changes nothing.
    """
    if holds >= MOST_HOLDS:
        return _say(Document(), sentences.cannot_help()).hangup().render()
    document = _say(Document(), sentences.moment_please()) if holds % 3 == 0 else Document()
    base, _, fragment = url.partition("#")
    again = f"{base}?{HOLD_QUERY}={holds + 1}" + (f"#{fragment}" if fragment else "")
    return document.pause(HOLD_PAUSE_S).redirect(again).render()


def render_farewell() -> str:
    """Without a database, after a voicemail: the recording's own callback brings it later."""
    return _say(Document(), sentences.voicemail_thanks()).hangup().render()


def _say(document: Document, line: Line) -> Document:
    return document.say(line.text, language=line.language)

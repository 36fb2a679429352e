"""TwiML documents from typed verbs, with only the attributes we emit: a typo is a TypeError here, not a warning 12200 at the carrier.

Builds text and nothing else; what to answer is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from twilio.twiml.voice_response import Connect, Dial, VoiceResponse

CONTENT_TYPE = "text/xml; charset=utf-8"
LONGEST_DOCUMENT = 64_000  # bytes; error 11750 above (twilio.md §3.2)
LONGEST_SIP_URI = 255  # exclusive, headers included (§7.4)
LONGEST_PARAMETER = 500  # characters of name and value together, exclusive (§1.2)


class TwimlError(ValueError):
    """The document would be refused or misread by the carrier."""


class Document:
    """Verbs in order. Each method appends one and returns the document."""

    def __init__(self) -> None:
        self._response = VoiceResponse()

    def connect_stream(
        self, url: str, *, name: str, status_callback: str, parameters: Mapping[str, str] | None = None
    ) -> Document:
        """`<Connect><Stream>`: two-way audio. Raises TwimlError for an address or parameter that the carrier would drop."""
        if not url.startswith(("wss://", "ws://")) or "?" in url or "#" in url:
            raise TwimlError("a stream needs a socket address without query or fragment (twilio.md §1.2)")
        connect = Connect()
        stream = connect.stream(
            url=url, name=name, status_callback=status_callback or None, status_callback_method="POST"
        )
        for key, value in (parameters or {}).items():
            if len(key) + len(value) >= LONGEST_PARAMETER:
                raise TwimlError(f"parameter {key} is too long (twilio.md §1.2)")
            stream.parameter(name=key, value=value)
        self._response.append(connect)
        return self

    def redirect(self, url: str) -> Document:
        self._response.redirect(url, method="POST")
        return self

    def say(self, text: str, *, language: str = "") -> Document:
        """Spoken by the carrier. Empty text adds nothing."""
        if text.strip():
            self._response.say(text.strip(), language=language or None)
        return self

    def dial_number(
        self,
        number: str,
        *,
        action: str,
        time_limit_s: int,
        timeout_s: int,
        caller_id: str = "",
        status_callback: str = "",
    ) -> Document:
        """`<Dial action><Number>`; every leg has its time limit (product 6.6)."""
        dial = Dial(
            action=action,
            method="POST",
            time_limit=time_limit_s,
            timeout=timeout_s,
            caller_id=caller_id or None,
        )
        dial.number(
            number,
            status_callback=status_callback or None,
            status_callback_method="POST" if status_callback else None,
            status_callback_event="initiated ringing answered completed" if status_callback else None,
        )
        self._response.append(dial)
        return self

    def dial_sip(
        self,
        uri: str,
        *,
        headers: Mapping[str, str],
        action: str,
        refer_url: str,
        time_limit_s: int,
        timeout_s: int,
        recording_status_callback: str = "",
    ) -> Document:
        """`<Dial><Sip>`, ringing until it is answered; recorded from the answer when there is a callback for it.

        Raises TwimlError for what the carrier would refuse (twilio.md §7.4).
        """
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in headers.items())
        address = f"{uri}?{query}" if query else uri
        if not uri.startswith("sip:") or len(address) >= LONGEST_SIP_URI:
            raise TwimlError("a SIP address begins with sip: and is shorter than 255 characters (21227)")
        if any(not name.startswith("x-") for name in headers):
            raise TwimlError("own SIP headers begin with x- (21229)")
        dial = Dial(
            action=action,
            method="POST",
            time_limit=time_limit_s,
            timeout=timeout_s,
            answer_on_bridge=True,
            refer_url=refer_url,
            refer_method="POST",
            record="record-from-answer-dual" if recording_status_callback else None,
            trim="do-not-trim" if recording_status_callback else None,  # offsets hold (§4.5)
            recording_status_callback=recording_status_callback or None,
            recording_status_callback_method="POST" if recording_status_callback else None,
            recording_status_callback_event="in-progress completed absent" if recording_status_callback else None,
        )
        dial.sip(address)
        self._response.append(dial)
        return self

    def record(
        self, *, action: str, recording_status_callback: str, max_length_s: int, silence_s: int, play_beep: bool = True
    ) -> Document:
        """`<Record>`; `action` is required because its default is this very document (§3.7, loop trap)."""
        self._response.record(
            action=action,
            method="POST",
            timeout=silence_s,
            max_length=max_length_s,
            play_beep=play_beep,
            trim="trim-silence",  # nobody listens to a pause before the first word
            recording_status_callback=recording_status_callback,
            recording_status_callback_method="POST",
            recording_status_callback_event="completed absent",
        )
        return self

    def pause(self, seconds: int) -> Document:
        self._response.pause(length=seconds)
        return self

    def hangup(self) -> Document:
        self._response.hangup()
        return self

    def reject(self, reason: str = "rejected") -> Document:
        """Only as the first verb, and not billed. Raises TwimlError for a reason that the carrier does not know."""
        if reason not in ("rejected", "busy"):
            raise TwimlError("reject knows rejected and busy")
        self._response.reject(reason=reason)
        return self

    def render(self) -> str:
        """The document as text. Raises TwimlError above the carrier's size."""
        text: str = self._response.to_xml()
        if len(text.encode()) > LONGEST_DOCUMENT:
            raise TwimlError("the document is larger than the carrier reads (11750)")
        return text

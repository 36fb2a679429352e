"""Twilio Media Streams: carrier frames to small typed values and back; knows no socket, no call and no model but its append event.

Caller audio takes a short cut: the payload of a frame in the recognised shape is lifted out by one regular expression whose
language holds only valid JSON of that meaning, and set between two constants. Everything else is parsed in full; both ways give the
same result (tests/calls/wire/test_splice.py proves it). Shapes: twilio.md §1.4, §1.5.
"""

from __future__ import annotations

import binascii
import re
from typing import NamedTuple

import msgspec

from calls.session.events import MULAW_BYTES_PER_MS
from calls.wire.errors import WireError

MULAW_SILENCE = b"\xff"  # openai-realtime.md §3.3
MAX_FRAME_CHARS = 64 * 1024  # twilio.md §12 "Oversize/forged inbound messages": 64 KiB used upstream

APPEND_PREFIX = b'{"type":"input_audio_buffer.append","audio":"'
APPEND_SUFFIX = b'"}'


class Chunk(NamedTuple):
    """One piece of caller audio, ready for the model: `append` is the whole client event."""

    stream_sid: str
    timestamp_ms: int  # -1 when the carrier gave none
    size: int  # bytes of μ-law
    append: bytes


class Frame(msgspec.Struct, frozen=True, tag_field="event", rename="camel"):
    """Base of what the carrier sends; unknown extra fields are passed over."""


class MediaFormat(msgspec.Struct, frozen=True, rename="camel"):
    encoding: str = "audio/x-mulaw"
    sample_rate: int = 8000
    channels: int = 1


class StartBody(msgspec.Struct, frozen=True, rename="camel"):
    account_sid: str
    call_sid: str
    custom_parameters: dict[str, str] = {}
    media_format: MediaFormat = MediaFormat()


class MediaBody(msgspec.Struct, frozen=True):
    payload: str
    track: str = "inbound"
    timestamp: str = ""


class DtmfBody(msgspec.Struct, frozen=True):
    digit: str


class MarkBody(msgspec.Struct, frozen=True):
    name: str


class Connected(Frame, frozen=True, tag="connected"):
    protocol: str = ""
    version: str = ""


class Start(Frame, frozen=True, tag="start"):
    stream_sid: str
    start: StartBody


class Media(Frame, frozen=True, tag="media"):
    stream_sid: str
    media: MediaBody


class Dtmf(Frame, frozen=True, tag="dtmf"):
    dtmf: DtmfBody
    stream_sid: str = ""


class Mark(Frame, frozen=True, tag="mark"):
    mark: MarkBody
    stream_sid: str = ""


class Stop(Frame, frozen=True, tag="stop"):
    stream_sid: str = ""


AnyFrame = Connected | Start | Media | Dtmf | Mark | Stop

_decoder: msgspec.json.Decoder[AnyFrame] = msgspec.json.Decoder(AnyFrame)
_DIGITS = re.compile(r"[0-9]{1,12}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_DTMF = re.compile(r"[0-9*#A-D]")

# The shapes carriers really write: Twilio's own key order and the order of its documentation, with or without one space
# after `:` and `,` (JSON.stringify and json.dumps). No class admits a quote, a backslash or a control character, so a match is
# valid JSON that means what its groups say. Sequence number and chunk are not used and not captured.
_SID = rb"([A-Za-z0-9_-]{1,64})"
_MEDIA = (
    rb'"media": ?\{"track": ?"inbound", ?"chunk": ?"[0-9]{1,12}", ?"timestamp": ?"([0-9]{1,12})", ?'
    rb'"payload": ?"([A-Za-z0-9+/]+={0,2})"\}'
)
_SHAPE_SID_FIRST = re.compile(
    rb'\{"event": ?"media", ?"sequenceNumber": ?"[0-9]{1,12}", ?"streamSid": ?"' + _SID + rb'", ?' + _MEDIA + rb"\}"
)
_SHAPE_SID_LAST = re.compile(
    rb'\{"event": ?"media", ?"sequenceNumber": ?"[0-9]{1,12}", ?' + _MEDIA + rb', ?"streamSid": ?"' + _SID + rb'"\}'
)


def splice(text: bytes) -> Chunk | None:
    """The frame's audio without JSON parsing, or None when the shape is not the recognised one (then use `parse`)."""
    match = _SHAPE_SID_FIRST.fullmatch(text)
    if match is not None:
        stream_sid, timestamp, payload = match.groups()
    else:
        match = _SHAPE_SID_LAST.fullmatch(text)
        if match is None:
            return None
        timestamp, payload, stream_sid = match.groups()
    if len(payload) % 4:
        return None
    return Chunk(stream_sid.decode(), int(timestamp), _measure(payload), APPEND_PREFIX + payload + APPEND_SUFFIX)


def parse(text: str | bytes) -> AnyFrame:
    """Read any frame in full. Raises WireError for whatever is not a frame of twilio.md §1.4, and nothing else."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise WireError(f"carrier frame: {error}") from error


def read_media(frame: Media) -> Chunk | None:
    """A parsed media frame as a chunk; None for a track that is not the caller's. Raises WireError for bad audio."""
    body = frame.media
    if body.track != "inbound":
        return None
    if body.timestamp and not _DIGITS.fullmatch(body.timestamp):
        raise WireError("carrier frame: timestamp is no number")
    if len(body.payload) % 4 or not _BASE64.fullmatch(body.payload):
        raise WireError("carrier frame: payload is no base64")  # never reaches the model
    timestamp_ms = int(body.timestamp) if body.timestamp else -1
    payload = body.payload.encode()
    return Chunk(frame.stream_sid, timestamp_ms, _measure(payload), APPEND_PREFIX + payload + APPEND_SUFFIX)


def read_digit(frame: Dtmf) -> str:
    """The pressed key. Raises WireError when it is none."""
    if not _DTMF.fullmatch(frame.dtmf.digit):
        raise WireError("carrier frame: digit is no key")
    return frame.dtmf.digit


def make_silence(ms: int) -> bytes:
    """An append event of that much μ-law silence, to fill a gap (openai-realtime.md §7.1)."""
    audio = binascii.b2a_base64(MULAW_SILENCE * (ms * MULAW_BYTES_PER_MS), newline=False)
    return APPEND_PREFIX + audio + APPEND_SUFFIX


class Encoder:
    """Writes to one stream. No other property than these may be sent (error 31951, twilio.md §1.5)."""

    def __init__(self, stream_sid: str) -> None:
        sid = msgspec.json.encode(stream_sid)
        self._media = b'{"event":"media","streamSid":' + sid + b',"media":{"payload":"'
        self._mark = b'{"event":"mark","streamSid":' + sid + b',"mark":{"name":'
        self.clear = b'{"event":"clear","streamSid":' + sid + b"}"

    def media(self, audio: bytes | memoryview) -> bytes:
        return self._media + binascii.b2a_base64(audio, newline=False) + b'"}}'

    def mark(self, name: str) -> bytes:
        return self._mark + msgspec.json.encode(name) + b"}}"


def _measure(payload: bytes) -> int:
    """Bytes that well-formed base64 stands for."""
    return len(payload) // 4 * 3 - payload.count(b"=", -2)

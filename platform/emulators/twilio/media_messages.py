"""What a server may send on a media socket, read strictly (twilio.md §1.5). Pure: bytes in, a message or a breach out."""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import Any

import orjson

_SHAPES: dict[str, frozenset[str]] = {
    "media": frozenset({"event", "streamSid", "media"}),
    "mark": frozenset({"event", "streamSid", "mark"}),
    "clear": frozenset({"event", "streamSid"}),
}


@dataclass(frozen=True, slots=True)
class Malformed:
    """31950: the message is not carried out."""

    text: str


@dataclass(frozen=True, slots=True)
class Media:
    audio: bytes
    unknown: tuple[str, ...]  # 31951: carried out all the same


@dataclass(frozen=True, slots=True)
class MarkWanted:
    name: str
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClearWanted:
    unknown: tuple[str, ...]


Message = Media | MarkWanted | ClearWanted


def read_message(text: bytes, *, stream_sid: str) -> Message | Malformed:
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return Malformed("not a JSON text message")
    if not isinstance(message, dict) or message.get("event") not in _SHAPES:
        return Malformed(f"unknown event in {text[:80]!r}")
    event: str = message["event"]
    if message.get("streamSid") != stream_sid:
        return Malformed(f"{event}: streamSid is not that of this socket")
    unknown = _name_unknown(event, message, _SHAPES[event])
    if event == "media":
        return _read_media(message.get("media"), unknown)
    if event == "mark":
        return _read_mark(message.get("mark"), unknown)
    return ClearWanted(unknown)


def _read_media(media: object, unknown: tuple[str, ...]) -> Media | Malformed:
    if not isinstance(media, dict) or not isinstance(media.get("payload"), str):
        return Malformed("media without payload")
    try:
        audio = binascii.a2b_base64(media["payload"], strict_mode=True)
    except ValueError:  # binascii.Error, and what is not ASCII
        return Malformed("media.payload is not base64")
    if not audio:
        return Malformed("media.payload is empty")
    # §1.5: do not echo track, chunk or timestamp.
    return Media(audio, unknown + _name_unknown("media", media, frozenset({"payload"})))


def _read_mark(mark: object, unknown: tuple[str, ...]) -> MarkWanted | Malformed:
    if not isinstance(mark, dict) or not isinstance(mark.get("name"), str) or not mark["name"]:
        return Malformed("mark without name")  # §1.5: mandatory
    return MarkWanted(mark["name"], unknown + _name_unknown("mark", mark, frozenset({"name"})))


def _name_unknown(where: str, given: dict[str, Any], known: frozenset[str]) -> tuple[str, ...]:
    extra = given.keys() - known
    return (f"{where}: unknown properties {sorted(extra)}",) if extra else ()

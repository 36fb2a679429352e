"""What the carrier is told to do next, as plain values that can be stored with the event and rendered again; nothing is decided here."""

from __future__ import annotations

from typing import Any

import msgspec


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Words for the carrier's voice. `language` is its tag (`nl-NL`); empty leaves it to the carrier."""

    text: str
    language: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Base. `say` is spoken by the carrier first."""

    say: tuple[Line, ...] = ()


class ConnectStream(Answer, frozen=True, kw_only=True, tag=True):
    """The agent, over Media Streams. The ticket is derived from `serial` and `issued_at`, so a repeat renders the same document."""

    serial: int
    issued_at: int  # seconds since the epoch
    process: str  # stands in the stream's path


class DialSip(Answer, frozen=True, kw_only=True, tag=True):
    """The agent, over SIP: the carrier rings the model. The ticket travels in the invitation's headers."""

    serial: int
    issued_at: int
    time_limit_s: int
    timeout_s: int
    records: bool = False  # from the answer on, both sides; the disclosure is among what is said first


class DialPerson(Answer, frozen=True, kw_only=True, tag=True):
    e164: str
    name: str = ""
    caller_id: str = ""
    time_limit_s: int
    timeout_s: int


class TakeVoicemail(Answer, frozen=True, kw_only=True, tag=True):
    greeting: Line
    max_length_s: int


class HangUp(Answer, frozen=True, kw_only=True, tag=True):
    """Final: nothing follows this document."""


AnyAnswer = ConnectStream | DialSip | DialPerson | TakeVoicemail | HangUp


def to_json(answer: AnyAnswer) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.to_builtins(answer)
    return data


def from_json(data: object) -> AnyAnswer:
    """Raises msgspec.ValidationError for a value that was never an answer."""
    return msgspec.convert(data, AnyAnswer)  # type: ignore[no-any-return]  # msgspec types a union as Any

"""The small words of the double: SIDs, dates, alerts, log entries, accounts, numbers, people. Values only."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime
from enum import StrEnum

from emulators.callers import Caller


class Status(StrEnum):
    """twilio.md §3.1, §4.2."""

    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    FAILED = "failed"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"


TERMINAL = frozenset({Status.COMPLETED, Status.BUSY, Status.FAILED, Status.NO_ANSWER, Status.CANCELED})  # §3.5


def make_sid(prefix: str) -> str:
    return prefix + secrets.token_hex(16)  # §0.1


def rfc2822(moment: datetime | None) -> str | None:
    return None if moment is None else format_datetime(moment.astimezone(UTC).replace(microsecond=0))  # §0.2


@dataclass(frozen=True, slots=True)
class Alert:
    """What Twilio's debugger would show. A correct product causes none."""

    code: int
    text: str
    call_sid: str | None = None
    resource: str | None = None
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LogEntry:
    at_s: float
    kind: str
    detail: dict[str, object]


@dataclass(slots=True)
class Account:
    sid: str
    auth_token: str
    friendly_name: str = ""
    parent_sid: str | None = None
    status: str = "active"  # active suspended closed (§6.1)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    api_keys: dict[str, str] = field(default_factory=dict)  # SK… → secret; they never sign (§6.2)
    next_dial_s: float = 0.0  # §4.8: calls per second
    countries: frozenset[str] | None = None  # geographic permissions of its own; None: the parent's hold
    spent: Decimal = Decimal(0)  # what Usage Records would say under totalprice (§6.3)

    @property
    def active(self) -> bool:
        return self.status == "active"


@dataclass(slots=True)
class Number:
    e164: str
    sid: str
    account_sid: str
    voice_url: str = ""
    voice_method: str = "POST"
    voice_fallback_url: str = ""
    voice_fallback_method: str = "POST"
    status_callback: str = ""
    status_callback_method: str = "POST"
    friendly_name: str = ""
    voice_caller_id_lookup: bool = False
    voice_application_sid: str = ""
    trunk_sid: str = ""
    sms_url: str = ""
    sms_method: str = "POST"
    number_type: str = "local"
    address_requirements: str = "none"
    address_sid: str = ""
    bundle_sid: str = ""
    capabilities: tuple[str, ...] = ("voice", "sms")
    emergency_active: bool = False
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))


class Outcome(StrEnum):
    ANSWER = "answer"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can be called: a number or a SIP address, and how the call is taken."""

    address: str
    outcome: Outcome = Outcome.ANSWER
    rings_s: float = 1.0  # before the outcome
    caller: Caller = field(default_factory=Caller)
    sip_code: int = 200
    answered_by: str = "human"  # the verdict of answering machine detection, §4.1


class TwilioFault(Exception):
    """A document or a request failed with one of Twilio's codes; `permanent` is False where a retry may help."""

    def __init__(self, code: int, message: str, *, permanent: bool = True) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.permanent = permanent

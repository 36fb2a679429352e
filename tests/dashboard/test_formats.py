"""How the screens write numbers, money, phones and events."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from calls.models import LedgerEntry
from calls.vocabulary import EventKind
from dashboard.templatetags import switchboard as write
from dashboard.timeline import ICONS, describe


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (0, "0:00"), (59, "0:59"), (102, "1:42"), (3_723, "1:02:03")]
)
def test_durations(seconds: int | None, text: str) -> None:
    assert write.duration(seconds) == text


@pytest.mark.parametrize(("ms", "text"), [(None, "–"), (0, "0:00.0"), (12_499, "0:12.4"), (3_600_050, "1:00:00.0")])
def test_places_on_the_calls_clock(ms: int | None, text: str) -> None:
    assert write.clock(ms) == text


@pytest.mark.parametrize(("ms", "text"), [(None, "–"), (820, "820 ms"), (1_240, "1,240 ms"), (12_340, "12.3 s")])
def test_latencies(ms: int | None, text: str) -> None:
    assert write.latency(ms) == text


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (None, "", "–"),
        ("0", "USD", "$0.0000"),
        ("0.00005", "USD", "$0.0001"),
        ("0.000049", "USD", "< $0.0001"),
        ("1234.56785", "EUR", "€1234.5679"),
        ("-0.0123", "USD", "−$0.0123"),
        ("0.5", "JPY", "JPY 0.5000"),
    ],
)
def test_amounts_are_rounded_only_here(amount: str | None, currency: str, text: str) -> None:
    assert write.money(None if amount is None else Decimal(amount), currency) == text


@pytest.mark.parametrize(
    ("quantity", "unit", "price", "text"),
    [
        ("1210.000000", "token", "0.000032000000", "1,210 tokens × $32.00 / M"),
        ("1", "token", "0.0000004", "1 token × $0.40 / M"),
        ("2.000000", "minute", "0.008500000000", "2 min × $0.0085"),
        ("1", "barrel", "12", "1 barrel × $12.00"),
    ],
)
def test_prices_are_written_as_vendors_write_them(quantity: str, unit: str, price: str, text: str) -> None:
    entry = LedgerEntry(quantity=Decimal(quantity), unit=unit, unit_price=Decimal(price), currency="USD")
    assert write.priced(entry) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("+31201234567", "+31 20 123 4567"),
        ("anonymous", "Hidden number"),
        ("Restricted", "Hidden number"),
        ("+266696687", "Hidden number"),
        ("sip:bob@example.com", "sip:bob@example.com"),
        ("+999999999999", "+999999999999"),
    ],
)
def test_phones(number: str, text: str) -> None:
    assert write.phone(number) == text


def test_year_is_written_only_when_it_is_another_one() -> None:
    past = dt.datetime(2019, 3, 1, 12, 0, tzinfo=dt.UTC)
    assert ">1 Mar 2019, 12:00<" in write.moment(past)


def test_broken_json_is_shown_as_it_came() -> None:
    assert write.pretty('{"a": "é"}') == '{\n  "a": "é"\n}'
    assert write.pretty("{broken") == "{broken"


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        ("step", {"step": "voicemail", "rung": 1, "cause": "model_lost", "fault": "model", "detail": "1006"},
         "Voicemail · Model lost · fault: Model · 1006"),
        ("step", {"step": "end", "rung": 2, "skipped": [{"step": "person", "cause": "no_contact", "fault": "us"}]},
         "no rung left · skipped Person: No such contact · fault: Us"),
        ("received", {"step": "streams", "rung": 0}, "Agent by streams"),
        ("model_ready", {"session_id": "s", "model": "gpt-realtime-2.1", "renewed": True}, "gpt-realtime-2.1 · renewed session"),
        ("barge_in", {"generating": False, "cut": [{"heard_ms": 1_000}, {"heard_ms": 200}]}, "the agent was heard for 1,200 ms"),
        ("hand_off", {"source": "A", "target": "B", "reason": ""}, "A → B"),
        ("guardrail", {"name": "prices", "said": "It costs", "heard": ""}, "prices · “It costs” · nothing of it was heard"),
        ("recovery", {"cause": "process_lost", "attempt": 2}, "Process lost · attempt 2"),
        ("transfer", {"dial": "completed", "duration_s": 61, "state": "ended"}, "ended · completed · talked for 61 seconds"),
        ("ended", {"reason": "caller_hung_up", "fault": "none"}, "Caller hung up"),
        ("message_taken", {"call_id": "c", "message": {"text": "Ring back", "name": "Ann"}}, "text: Ring back · name: Ann"),
        ("silence_prompt", {"step": 1, "text": "Are you there?"}, "“Are you there?”"),
        ("leg", {"kind": "person", "sid": "CA1", "state": "busy", "sip": "486"}, "Person · busy · SIP 486"),
        ("digits_collected", {"secret": True, "count": 4, "reference": "d-1"}, "secret: True · count: 4 · reference: d-1"),
        ("step", {"step": "a-word-of-tomorrow"}, "a-word-of-tomorrow"),
        ("ended", {"something": "else", "empty": ""}, "something: else"),
    ],
)  # fmt: skip
def test_events_are_told_in_sentences(kind: str, data: dict[str, Any], text: str) -> None:
    assert describe(EventKind.of(kind), data) == text


def test_every_kind_of_event_has_an_icon() -> None:
    assert set(ICONS) == set(EventKind)

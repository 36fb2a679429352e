"""The flight recorder's file: what goes in comes out, a replay answers alike, and broken files are told apart."""

from __future__ import annotations

import struct
import zlib

import msgspec
import pytest

from calls.session import commands as do
from calls.session import events as ev
from calls.session.flight import FlightError, FlightWriter, read_flight, replay
from calls.session.machine import CallSession
from tests.calls.session.script import Call


def record(call: Call) -> bytes:
    """The file a driver would have written for this call: the script keeps the events, a fresh session the answers."""
    writer = FlightWriter(call.plan)
    data = writer.open()
    session = CallSession(call.plan)
    for at_ms, event in call.fed:
        data += writer.add(event, at_ms=at_ms, commands=session.handle(event, at_ms))
    return data + writer.flush()


def make_call() -> Call:
    call = Call(delay_ms=40.3)
    call.greet()
    for _ in range(12):
        call.caller_says("Where is my order?")
        call.reply("It is on its way.", ms=2000)
        call.run(900)
        call.interrupt()
        call.run(300)
        call.feed(ev.SpeechStopped(item_id="x", audio_end_ms=1))
    call.feed(ev.CallerHungUp())
    return call


def test_a_replay_yields_the_same_commands() -> None:
    call = make_call()

    flight = read_flight(record(call))

    assert flight.plan == call.plan
    assert [event for _, event, _ in flight.moments] == [event for _, event in call.fed]
    assert all(step.same for step in replay(flight))
    replayed = [command for step in replay(flight) for command in step.commands]
    assert replayed == [command for _, command in call.done]


def test_a_changed_event_is_found_at_its_moment() -> None:
    flight = read_flight(record(make_call()))
    at_ms, _, checksum = flight.moments[2]
    flight.moments[2] = (at_ms, ev.DigitPressed(digit="1"), checksum)

    steps = list(replay(flight))

    assert [step.index for step in steps if not step.same][0] == 2


def test_an_event_that_is_not_allowed_any_more_is_a_difference() -> None:
    flight = read_flight(record(make_call()))
    flight.moments.insert(0, (0.0, ev.ToolFinished(call_id="c", output="", status="succeeded"), 0))

    steps = list(replay(flight))
    assert (steps[0].same, steps[0].commands) == (False, [])
    assert all(step.same for step in steps[1:])


def test_a_torn_tail_is_left_out() -> None:
    data = record(make_call())

    flight = read_flight(data[:-5])

    assert flight.torn
    assert 0 < len(flight.moments) < len(make_call().fed)
    assert not read_flight(data).torn


def test_a_lively_minute_stays_small() -> None:
    call = make_call()
    minutes = call.now / 60_000

    assert len(record(call)) / minutes < 20_000


def test_an_empty_recording_adds_nothing() -> None:
    assert FlightWriter(Call().plan).flush() == b""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a recording",
        struct.pack(">I", 4) + b"junk",
        struct.pack(">I", len(zlib.compress(b"{}"))) + zlib.compress(b"{}"),
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(FlightError):
        read_flight(data)


def test_a_later_format_is_refused_by_name() -> None:
    head = {"format": 2, "plan": {"agent": "A", "agents": {}}}
    packed = zlib.compress(msgspec.json.encode(head))

    with pytest.raises(FlightError, match="format 2"):
        read_flight(struct.pack(">I", len(packed)) + packed)


def test_events_survive_a_round_trip() -> None:
    for _, event in make_call().fed:
        assert msgspec.json.decode(msgspec.json.encode(event), type=ev.AnyEvent) == event


def test_commands_survive_a_round_trip() -> None:
    for _, command in make_call().done:
        assert msgspec.json.decode(msgspec.json.encode(command), type=do.AnyCommand) == command

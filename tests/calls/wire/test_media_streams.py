"""Carrier frames as the carrier writes them (twilio.md §1.4, §1.5), and what we write back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.wire.continuity import InputClock
from calls.wire.errors import WireError
from calls.wire.media_streams import (
    Connected,
    Dtmf,
    Encoder,
    Mark,
    Media,
    Start,
    Stop,
    parse,
    read_digit,
    read_media,
)

START = """{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC00000000000000000000000000000001",
"streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0","callSid":"CA0000000000000000000000000000000a","tracks":["inbound"],
"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"ticket":"t.1.x"}},
"streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0"}"""


def test_the_carriers_frames_become_typed_values() -> None:
    assert parse('{"event":"connected","protocol":"Call","version":"1.0.0"}') == Connected("Call", "1.0.0")
    start = parse(START)
    assert isinstance(start, Start)
    assert start.stream_sid == "MZ18ad3ab5a668481ce02b83e7395059f0"
    assert start.start.call_sid == "CA0000000000000000000000000000000a"
    assert start.start.account_sid == "AC00000000000000000000000000000001"
    assert start.start.custom_parameters == {"ticket": "t.1.x"}
    assert start.start.media_format.encoding == "audio/x-mulaw"
    mark = parse('{"event":"mark","sequenceNumber":"12","streamSid":"MZ1","mark":{"name":"g3:17"}}')
    assert isinstance(mark, Mark)
    assert mark.mark.name == "g3:17"
    stop = parse('{"event":"stop","sequenceNumber":"99","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}')
    assert isinstance(stop, Stop)
    digit = parse(
        '{"event":"dtmf","sequenceNumber":"9","streamSid":"MZ1","dtmf":{"track":"inbound_track","digit":"5"}}'
    )
    assert isinstance(digit, Dtmf)
    assert read_digit(digit) == "5"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "hello",
        '{"event":"gone"}',
        '{"event":7}',
        "{}",
        '{"event":"start","streamSid":"MZ1"}',
        '{"event":"start","streamSid":"MZ1","start":{"accountSid":1,"callSid":"CA1"}}',
        '{"event":"mark","mark":{}}',
        '{"event":"media","streamSid":"MZ1","media":{"payload":null}}',
        '{"event":"media","streamSid":"MZ1","media":"AAAA"}',
        "[" * 100_000,
        "\ud800",
    ],
)
def test_nonsense_is_a_wire_error_and_nothing_else(text: str) -> None:
    with pytest.raises(WireError):
        parse(text)


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_no_input_raises_anything_but_a_wire_error(raw: str | bytes) -> None:
    try:
        parse(raw)
    except WireError:
        return


def test_a_digit_that_is_no_key_is_refused() -> None:
    frame = parse('{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"12"}}')
    assert isinstance(frame, Dtmf)
    with pytest.raises(WireError):
        read_digit(frame)


def test_a_frame_without_a_time_is_still_audio_and_a_bad_time_is_not() -> None:
    frame = parse('{"event":"media","streamSid":"MZ1","media":{"payload":"AAAA"}}')
    assert isinstance(frame, Media)
    chunk = read_media(frame)
    assert chunk is not None
    assert (chunk.timestamp_ms, chunk.size) == (-1, 3)
    bad = parse('{"event":"media","streamSid":"MZ1","media":{"payload":"AAAA","timestamp":"soon"}}')
    assert isinstance(bad, Media)
    with pytest.raises(WireError):
        read_media(bad)


def test_what_we_send_has_exactly_the_documented_properties() -> None:
    encoder = Encoder("MZ18ad3ab5a668481ce02b83e7395059f0")
    assert encoder.media(b"\x7f\x7f\x7f\x7f") == (
        b'{"event":"media","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0","media":{"payload":"f39/fw=="}}'
    )
    assert encoder.mark("g3:17") == (
        b'{"event":"mark","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0","mark":{"name":"g3:17"}}'
    )
    assert encoder.clear == b'{"event":"clear","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0"}'


def test_a_strange_name_stays_inside_its_string() -> None:
    assert json.loads(Encoder("MZ1").mark('a"b\\'))["mark"]["name"] == 'a"b\\'


def test_gaps_are_filled_up_to_ten_seconds_and_a_restart_forgets_the_clock() -> None:
    clock = InputClock()
    assert clock.fill_before(0, duration_ms=20) == 0
    assert clock.fill_before(20, duration_ms=20) == 0
    assert clock.fill_before(100, duration_ms=20) == 60
    assert clock.fill_before(60_000, duration_ms=20) == 10_000
    assert clock.fill_before(0, duration_ms=20) == 0
    assert clock.fill_before(20, duration_ms=20) == 0


def test_what_a_stall_was_filled_with_is_not_filled_again() -> None:
    clock = InputClock()
    assert clock.fill_stall() == 0  # nothing was heard yet
    clock.fill_before(0, duration_ms=20)
    assert clock.fill_stall() == 1_000
    assert clock.fill_stall() == 0  # once
    assert clock.fill_before(1_520, duration_ms=20) == 500
    assert clock.fill_before(1_540, duration_ms=20) == 0
    assert clock.fill_stall() == 1_000


def test_a_stream_without_times_is_taken_as_continuous() -> None:
    clock = InputClock()
    assert clock.fill_before(-1, duration_ms=20) == 0
    clock.fill_before(40, duration_ms=20)
    assert clock.fill_before(-1, duration_ms=20) == 0
    assert clock.fill_before(80, duration_ms=20) == 0

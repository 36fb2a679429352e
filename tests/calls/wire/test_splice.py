"""The caller's audio takes a short cut past JSON; these tests hold it against the full parse."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from calls.wire import media_streams
from calls.wire.errors import WireError
from calls.wire.media_streams import Chunk, Media, parse, read_media, splice

FRAME = (
    '{"event":"media","sequenceNumber":"4","streamSid":"MZ18ad3ab5a668481ce02b83e7395059f0",'
    '"media":{"track":"inbound","chunk":"3","timestamp":"60","payload":"f39+fw=="}}'
)
DOCUMENTED_ORDER = (
    '{"event":"media","sequenceNumber":"3","media":{"track":"inbound","chunk":"1","timestamp":"5","payload":"no+JhoaJjpz/"},'
    '"streamSid":"MZXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"}'
)


def read_in_full(text: str) -> Chunk | None:
    """What the full parse makes of a frame: its chunk, or None for anything that is not caller audio."""
    try:
        frame = parse(text)
        return read_media(frame) if isinstance(frame, Media) else None
    except WireError:
        return None


def shuffled(draw: st.DrawFn, value: dict[str, object]) -> dict[str, object]:
    return dict(draw(st.permutations(list(value.items()))))


@st.composite
def frames(draw: st.DrawFn) -> str:
    """Media frames as any JSON writer might put them, and frames spoiled in small ways."""
    payload = base64.b64encode(draw(st.binary(min_size=0, max_size=200))).decode()
    if draw(st.integers(0, 9)) == 0:
        payload = draw(st.text(alphabet='ABCab09+/=-_ \\"é\n', max_size=12))
    media: dict[str, object] = {
        "track": draw(st.sampled_from(["inbound", "outbound", "inbound"])),
        "chunk": draw(st.integers(0, 10**6).map(str)),
        "timestamp": draw(st.one_of(st.integers(0, 10**7).map(str), st.sampled_from(["", "-1", "1e3", " 7"]))),
        "payload": payload,
    }
    sid = draw(st.sampled_from(["MZ18ad3ab5a668481ce02b83e7395059f0", 'M"Z', "M\\Z", "", 'MZ,"payload":"AAAA"']))
    frame: dict[str, object] = {
        "event": draw(st.sampled_from(["media", "media", "media", "mark", "med\\u0069a"])),
        "sequenceNumber": draw(st.integers(0, 10**6).map(str)),
        "streamSid": sid,
        "media": media,
    }
    if draw(st.booleans()):
        frame["media"] = shuffled(draw, media)
        frame = shuffled(draw, frame)
    elif draw(st.booleans()):
        frame = {key: frame[key] for key in ("event", "sequenceNumber", "media", "streamSid")}
    if draw(st.integers(0, 5)) == 0:
        frame["extra"] = draw(st.sampled_from([{"payload": "AAAA"}, '"payload":"AAAA"', 7]))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (",  ", ":\t"), (" ,", " :")]))
    text = json.dumps(frame, separators=separators, ensure_ascii=draw(st.booleans()))
    if draw(st.booleans()):
        text = text.replace("/", "\\/")  # PHP's and some Java writers' habit
    if draw(st.integers(0, 9)) == 0:
        cut = draw(st.integers(0, len(text)))
        text = text[:cut] + draw(st.text(alphabet='{}",:\\ a', max_size=2)) + text[cut:]
    return text


@given(frames())
@example(FRAME)
@example(DOCUMENTED_ORDER)
@example(FRAME.replace("f39+fw==", "f39+fw="))
@example(FRAME + " ")
@example(FRAME.replace('"payload"', '"pay\\u006coad"'))
def test_splicing_a_frame_gives_what_the_full_parse_gives(text: str) -> None:
    spliced = splice(text.encode())
    if spliced is not None:
        assert spliced == read_in_full(text)
        json.loads(text)  # and the shape holds nothing that is not JSON


@given(st.binary(min_size=1, max_size=400), st.integers(0, 10**8))
def test_both_usual_writings_are_spliced_and_carry_the_very_bytes(audio: bytes, timestamp_ms: int) -> None:
    payload = base64.b64encode(audio).decode()
    for shape in (FRAME, DOCUMENTED_ORDER):
        body = json.loads(shape)
        body["media"] |= {"payload": payload, "timestamp": str(timestamp_ms)}
        for separators in ((",", ":"), (", ", ": ")):
            chunk = splice(json.dumps(body, separators=separators).encode())
            assert chunk is not None
            assert (chunk.timestamp_ms, chunk.size) == (timestamp_ms, len(audio))
            event = json.loads(chunk.append)
            assert event["type"] == "input_audio_buffer.append"
            assert base64.b64decode(event["audio"]) == audio


def test_a_literal_frame_becomes_a_literal_append() -> None:
    assert splice(FRAME.encode()) == Chunk(
        "MZ18ad3ab5a668481ce02b83e7395059f0", 60, 4, b'{"type":"input_audio_buffer.append","audio":"f39+fw=="}'
    )


@pytest.mark.parametrize("payload", ["", "f39+fw=", "f39", "f39-fw==", "f39+fw===", "=39+", "é39+", 'AA"A', "A A="])
def test_malformed_base64_never_reaches_the_model(payload: str) -> None:
    text = FRAME.replace("f39+fw==", json.dumps(payload)[1:-1])
    assert splice(text.encode()) is None
    frame = parse(text)
    assert isinstance(frame, Media)
    with pytest.raises(WireError):
        read_media(frame)


def test_a_shape_of_nobody_is_still_understood_by_the_full_parse() -> None:
    text = FRAME.replace('"payload":', '"payload"\n:').replace("+", "\\u002b")
    assert splice(text.encode()) is None
    assert read_in_full(text) == splice(FRAME.encode())


def test_the_track_that_is_not_the_callers_is_passed_over() -> None:
    assert splice(FRAME.replace("inbound", "outbound").encode()) is None
    assert read_in_full(FRAME.replace("inbound", "outbound")) is None


def test_silence_is_the_mulaw_byte_of_silence() -> None:
    event = json.loads(media_streams.make_silence(20))
    assert base64.b64decode(event["audio"]) == b"\xff" * 160

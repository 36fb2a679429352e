"""Server events as the model's server writes them (openai-realtime.md §4), in our words."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.session.events import (
    AgentItemAdded,
    AgentText,
    CallerTranscript,
    CallerTranscriptFailed,
    CallerTurnCommitted,
    DigitPressed,
    ModelAudio,
    ModelAudioDone,
    ModelErrored,
    ModelUpdated,
    ResponseEnded,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
)
from calls.wire.errors import WireError
from calls.wire.realtime import _TRANSLATORS, PASSED_OVER, AudioDelta, Reader, Unknown

DELTA = (
    b'{"type":"response.output_audio.delta","event_id":"event_1","response_id":"resp_1","item_id":"item_1",'
    b'"output_index":0,"content_index":0,"delta":"f39/fw=="}'
)


def read(raw: bytes | str | dict[str, Any], reader: Reader | None = None) -> Any:
    data = json.dumps(raw) if isinstance(raw, dict) else raw
    return (reader or Reader()).read(data.encode() if isinstance(data, str) else data)


def test_an_audio_delta_is_decoded_once_and_announced_by_its_size() -> None:
    assert read(DELTA) == AudioDelta(ModelAudio("resp_1", "item_1", 0, 4), b"\x7f\x7f\x7f\x7f")


@given(
    st.binary(min_size=1, max_size=600),
    st.permutations(["type", "event_id", "response_id", "item_id", "output_index", "content_index", "delta", "new"]),
    st.sampled_from([(",", ":"), (", ", ": "), (" , ", " :\n")]),
)
def test_a_delta_means_the_same_in_any_key_order_and_spacing(
    audio: bytes, order: list[str], separators: tuple[str, str]
) -> None:
    values = {
        "type": "response.output_audio.delta",
        "event_id": "event_1",
        "response_id": "resp_\u00e9",
        "item_id": 'item_"1',
        "output_index": 0,
        "content_index": 1,
        "delta": base64.b64encode(audio).decode(),
        "new": {"type": "error", "delta": "AAAA"},
    }
    raw = json.dumps({key: values[key] for key in order}, separators=separators)
    assert read(raw) == AudioDelta(ModelAudio("resp_\u00e9", 'item_"1', 1, len(audio)), audio)


@pytest.mark.parametrize("payload", ["f39/fw=", "f3 9/fw==", "f39_fw==", "é39/"])
def test_a_delta_that_is_no_base64_is_a_wire_error(payload: str) -> None:
    with pytest.raises(WireError):
        read(DELTA.replace(b"f39/fw==", payload.encode()))


def test_speech_and_the_callers_item_are_told() -> None:
    assert read(
        '{"type":"input_audio_buffer.speech_started","event_id":"e","audio_start_ms":1200,"item_id":"item_7"}'
    ) == [SpeechStarted("item_7", 1200)]
    assert read(
        '{"type":"input_audio_buffer.speech_stopped","event_id":"e","audio_end_ms":2400,"item_id":"item_7"}'
    ) == [SpeechStopped("item_7", 2400)]
    assert read(
        '{"type":"input_audio_buffer.committed","event_id":"e","previous_item_id":null,"item_id":"item_7"}'
    ) == [CallerTurnCommitted("item_7", None)]


def test_what_the_caller_said_comes_in_pieces_and_whole_with_its_usage() -> None:
    base = {"event_id": "e", "item_id": "item_7", "content_index": 0}
    prefix = "conversation.item.input_audio_transcription."
    assert read({"type": prefix + "delta", "delta": "Good", **base}) == [CallerTranscript("item_7", "Good", False)]
    assert read({"type": prefix + "delta", **base}) == []
    usage = {"type": "duration", "seconds": 2.4}
    whole = {"type": prefix + "completed", "transcript": "Good day.", "usage": usage, "logprobs": None, **base}
    assert read(whole) == [CallerTranscript("item_7", "Good day.", True, usage)]
    failed = {"type": prefix + "failed", "error": {"type": "server_error", "message": "no"}, **base}
    assert read(failed) == [CallerTranscriptFailed("item_7", "no")]


def test_an_assistant_item_is_announced_with_its_place_and_phase() -> None:
    reader = Reader()
    item = {"id": "item_2", "object": "realtime.item", "type": "message", "role": "assistant", "phase": "commentary"}
    added = {"type": "response.output_item.added", "event_id": "e", "response_id": "resp_1", "output_index": 0}
    assert read({**added, "item": item}, reader) == []
    placed = {"type": "conversation.item.added", "event_id": "e", "previous_item_id": "item_1", "item": item}
    assert read(placed, reader) == [AgentItemAdded("resp_1", "item_2", "item_1", "commentary")]
    assert read(placed, reader) == []


def test_an_item_whose_place_never_comes_is_announced_before_its_content() -> None:
    added = {"type": "response.output_item.added", "event_id": "e", "response_id": "resp_1", "output_index": 0}
    reader = Reader()
    read({**added, "item": {"id": "item_1", "type": "message", "role": "assistant"}}, reader)
    announced = AgentItemAdded("resp_1", "item_1", None, "")
    assert read(DELTA, reader).before == (announced,)
    assert read(DELTA, reader).before == ()
    read({**added, "item": {"id": "item_1", "type": "message", "role": "assistant"}}, reader)
    text = {
        "type": "response.output_audio_transcript.delta",
        "response_id": "resp_1",
        "item_id": "item_1",
        "content_index": 0,
        "delta": "One",
    }
    assert read(text, reader) == [announced, AgentText("resp_1", "item_1", 0, "One")]


def test_the_callers_items_are_not_the_agents() -> None:
    raw = {
        "type": "conversation.item.added",
        "event_id": "e",
        "item": {"id": "item_7", "type": "message", "role": "user", "content": []},
    }
    assert read(raw) == []


def test_spoken_text_and_the_end_of_sound_are_told() -> None:
    where = {"event_id": "e", "response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
    done = {"type": "response.output_audio_transcript.done", "transcript": "One moment.", **where}
    assert read(done) == [AgentText("resp_1", "item_1", 0, "One moment.", final=True)]
    assert read({"type": "response.output_audio.done", **where}) == [ModelAudioDone("resp_1", "item_1", 0)]


@pytest.mark.parametrize(("status", "complete"), [("completed", True), ("incomplete", False), (None, False)])
def test_a_tool_call_is_complete_only_when_its_item_is(status: str | None, complete: bool) -> None:
    item = {
        "id": "item_3",
        "object": "realtime.item",
        "type": "function_call",
        "call_id": "call_1",
        "name": "lookup_order",
        "arguments": '{"id":"A1"}',
    }
    if status:
        item["status"] = status
    raw = {"type": "response.output_item.done", "event_id": "e", "response_id": "resp_1", "output_index": 1}
    assert read({**raw, "item": item}) == [
        ToolCalled("resp_1", "item_3", "call_1", "lookup_order", '{"id":"A1"}', complete)
    ]


def test_a_response_ends_with_its_reason_and_usage() -> None:
    usage = {"total_tokens": 10, "input_tokens": 8, "output_tokens": 2}
    raw = {
        "type": "response.done",
        "event_id": "e",
        "response": {
            "id": "resp_1",
            "object": "realtime.response",
            "status": "cancelled",
            "status_details": {"type": "cancelled", "reason": "turn_detected"},
            "metadata": None,
            "output": [],
            "usage": usage,
        },
    }
    assert read(raw) == [ResponseEnded("resp_1", "cancelled", reason="turn_detected", usage=usage)]


def test_a_failed_response_names_the_vendors_code() -> None:
    error = {"type": "insufficient_quota", "code": "insufficient_quota", "message": "You exceeded your quota."}
    raw = {
        "type": "response.done",
        "response": {"id": "r", "status": "failed", "status_details": {"type": "failed", "error": error}},
    }
    assert read(raw) == [
        ResponseEnded("r", "failed", error_code="insufficient_quota", error_message="You exceeded your quota.")
    ]


def test_an_out_of_band_answer_is_read_whole_and_never_played() -> None:
    reader = Reader()
    created = {"type": "response.created", "response": {"id": "resp_9", "metadata": {"job": "judge-1"}}}
    assert read(created, reader) == [ResponseStarted("resp_9", "judge-1")]
    where = {"response_id": "resp_9", "item_id": "item_9", "output_index": 0, "content_index": 0}
    item = {"id": "item_9", "type": "message", "role": "assistant", "content": []}
    assert read({"type": "response.output_item.added", **where, "item": item}, reader) == []
    assert read({"type": "response.output_text.delta", "delta": "no", **where}, reader) == []
    assert read({"type": "response.output_audio.delta", "delta": "AAAA", **where}, reader) == []
    assert read({"type": "response.output_audio.done", **where}, reader) == []
    said = {"type": "response.output_audio_transcript.delta", "delta": "no", **where}
    assert read(said, reader) == []
    item["content"] = [{"type": "output_text", "text": "no"}]
    done = {"type": "response.done", "response": {"id": "resp_9", "status": "completed", "output": [item]}}
    assert read(done, reader) == [ResponseEnded("resp_9", "completed", job="judge-1", text="no")]


def test_an_error_carries_the_id_of_what_caused_it() -> None:
    raw = {
        "type": "error",
        "event_id": "event_2",
        "error": {
            "type": "invalid_request_error",
            "code": "conversation_already_has_active_response",
            "message": "busy",
            "param": None,
            "event_id": "c-4",
        },
    }
    assert read(raw) == [ModelErrored("conversation_already_has_active_response", "busy", "c-4")]


def test_a_key_press_on_sip_needs_no_event_id() -> None:
    raw = '{"type":"input_audio_buffer.dtmf_event_received","event":"9","received_at":1790000000}'
    assert read(raw) == [DigitPressed("9")]


def test_a_later_update_is_told() -> None:
    assert read({"type": "session.updated", "event_id": "e", "session": {}}) == [ModelUpdated()]


def test_unknown_types_are_noted_and_known_ones_of_no_concern_are_not() -> None:
    assert read('{"type":"response.hologram.delta","x":1}') == Unknown("response.hologram.delta")
    for kind in PASSED_OVER:
        assert read({"type": kind}) == []


def test_every_documented_server_event_is_translated_or_passed_over() -> None:
    from openai.types.realtime import realtime_server_event

    declared = set()
    for member in realtime_server_event.RealtimeServerEvent.__args__[0].__args__:
        (kind,) = member.model_fields["type"].annotation.__args__
        declared.add(kind)
    assert len(declared) >= 44
    assert declared - set(_TRANSLATORS) - PASSED_OVER <= {"response.output_audio.delta"}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'{"type":null}',
        b'{"type":["a"]}',
        b"{}",
        b"\xff",
        b'{"type":"response.done"}',
        b'{"type":"error","error":null}',
        b'{"type":"response.output_audio.delta"}',
        b'{"type":"input_audio_buffer.speech_started","item_id":7,"audio_start_ms":1}',
    ],
)
def test_nonsense_is_a_wire_error_and_nothing_else(raw: bytes) -> None:
    with pytest.raises(WireError):
        read(raw)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_KEYS = ["item", "response", "error", "delta", "item_id", "response_id", "content_index", "session", "transcript", "id"]


@given(st.sampled_from(sorted(_TRANSLATORS)), st.dictionaries(st.sampled_from(_KEYS), _json))
def test_no_server_event_raises_anything_but_a_wire_error(kind: str, body: dict[str, Any]) -> None:
    try:
        read({**body, "type": kind})
    except WireError:
        return

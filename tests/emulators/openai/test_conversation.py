"""What a client may do to the items of a conversation (openai-realtime.md §4.1, §4.3, §4.5)."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import pytest

from emulators.openai.config import DoubleConfig, Switches
from emulators.openai.conversation import Item, fit_context
from emulators.openai.double import OpenAIDouble
from emulators.openai.faults import Fault, FaultKind

from .client import Client, Event, open_client


@pytest.fixture
async def client(double: OpenAIDouble) -> Any:
    async with open_client(double) as opened:
        yield opened


def message(role: str, text: str = "Hello.", *, kind: str = "input_text", **fields: Any) -> Event:
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **fields}


def create(item: Event, **fields: Any) -> Event:
    return {"type": "conversation.item.create", "event_id": "c-2", "item": item, **fields}


async def add(client: Client, item: Event, **fields: Any) -> Event:
    await client.send(create(item, **fields))
    added = await client.until("conversation.item.added")
    done = await client.until("conversation.item.done")
    assert (added["item"], added["previous_item_id"]) == (done["item"], done["previous_item_id"])
    return added


async def test_items_join_at_the_end_at_the_root_or_after_another(client: Client, double: OpenAIDouble) -> None:
    first = await add(client, message("system", "Caller pressed 1.", id="item_a"), previous_item_id=None)
    assert first["previous_item_id"] is None
    assert first["item"] == {
        "id": "item_a",
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "system",
        "content": [{"type": "input_text", "text": "Caller pressed 1."}],
    }
    last = await add(client, message("user"))
    assert last["previous_item_id"] == "item_a"
    assert last["item"]["id"].startswith("item_")
    middle = await add(client, message("assistant", "Replayed history.", kind="output_text"), previous_item_id="item_a")
    assert middle["previous_item_id"] == "item_a"
    root = await add(client, message("system", "Summary."), previous_item_id="root")
    assert root["previous_item_id"] is None
    order = [item.id for item in double.sessions[0].items]
    assert order == [root["item"]["id"], "item_a", middle["item"]["id"], last["item"]["id"]]


REFUSED = [
    (message("assistant", kind="output_audio"), "invalid_value", "item.content[0].type"),  # §4.1: no assistant audio
    (message("system", kind="output_text"), "invalid_value", "item.content[0].type"),
    (message("operator"), "invalid_value", "item.role"),
    ({"type": "message", "content": []}, "missing_required_parameter", "item.role"),
    ({"type": "message", "role": "user"}, "missing_required_parameter", "item.content"),
    (
        {"type": "message", "role": "user", "content": [{"type": "input_text"}]},
        "missing_required_parameter",
        "item.content[0].text",
    ),
    (
        {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "%"}]},
        "invalid_value",
        "item.content[0].audio",
    ),
    (message("user", name="Anna"), "unknown_parameter", "item.name"),
    ({"type": "sound"}, "invalid_value", "item.type"),
    ({"type": "item_reference", "id": "item_a"}, "invalid_value", "item.type"),  # §4.3: only in response.input
    ({"type": "mcp_list_tools", "server_label": "x", "tools": []}, "invalid_value", "item.type"),
    (
        {"type": "function_call_output", "call_id": "call_unknown", "output": "{}"},
        "invalid_tool_call_id",
        "item.call_id",
    ),
    ({"type": "function_call_output", "call_id": "call_1", "output": {"ok": True}}, "invalid_type", "item.output"),
    ({"type": "function_call", "name": "x"}, "missing_required_parameter", "item.arguments"),
    (message("user", id="item_" + "x" * 28), "invalid_value", "item.id"),
]


@pytest.mark.parametrize(("item", "code", "param"), REFUSED)
async def test_an_item_that_a_client_may_not_create_is_refused(
    client: Client, double: OpenAIDouble, item: Event, code: str, param: str
) -> None:
    error = await client.refused(create(item))
    assert (error["code"], error["param"], error["event_id"]) == (code, param, "c-2")
    assert double.sessions[0].items == []


async def test_an_item_after_an_unknown_one_and_an_id_used_twice_are_refused(client: Client) -> None:
    error = await client.refused(create(message("user"), previous_item_id="item_nowhere"))
    assert (error["code"], error["param"]) == ("item_not_found", "previous_item_id")
    await add(client, message("user", id="item_a"))
    error = await client.refused(create(message("user", id="item_a")))
    assert (error["code"], error["param"]) == ("invalid_value", "item.id")


async def test_a_replayed_call_may_be_answered(client: Client, double: OpenAIDouble) -> None:
    await add(client, {"type": "function_call", "call_id": "call_1", "name": "lookup_order", "arguments": "{}"})
    await add(client, {"type": "function_call_output", "call_id": "call_1", "output": '{"ok":true}'})
    await client.ask({"type": "response.create"}, "response.done")
    assert double.sessions[0].items[-1].text == double.script.after_tool


async def test_sound_in_a_client_item_does_not_travel_back(client: Client) -> None:
    audio = base64.b64encode(b"\xff" * 800).decode()
    added = await add(client, {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": audio}]})
    assert added["item"]["content"] == [{"type": "input_audio"}]


async def test_an_unknown_item_cannot_be_touched_and_its_code_is_a_switch(
    config: DoubleConfig, double: OpenAIDouble
) -> None:
    touches: list[Event] = [
        {"type": "conversation.item.delete", "item_id": "item_x"},
        {"type": "conversation.item.retrieve", "item_id": "item_x"},
        {"type": "conversation.item.truncate", "item_id": "item_x", "content_index": 0, "audio_end_ms": 10},
    ]
    async with open_client(double) as client:
        for touch in touches:
            assert (await client.refused(touch))["code"] == "item_not_found"
    switches = Switches(missing_item_code="invalid_value")  # §4.8 [unverified]
    async with OpenAIDouble(dataclasses.replace(config, switches=switches)) as other, open_client(other) as client:
        assert (await client.refused(touches[0]))["code"] == "invalid_value"


async def test_a_deleted_item_is_gone(client: Client, double: OpenAIDouble) -> None:
    await add(client, message("user", id="item_a"))
    deleted = await client.ask({"type": "conversation.item.delete", "item_id": "item_a"}, "conversation.item.deleted")
    assert deleted["item_id"] == "item_a"
    assert double.sessions[0].items == []


async def test_truncation_cuts_the_sound_and_forgets_the_transcript(client: Client, double: OpenAIDouble) -> None:
    done = await client.ask({"type": "response.create"}, "response.done")
    item_id = done["response"]["output"][0]["id"]
    place = {"item_id": item_id, "content_index": 0, "audio_end_ms": 480}
    truncated = await client.ask({"type": "conversation.item.truncate", **place}, "conversation.item.truncated")
    assert {key: truncated[key] for key in place} == place
    retrieved = await client.ask(
        {"type": "conversation.item.retrieve", "item_id": item_id}, "conversation.item.retrieved"
    )
    (part,) = retrieved["item"]["content"]
    assert part["type"] == "output_audio"
    assert "transcript" not in part
    assert len(base64.b64decode(part["audio"])) == 480 * 8
    (seen,) = double.sessions[0].truncations
    assert (seen.item_id, seen.content_index, seen.audio_end_ms) == (item_id, 0, 480)
    assert seen.generated_ms > 480


async def test_truncation_beyond_what_was_generated_is_refused_in_the_vendors_words(client: Client) -> None:
    done = await client.ask({"type": "response.create"}, "response.done")
    item_id = done["response"]["output"][0]["id"]
    sound = b"".join(base64.b64decode(event["delta"]) for event in client.of_type("response.output_audio.delta"))
    length_ms = len(sound) // 8
    whole = {"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": length_ms}
    error = await client.refused(whole | {"event_id": "c-7", "audio_end_ms": length_ms + 1})
    assert (error["code"], error["event_id"]) == ("invalid_value", "c-7")
    assert error["message"] == f"Audio content of {length_ms}ms is already shorter than {length_ms + 1}ms"
    assert (await client.refused(whole | {"audio_end_ms": -1}))["code"] == "invalid_value"
    assert (await client.refused(whole | {"content_index": 1}))["code"] == "invalid_value"
    assert (await client.refused(whole | {"audio_end_ms": 10.5}))["code"] == "invalid_type"
    await client.ask(whole, "conversation.item.truncated")


async def test_what_has_no_sound_cannot_be_truncated(client: Client) -> None:
    await add(client, message("user", id="item_a"))
    error = await client.refused(
        {"type": "conversation.item.truncate", "item_id": "item_a", "content_index": 0, "audio_end_ms": 0}
    )
    assert error["code"] == "unsupported_content_type"
    assert error["message"] == "Only model output audio messages can be truncated"


@pytest.mark.parametrize("accepted", [True, False])
async def test_truncation_to_nothing_is_a_switch(config: DoubleConfig, accepted: bool) -> None:
    switches = Switches(truncate_at_zero=accepted)  # §4.5 [reported mixed], §10.8
    async with OpenAIDouble(dataclasses.replace(config, switches=switches)) as double, open_client(double) as client:
        done = await client.ask({"type": "response.create"}, "response.done")
        item_id = done["response"]["output"][0]["id"]
        event = {"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": 0}
        answer = await client.ask(event, "conversation.item.truncated" if accepted else "error")
    assert answer.get("error", {}).get("code") == (None if accepted else "invalid_value")


async def test_a_truncation_fails_once_when_told_to(client: Client, double: OpenAIDouble) -> None:
    double.inject(Fault(kind=FaultKind.TRUNCATE_ERROR))
    done = await client.ask({"type": "response.create"}, "response.done")
    item_id = done["response"]["output"][0]["id"]
    event = {"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": 100}
    assert (await client.refused(event))["code"] == "invalid_value"
    await client.ask(event, "conversation.item.truncated")


@pytest.mark.parametrize("on_items", [True, False])
async def test_the_phase_on_items_is_a_switch(config: DoubleConfig, on_items: bool) -> None:
    switches = Switches(phase_on_items=on_items, phase_on_every_message=True)  # §10.12
    async with OpenAIDouble(dataclasses.replace(config, switches=switches)) as double, open_client(double) as client:
        await client.ask({"type": "response.create"}, "response.done")
        (added,) = client.of_type("conversation.item.added")
        (output,) = client.of_type("response.output_item.done")
    assert ("phase" in added["item"]) is on_items
    assert output["item"]["phase"] == "final_answer"


async def test_the_beta_twin_of_added_is_a_switch(config: DoubleConfig) -> None:
    switches = Switches(legacy_events=True)  # §4.2: "may appear"
    async with OpenAIDouble(dataclasses.replace(config, switches=switches)) as double, open_client(double) as client:
        await client.send(create(message("user")))
        created = await client.until("conversation.item.created")
    assert created["item"] == client.of_type("conversation.item.added")[0]["item"]


UNREADABLE = [
    ("{", "invalid_event"),
    ("[]", "invalid_event"),
    ('{"type": 3}', "invalid_type"),
    ("{}", "missing_required_parameter"),
    ('{"type": "session.poke"}', "invalid_event"),
    ('{"type": "transcription_session.update", "session": {}}', "invalid_event"),  # §4.1: retired
    ('{"type": "output_audio_buffer.clear"}', "invalid_event"),  # §4.1: WebRTC and SIP only
    ('{"type": "input_audio_buffer.append"}', "missing_required_parameter"),
    ('{"type": "input_audio_buffer.append", "audio": 3}', "invalid_type"),
    ('{"type": "input_audio_buffer.append", "audio": "a*=="}', "invalid_value"),
    ('{"type": "input_audio_buffer.append", "audio": "", "streamSid": "MZ1"}', "unknown_parameter"),
    ('{"type": "input_audio_buffer.clear", "now": true}', "unknown_parameter"),
    ('{"type": "response.cancel", "response_id": 7}', "invalid_type"),
]


@pytest.mark.parametrize(("frame", "code"), UNREADABLE)
async def test_a_frame_that_is_no_event_is_an_error_and_the_session_stays_open(
    client: Client, frame: str, code: str
) -> None:
    await client.socket.send(frame)
    event = await client.until("error")
    assert (event["error"]["code"], event["error"]["type"]) == (code, "invalid_request_error")
    await client.ask({"type": "input_audio_buffer.clear"}, "input_audio_buffer.cleared")


async def test_binary_frames_and_endless_event_ids_are_refused(client: Client) -> None:
    await client.socket.send(b"\x00\x01")
    assert (await client.until("error"))["error"]["code"] == "invalid_event"
    error = await client.refused({"type": "input_audio_buffer.clear", "event_id": "x" * 513})  # §6.1
    assert (error["code"], error["param"]) == ("invalid_value", "event_id")


def test_context_is_dropped_from_its_beginning_down_to_the_ratio() -> None:
    """§3.5."""
    items = [
        Item({"id": str(n), "type": "message", "role": "user", "content": [{"type": "input_text", "text": "x" * 388}]})
        for n in range(10)
    ]  # 100 tokens each
    assert fit_context(items, truncation="auto", room_tokens=1000) == items
    assert fit_context(items, truncation="auto", room_tokens=900) == items[1:]
    ratio = {"type": "retention_ratio", "retention_ratio": 0.5, "token_limits": {"post_instructions": 800}}
    assert fit_context(items, truncation=ratio, room_tokens=5000) == items[6:]
    assert fit_context(items, truncation="disabled", room_tokens=900) is None

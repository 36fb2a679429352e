"""Nothing a client can write as JSON breaks a session: it is taken, or answered with one `error` (openai-realtime.md §4.8)."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from emulators.openai.config import DoubleConfig
from emulators.openai.faults import FaultQueue
from emulators.openai.hearing import Hearing
from emulators.openai.models import MODELS
from emulators.openai.script import Script
from emulators.openai.session import RealtimeSession, Shared
from emulators.speech import Synthesiser

from .client import PHONE_SESSION, Event, check_server_event
from .conftest import QUICK

TOOL: Event = {
    "type": "function",
    "name": "look",
    "description": "x",
    "parameters": {"type": "object", "properties": {}},
}
MESSAGE: Event = {"type": "message", "role": "user", "id": "item_a", "content": [{"type": "input_text", "text": "Hi."}]}
TEMPLATES: list[Event] = [
    {
        "type": "session.update",
        "event_id": "c-1",
        "session": PHONE_SESSION
        | {
            "tools": [TOOL],
            "tool_choice": {"type": "function", "name": "look"},
            "truncation": {
                "type": "retention_ratio",
                "retention_ratio": 0.8,
                "token_limits": {"post_instructions": 8000},
            },
            "tracing": {"workflow_name": "x"},
            "reasoning": {"effort": "low"},
        },
    },
    {"type": "input_audio_buffer.append", "audio": "/////w=="},
    {"type": "input_audio_buffer.commit"},
    {"type": "conversation.item.create", "previous_item_id": "root", "item": MESSAGE},
    {"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "c", "output": "{}"}},
    {"type": "conversation.item.truncate", "item_id": "item_a", "content_index": 0, "audio_end_ms": 10},
    {"type": "conversation.item.delete", "item_id": "item_a"},
    {"type": "response.cancel", "response_id": "resp_a"},
    {
        "type": "response.create",
        "response": {
            "conversation": "none",
            "output_modalities": ["text"],
            "metadata": {"job": "x"},
            "input": [MESSAGE, {"type": "item_reference", "id": "item_a"}],
            "tools": [TOOL],
            "tool_choice": "auto",
            "audio": {"output": {"voice": "marin", "format": {"type": "audio/pcmu"}}},
        },
    },
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 99999)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "id", "role", "x"]), inner, max_size=3)
    ),
    max_leaves=4,
)


def list_places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from list_places(inner, (*path, key))


@st.composite
def hostile_events(draw: st.DrawFn) -> Any:
    event = copy.deepcopy(draw(st.sampled_from(TEMPLATES)))
    path = draw(st.sampled_from(list(list_places(event))))
    if not path:
        return draw(JSON)
    parent = event
    for step in path[:-1]:
        parent = parent[step]
    change = draw(st.sampled_from(["replace", "remove", "add"]))
    if change == "remove":
        del parent[path[-1]]
    elif change == "add" and isinstance(parent, dict):
        parent[draw(st.text(max_size=3))] = draw(JSON)
    else:
        parent[path[-1]] = draw(JSON)
    return event


async def send_all(events: list[Any]) -> RealtimeSession:
    shared = Shared(
        config=DoubleConfig(timing=QUICK),
        synthesiser=Synthesiser(),
        hearing=Hearing(),
        faults=FaultQueue(),
        read_script=lambda: Script(greeting="Hi.", nudge="Hi.", fallback="Hi.", unheard="Hi."),
    )
    session = RealtimeSession(shared, index=0, model=MODELS["gpt-realtime-2.1"], headers={})
    session.open()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
    problems: list[dict[str, Any]] = []
    for event in events:
        session.receive(json.dumps(event))
        await asyncio.sleep(0)
    session.receive(json.dumps({"type": "input_audio_buffer.clear"}))
    await session.wait_for_sent(lambda event: event["type"] == "input_audio_buffer.cleared")
    assert problems == []
    session.close(1000)
    return session


@settings(max_examples=150, deadline=None)
@given(st.lists(hostile_events(), min_size=1, max_size=6))
def test_whatever_arrives_the_session_lives_on(events: list[Any]) -> None:
    session = asyncio.run(send_all(events))
    for event in session.sent:
        if event["type"] == "error":
            check_server_event(event)
            assert event["error"]["code"]


def test_every_template_is_taken_as_it_stands() -> None:
    """Otherwise the test above would start from events that are refused anyway."""
    session = asyncio.run(send_all(TEMPLATES[:1] + TEMPLATES[3:4]))
    assert session.record.list_sent("error") == []
    assert {"session.updated", "conversation.item.added"} <= {event["type"] for event in session.sent}

"""A plain client of the Realtime socket for tests: literal JSON out, events in, every event checked against the types."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from openai.types.realtime import RealtimeSessionCreateResponse
from openai.types.realtime.realtime_server_event import RealtimeServerEvent
from websockets.asyncio.client import ClientConnection, connect

from emulators.openai.double import OpenAIDouble
from emulators.openai.validation import check_shape

Event = dict[str, Any]

PCMU = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"}}
PHONE_SESSION: Event = {
    "type": "realtime",
    "instructions": "You answer the phone.",
    "audio": {
        "input": {
            "format": {"type": "audio/pcmu"},
            "transcription": {"model": "gpt-4o-mini-transcribe", "language": "en"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
    },
}


class Client:
    """`seen` keeps every event; `until` reads on to the next one that fits."""

    def __init__(self, socket: ClientConnection, *, strict: bool = True) -> None:
        self.socket = socket
        self.seen: list[Event] = []
        self._strict = strict
        self._place = 0

    async def send(self, event: Event) -> None:
        await self.socket.send(json.dumps(event))

    async def receive(self) -> Event:
        event: Event = json.loads(await asyncio.wait_for(self.socket.recv(), 5))
        if self._strict:
            check_server_event(event)
        self.seen.append(event)
        return event

    async def until(self, wanted: str | Callable[[Event], bool]) -> Event:
        while True:
            event = await self.receive()
            if event["type"] == wanted if isinstance(wanted, str) else wanted(event):
                return event

    async def ask(self, event: Event, wanted: str) -> Event:
        await self.send(event)
        return await self.until(wanted)

    async def refused(self, event: Event) -> Event:
        """Sends and returns the `error` object that answers it."""
        answer = await self.ask(event, "error")
        error: Event = answer["error"]
        return error

    async def configure(self, **changes: Any) -> Event:
        answer = await self.ask({"type": "session.update", "session": PHONE_SESSION | changes}, "session.updated")
        session: Event = answer["session"]
        return session

    async def play(self, mulaw: bytes, *, frame_bytes: int = 160) -> None:
        for start in range(0, len(mulaw), frame_bytes):
            audio = base64.b64encode(mulaw[start : start + frame_bytes]).decode()
            await self.send({"type": "input_audio_buffer.append", "audio": audio})

    def types(self) -> list[str]:
        return [event["type"] for event in self.seen]

    def of_type(self, wanted: str) -> list[Event]:
        return [event for event in self.seen if event["type"] == wanted]


@asynccontextmanager
async def open_client(
    double: OpenAIDouble, *, model: str = "gpt-realtime-2.1", configured: bool = True, strict: bool = True
) -> AsyncIterator[Client]:
    headers = {"Authorization": "Bearer sk-emulator"}
    url = f"{double.realtime_url}?model={model}"
    # Without a bound on unread frames: with one, `websockets` stops reading, misses the close frame and waits 10 s for it.
    async with connect(url, additional_headers=headers, compression=None, max_queue=None) as socket:
        client = Client(socket, strict=strict)
        await client.until("session.created")
        if configured:
            await client.configure()
        yield client


# On the wire but not in the published types (openai-realtime.md §4.3 phase, §5.1 reasoning_tokens, §3.2 session extras).
_UNPUBLISHED = {"phase", "reasoning_tokens", "parallel_tool_calls"}


def check_server_event(event: Event) -> None:
    """What the double sends must fit the vendor's published types, field by field."""
    if event["type"] != "input_audio_buffer.dtmf_event_received":
        assert event["event_id"].startswith("event_")
    if event["type"] in ("session.created", "session.updated"):
        # The event's own type lacks the read-only extras of §3.2 (id, object, expires_at); the answer's type has them.
        check_shape(_drop(event["session"]), RealtimeSessionCreateResponse, path="session")
    else:
        check_shape(_drop(event), RealtimeServerEvent, path="event")


def _drop(value: Any) -> Any:
    if isinstance(value, dict):
        # The published types say "absent"; the wire says null, for example in a transcript that is still to come.
        return {key: _drop(inner) for key, inner in value.items() if key not in _UNPUBLISHED}
    return [_drop(inner) for inner in value] if isinstance(value, list) else value

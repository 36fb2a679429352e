"""A crowd of model sessions for load: just enough of the Realtime protocol to be spoken to, at a known timing; checks nothing.

The strict double is emulators.openai; this one exists because fifty calls must cost its own core little. Audio is not speech: every byte
of an item has the item's value, so that whoever hears it knows which item it was and how much of it. Shapes: openai-realtime.md §4.9.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import picows

BYTES_PER_MS = 8  # openai-realtime.md §3.3
VALUES = 200  # item values 1…200: never 0xFF, which is silence
APPEND = b'{"type":"input_audio_buffer.append","audio":"'
USAGE = {
    "total_tokens": 150,
    "input_tokens": 100,
    "output_tokens": 50,
    "input_token_details": {"text_tokens": 60, "audio_tokens": 40, "image_tokens": 0, "cached_tokens": 0},
    "output_token_details": {"text_tokens": 10, "audio_tokens": 40},
}


@dataclass(frozen=True, slots=True)
class ModelTiming:
    """The issue's model: handshake 80 ms, session.updated 30 ms, first delta 180 ms."""

    handshake_ms: float = 80
    updated_ms: float = 30
    first_delta_ms: float = 180
    delta_ms: int = 200
    pace: float = 8.0  # times faster than real time


@dataclass(slots=True)
class Item:
    """One assistant item as it was generated. `cut_ms`: what the product said was heard; -1 when it deleted the item."""

    id: str
    value: int
    generated_ms: int = 0
    first_sent_at: float = 0.0
    cut_ms: int | None = None
    cut: asyncio.Event = field(default_factory=asyncio.Event)


class ModelSession(picows.WSListener):
    """One socket of the product. `on_audio(payload, at)` is called for every append."""

    def __init__(self, crowd: ModelCrowd) -> None:
        self.crowd = crowd
        self.items: dict[str, Item] = {}
        self.outputs: list[str] = []  # function_call_output of the product
        self.responses = 0
        self.transcripts = 0
        self.ready = asyncio.Event()
        self.answered = asyncio.Event()
        self.call: Any = None
        self._ids = itertools.count(1)
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_cut = False
        self._heard_item = ""
        self.is_open = True

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport
        session = {"id": f"sess_{id(self):x}", "object": "realtime.session", "type": "realtime"}
        self._later(self.crowd.timing.handshake_ms, {"type": "session.created", "session": session})

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        self.is_open = False
        for task in self._tasks:
            task.cancel()
        self.crowd.sessions.discard(self)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:
            transport.send_close()
            transport.disconnect()
            return
        if frame.msg_type != picows.WSMsgType.TEXT:
            return
        raw = frame.get_payload_as_bytes()
        if raw.startswith(APPEND):
            self.crowd.on_audio(self, raw[len(APPEND) : len(APPEND) + 8])
            return
        event = orjson.loads(raw)
        kind = event["type"]
        if kind == "session.update":
            got = {"id": f"sess_{id(self):x}", "object": "realtime.session", **event["session"]}
            self._later(self.crowd.timing.updated_ms, {"type": "session.updated", "session": got})
            self._loop.call_later(self.crowd.timing.updated_ms / 1000, self.ready.set)
        elif kind == "response.create":
            self._spawn(self._answer())
        elif kind == "conversation.item.truncate":
            self._cut(event["item_id"], int(event["audio_end_ms"]))
        elif kind == "conversation.item.delete":
            self._cut(event["item_id"], -1)
        elif kind == "conversation.item.create" and event["item"]["type"] == "function_call_output":
            self.outputs.append(event["item"]["output"])

    # --- what a scenario makes it do --------------------------------------------------------------------------------

    def start_speech(self) -> float:
        """Report that the caller began, and stop generating as the vendor does. Returns when."""
        self._is_cut = True
        at = time.monotonic()
        self._heard_item = self._new_id("user")
        self.send({"type": "input_audio_buffer.speech_started", "item_id": self._heard_item, "audio_start_ms": 0})
        return at

    def end_speech(self, text: str) -> None:
        """The caller's turn is over: committed and transcribed."""
        item = self._heard_item
        self.send({"type": "input_audio_buffer.speech_stopped", "item_id": item, "audio_end_ms": 0})
        self.send({"type": "input_audio_buffer.committed", "item_id": item, "previous_item_id": None})
        self.transcripts += 1
        transcript = {"item_id": item, "content_index": 0, "transcript": text}
        usage = {"type": "duration", "seconds": 1.0}
        kind = "conversation.item.input_audio_transcription.completed"
        self.send({"type": kind, "usage": usage, **transcript})

    async def speak(self, *lengths_ms: int, text: str = "All right.", wait_ms: float = 0.0) -> list[Item]:
        """One response with an item of each length, as generated by the vendor: faster than it plays."""
        timing = self.crowd.timing
        response_id = self._new_id("resp")
        response: dict[str, Any] = {"id": response_id, "object": "realtime.response", "status": "in_progress"}
        self.send({"type": "response.created", "response": response})
        if wait_ms:
            await asyncio.sleep(wait_ms / 1000)
        items = []
        self._is_cut = False
        for index, length_ms in enumerate(lengths_ms):
            if not self._is_cut:
                items.append(await self._speak_item(response_id, index, length_ms, text, timing))
        if self._is_cut:
            details = {"type": "cancelled", "reason": "turn_detected"}
            response |= {"status_details": details}
        self.send(
            {
                "type": "response.done",
                "response": {
                    **response,
                    "status": "cancelled" if self._is_cut else "completed",
                    "output": [],
                    "usage": USAGE,
                },
            }
        )
        self.responses += 1
        self.answered.set()
        return items

    async def call_tool(self, wait_ms: float = 0.0) -> None:
        """A response that calls the tool instead of speaking."""
        response_id = self._new_id("resp")
        response = {"id": response_id, "object": "realtime.response", "status": "in_progress", "metadata": None}
        self.send({"type": "response.created", "response": response})
        await asyncio.sleep(wait_ms / 1000)
        item = {
            "id": self._new_id("item"),
            "object": "realtime.item",
            "type": "function_call",
            "status": "completed",
            "call_id": self._new_id("call"),
            "name": "lookup_order",
            "arguments": '{"order_id":"1001"}',
        }
        self.send({"type": "response.output_item.done", "response_id": response_id, "output_index": 0, "item": item})
        self.send(
            {"type": "response.done", "response": {**response, "status": "completed", "output": [item], "usage": USAGE}}
        )
        self.responses += 1

    async def _speak_item(self, response_id: str, index: int, length_ms: int, text: str, timing: ModelTiming) -> Item:
        item_id = self._new_id("item")
        item = self.items[item_id] = Item(item_id, int(item_id.rpartition("_")[2]) % VALUES + 1)
        shown = {
            "id": item_id,
            "object": "realtime.item",
            "type": "message",
            "role": "assistant",
            "status": "in_progress",
        }
        where = {"response_id": response_id, "item_id": item_id, "output_index": index, "content_index": 0}
        self.send(
            {"type": "response.output_item.added", "response_id": response_id, "output_index": index, "item": shown}
        )
        self.send({"type": "conversation.item.added", "previous_item_id": None, "item": shown})
        self.send({"type": "response.output_audio_transcript.delta", "delta": text, **where})
        prefix = (
            orjson.dumps({"type": "response.output_audio.delta", "event_id": "event_1", **where})[:-1] + b',"delta":"'
        )
        item.first_sent_at = time.monotonic()
        while item.generated_ms < length_ms and not self._is_cut:
            ms = min(timing.delta_ms, length_ms - item.generated_ms)
            audio = base64.b64encode(bytes([item.value]) * (ms * BYTES_PER_MS))
            self._transport.send(picows.WSMsgType.TEXT, prefix + audio + b'"}')
            item.generated_ms += ms
            await asyncio.sleep(ms / timing.pace / 1000)
        self.send({"type": "response.output_audio.done", **where})
        self.send({"type": "response.output_audio_transcript.done", "transcript": text, **where})
        shown["status"] = "completed"
        self.send(
            {"type": "response.output_item.done", "response_id": response_id, "output_index": index, "item": shown}
        )
        return item

    async def _answer(self) -> None:
        wait_ms = self.crowd.timing.first_delta_ms
        await self.speak(self.crowd.answer_ms, text="Good morning.", wait_ms=wait_ms)

    def send(self, event: dict[str, Any]) -> None:
        if self.is_open:
            self._transport.send(picows.WSMsgType.TEXT, orjson.dumps({"event_id": "event_1", **event}))

    def _cut(self, item_id: str, at_ms: int) -> None:
        item = self.items.get(item_id)
        if item is not None:
            item.cut_ms = at_ms
            item.cut.set()

    def _later(self, ms: float, event: dict[str, Any]) -> None:
        self._loop.call_later(ms / 1000, self.send, event)

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _new_id(self, kind: str) -> str:
        return f"{kind}_{id(self):x}_{next(self._ids)}"


class ModelCrowd:
    """`async with ModelCrowd() as crowd`: then `crowd.api_base_url` is the product's OPENAI_BASE_URL."""

    def __init__(self, timing: ModelTiming | None = None, *, answer_ms: int = 1_000) -> None:
        self.timing = timing or ModelTiming()
        self.answer_ms = answer_ms
        self.sessions: set[ModelSession] = set()
        self.on_audio: Callable[[ModelSession, bytes], None] = lambda session, head: None

    async def __aenter__(self) -> ModelCrowd:
        def accept(request: picows.WSUpgradeRequest) -> ModelSession:
            session = ModelSession(self)
            self.sessions.add(session)
            return session

        self._server = await picows.ws_create_server(accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    @property
    def api_base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

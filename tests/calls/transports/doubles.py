"""In-memory doubles of what a bridge stands between, for tests of the bridge alone; the wires and the session are the real ones."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from agents.spec import AgentSpec, ToolSpec
from calls.session.commands import Command, Leave
from calls.session.events import Event
from calls.session.flight import read_flight
from calls.session.machine import CallSession
from calls.session.plan import CallPlan
from calls.transports.asgi_socket import AsgiSocket
from calls.transports.bridge import Bridge
from calls.transports.ports import LiveCall, Models, Redeem

STREAM = "MZ18ad3ab5a668481ce02b83e7395059f0"
SILENCE = base64.b64encode(b"\xff" * 160).decode()


def make_agent(**changes: Any) -> AgentSpec:
    values: dict[str, Any] = {"name": "Reception", "instructions": "You answer the phone.", "greeting": "Good morning."}
    return AgentSpec(**{**values, **changes})


def make_call(*agents: AgentSpec, **changes: Any) -> LiveCall:
    specs = agents or (make_agent(),)
    plan = CallPlan(agent=specs[0].name, agents={spec.name: spec for spec in specs})
    values: dict[str, Any] = {
        "call_id": uuid.uuid4(),
        "tenant_id": uuid.uuid4(),
        "ref": "ref-1",
        "carrier_sid": "CA0000000000000000000000000000000a",
        "account_sid": "AC00000000000000000000000000000001",
        "token": 1,
        "plan": plan,
        "end_user": "+31201234567",
    }
    return LiveCall(**{**values, **changes})


class Phone:
    """A carrier's socket without a network. Everything sent to it counts as played at once: marks return immediately."""

    def __init__(self, *, returns_marks: bool = True) -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.frames: list[dict[str, Any]] = []
        self.news = asyncio.Event()
        self.returns_marks = returns_marks
        self.audio = bytearray()

    async def receive(self) -> dict[str, Any]:
        return await self.inbox.get()

    async def send(self, message: dict[str, Any]) -> None:
        frame = json.loads(message["text"])
        self.frames.append(frame)
        if frame["event"] == "media":
            self.audio += base64.b64decode(frame["media"]["payload"], validate=True)
        elif frame["event"] == "mark" and self.returns_marks:
            self.say(frame)
        self.news.set()

    def say(self, frame: dict[str, Any] | str) -> None:
        text = frame if isinstance(frame, str) else json.dumps(frame)
        self.inbox.put_nowait({"type": "websocket.receive", "text": text})

    def speak(self, timestamp_ms: int, payload: str = SILENCE) -> None:
        media = {"track": "inbound", "chunk": "1", "timestamp": str(timestamp_ms), "payload": payload}
        self.say({"event": "media", "sequenceNumber": "2", "streamSid": STREAM, "media": media})

    def press(self, digit: str) -> None:
        self.say({"event": "dtmf", "streamSid": STREAM, "dtmf": {"track": "inbound_track", "digit": digit}})

    def hang_up(self) -> None:
        self.say({"event": "stop", "sequenceNumber": "9", "streamSid": STREAM, "stop": {"callSid": "CA1"}})

    def drop(self, code: int = 1006) -> None:
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": code})

    async def wait_for(self, found: Callable[[], bool], timeout_s: float = 5.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not found():
                self.news.clear()
                await self.news.wait()


@dataclass
class Notebook:
    """Records that only remember."""

    records: list[Command] = field(default_factory=list)
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    flight: bytearray = field(default_factory=bytearray)
    durable_records: list[Command] = field(default_factory=list)
    flushed: int = 0
    greeting_ms: int | None = None
    on_change: Callable[[], None] = lambda: None

    def put(self, call: LiveCall, record: Command, *, at: datetime) -> None:
        self.records.append(record)
        self.on_change()

    def put_note(self, call: LiveCall, kind: str, data: dict[str, Any], *, at: datetime, at_ms: float) -> None:
        self.notes.append((str(kind), data))

    def put_greeting(self, call: LiveCall, ms: int, *, at: datetime) -> None:
        self.greeting_ms = ms

    def put_flight(self, call: LiveCall, sequence: int, chunk: bytes) -> None:
        self.flight += chunk

    async def durable(self, call: LiveCall, record: Command, *, at: datetime) -> None:
        self.durable_records.append(record)

    async def flush(self, call: LiveCall) -> None:
        self.flushed += 1

    def events(self, kind: type[Event]) -> list[Any]:
        """What the flight recorder kept; whole once the call is over."""
        return [event for _, event, _ in read_flight(bytes(self.flight)).moments if isinstance(event, kind)]


@dataclass
class Clerk:
    """A desk that remembers what it was asked; `broken` makes the store unreachable."""

    saved: list[Leave] = field(default_factory=list)
    redirected: list[Leave] = field(default_factory=list)
    broken: bool = False
    recording: str | Exception = "RE00000000000000000000000000000001"

    async def save_disposition(self, call: LiveCall, leave: Leave) -> None:
        if self.broken:
            await asyncio.sleep(60)
        self.saved.append(leave)

    async def redirect(self, call: LiveCall, leave: Leave) -> None:
        self.redirected.append(leave)

    async def start_recording(self, call: LiveCall, *, offset_ms: int) -> str:
        if isinstance(self.recording, Exception):
            raise self.recording
        return self.recording


@dataclass
class Answer:
    output: str
    status: str


@dataclass
class Bench:
    """Tools that answer from a table."""

    answers: dict[str, Answer] = field(default_factory=dict)
    runs: list[tuple[str, str, str]] = field(default_factory=list)
    redeem: Redeem = lambda reference: None

    def make(self, redeem: Redeem) -> Bench:
        self.redeem = redeem
        return self

    async def run(self, tool: ToolSpec, arguments_json: str, *, call_id: str, idempotency_key: str) -> Answer:
        self.runs.append((tool.name, arguments_json, idempotency_key))
        return self.answers[tool.name]


class Board:
    def __init__(self) -> None:
        self.shown: list[Command] = []

    def publish(self, call: LiveCall, record: Command, *, at_ms: float) -> None:
        self.shown.append(record)


class Line:
    """A bridge with everything around it: `async with Line(models) as line`, then speak through `line.phone`."""

    def __init__(self, models: Models, call: LiveCall | None = None, *, phone: Phone | None = None) -> None:
        self.call = call or make_call()
        self.phone = phone or Phone()
        self.notebook = Notebook()
        self.notebook.on_change = self.phone.news.set
        self.clerk = Clerk()
        self.bench = Bench()
        self.board = Board()
        self.session = CallSession(self.call.plan)
        self._models = models

    async def __aenter__(self) -> Line:
        self.bridge = Bridge(
            self.call,
            self.session,
            stream_sid=STREAM,
            socket=AsgiSocket(self.phone.receive, self.phone.send),
            models=self._models,
            records=self.notebook,
            make_tools=self.bench.make,
            desk=self.clerk,
            live=self.board,
        )
        self.task = asyncio.create_task(self.bridge.run())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if not self.task.done():
            self.phone.hang_up()
            async with asyncio.timeout(5):
                await self.task
        await self.task

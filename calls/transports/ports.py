"""What a bridge needs from the rest of the house, as protocols, so that it can be driven by doubles in memory; no code of its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from agents.spec import AgentSpec, ToolSpec
from calls.session.commands import Command, Leave
from calls.session.events import Event
from calls.session.plan import CallPlan
from calls.transports.model_socket import ModelSocket


@dataclass(frozen=True, slots=True)
class LiveCall:
    """The call a bridge serves. `token` is the lease's fencing token: a newer one makes this bridge yesterday's."""

    call_id: uuid.UUID
    tenant_id: uuid.UUID
    ref: str  # the call's name in the stream's path and in the prepared registry
    carrier_sid: str
    account_sid: str
    token: int
    plan: CallPlan = field(repr=False)
    end_user: str = field(default="", repr=False)  # the caller's number: hashed before it goes anywhere


HearFrame = Callable[[bytes | None], None]
"""Told each text frame, in order; None stands for a binary one, which this wire does not know."""

HearLoss = Callable[[int], None]
"""Told once that the socket is gone, with its close code."""


class CarrierSocket(Protocol):
    """The carrier's socket, handshake answered. Until `attach`, what arrives waits in order."""

    has_room: bool
    on_room: Callable[[], None]  # called when `has_room` turns True again

    async def next_frame(self) -> bytes | None:
        """Before `attach`: the next frame. Raises ConnectionResetError when the socket is gone."""

    def attach(self, on_frame: HearFrame, on_lost: HearLoss) -> None: ...

    def detach(self) -> None:
        """What still arrives is of no interest."""

    def send(self, text: bytes) -> None:
        """Only while `has_room`. Never fails: that the peer is gone is told by `on_lost`."""

    async def close(self, code: int) -> None:
        """Close politely, and for certain."""


class Session(Protocol):
    """calls.session.machine.CallSession, or a double of it."""

    def handle(self, event: Event, at_ms: float) -> list[Command]: ...

    @property
    def secret_input(self) -> bool: ...

    def mask_digit(self, key: str) -> str: ...


class Models(Protocol):
    """Where sessions come from. `claim` raises ModelOpenError within the connect time-out."""

    async def claim(self, call_ref: str, spec: AgentSpec, *, end_user: str = "") -> ModelSocket: ...


class Records(Protocol):
    """Where facts go. `put` never blocks and never fails; `durable` returns once the fact outlives us."""

    def put(self, call: LiveCall, record: Command, *, at: datetime) -> None: ...

    def put_note(self, call: LiveCall, kind: str, data: dict[str, Any], *, at: datetime, at_ms: float) -> None: ...

    def put_greeting(self, call: LiveCall, ms: int, *, at: datetime) -> None: ...

    def put_flight(self, call: LiveCall, sequence: int, chunk: bytes) -> None: ...

    async def durable(self, call: LiveCall, record: Command, *, at: datetime) -> None: ...

    async def flush(self, call: LiveCall) -> None: ...


class ToolAnswer(Protocol):
    @property
    def output(self) -> str: ...

    @property
    def status(self) -> str: ...


Redeem = Callable[[str], str | None]
"""Turns a one-use reference to digits typed in secret into those digits."""


class Tools(Protocol):
    """agents.tools.runner.ToolRunner; never raises."""

    async def run(self, tool: ToolSpec, arguments_json: str, *, call_id: str, idempotency_key: str) -> ToolAnswer: ...


class Desk(Protocol):
    """Services of the room that touch rows or the carrier's REST API."""

    async def save_disposition(self, call: LiveCall, leave: Leave) -> None: ...

    async def redirect(self, call: LiveCall, leave: Leave) -> None: ...

    async def start_recording(self, call: LiveCall, *, offset_ms: int) -> str: ...


class Live(Protocol):
    """The dashboards' view. Never blocks; drops its oldest when nobody reads."""

    def publish(self, call: LiveCall, record: Command, *, at_ms: float) -> None: ...

"""One Realtime session: client events in order, one active response, and refusals where the service refuses.

openai-realtime.md §4. It owns no socket: `outbox` is what a socket has to send.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import orjson
from openai.types.realtime import (
    ConversationItemDeleteEvent,
    ConversationItemRetrieveEvent,
    ConversationItemTruncateEvent,
    InputAudioBufferClearEvent,
    InputAudioBufferCommitEvent,
    ResponseCancelEvent,
)

from emulators.openai.config import DoubleConfig
from emulators.openai.conversation import Conversation, Item, decode_audio, encode_audio
from emulators.openai.ear import Ear
from emulators.openai.faults import Fault, FaultKind, FaultQueue
from emulators.openai.hearing import Hearing
from emulators.openai.models import RealtimeModel, choose_session_voice
from emulators.openai.planner import Planner
from emulators.openai.record import SessionRecord, Truncation
from emulators.openai.requests import ResponseRequest, read_request
from emulators.openai.response import Response
from emulators.openai.script import Script
from emulators.openai.session_config import check_update_shape, make_session, update_session
from emulators.openai.strikes import strike
from emulators.openai.usage import Segment
from emulators.openai.validation import check_shape
from emulators.openai.wire import EVENT_ID_MAX_CHARS, JsonObject, RequestError, make_id, read_clock_s, read_event
from emulators.speech import Synthesiser, Voice

APPEND_MAX_BYTES = 15 * 1024 * 1024  # §6.1
_SHAPES = {
    "input_audio_buffer.commit": InputAudioBufferCommitEvent,
    "input_audio_buffer.clear": InputAudioBufferClearEvent,
    "conversation.item.retrieve": ConversationItemRetrieveEvent,
    "conversation.item.truncate": ConversationItemTruncateEvent,
    "conversation.item.delete": ConversationItemDeleteEvent,
    "response.cancel": ResponseCancelEvent,
}


@dataclass(frozen=True, slots=True)
class Closing:
    """In the outbox: close with this code; 1006 means break the connection without a word."""

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all sessions of one double have in common."""

    config: DoubleConfig
    synthesiser: Synthesiser
    hearing: Hearing
    faults: FaultQueue
    read_script: Callable[[], Script]


class RealtimeSession:
    def __init__(self, shared: Shared, *, index: int, model: RealtimeModel, headers: dict[str, str]) -> None:
        self.index = index
        self.model = model
        self.id = make_id("sess")
        self.config, self.synthesiser, self.hearing = shared.config, shared.synthesiser, shared.hearing
        self.conversation = Conversation(switches=shared.config.switches)
        self.random = random.Random(f"{shared.config.seed}/{index}")
        self.planner = Planner()
        self.record = SessionRecord(shared.config.recorded_audio_ms, headers=headers)
        self.outbox: asyncio.Queue[bytes | Closing] = asyncio.Queue()
        self.last_context: list[Segment] = []
        self.call_names: dict[str, str] = {}
        self.is_closed = False
        self.on_settings: Callable[[Voice], None] = lambda voice: None  # the voice is known: speech may be prepared
        self._shared = shared
        self._spoke = False
        self._responses: dict[str, Response] = {}
        self._active: Response | None = None  # of the default conversation
        self._held: deque[JsonObject] | None = None  # what came after a session.update that is still being applied
        self._timers: list[asyncio.TimerHandle] = []
        expires_at = read_clock_s() + int(shared.config.session_seconds)
        self.settings = make_session(model, session_id=self.id, expires_at=expires_at, switches=shared.config.switches)
        self.ear = Ear(self)

    @property
    def script(self) -> Script:
        return self._shared.read_script()

    @property
    def items(self) -> list[Item]:
        return self.conversation.items

    @property
    def is_responding(self) -> bool:
        """Whether a response was asked for and is not done, in the conversation or out of band."""
        return bool(self._responses)

    @property
    def events(self) -> list[JsonObject]:
        return self.record.events

    @property
    def sent(self) -> list[JsonObject]:
        return self.record.sent

    @property
    def audio_in(self) -> bytes:
        return bytes(self.record.audio_in)

    @property
    def truncations(self) -> list[Truncation]:
        return self.record.truncations

    async def wait_for(self, predicate: Callable[[JsonObject], bool], timeout_s: float = 5.0) -> JsonObject:
        return await self.record.wait_for(predicate, timeout_s)

    async def wait_for_sent(self, predicate: Callable[[JsonObject], bool], timeout_s: float = 5.0) -> JsonObject:
        return await self.record.wait_for_sent(predicate, timeout_s)

    # The life of the socket.

    def open(self) -> None:
        self.emit({"type": "session.created", "session": self.settings})
        if self.config.switches.legacy_events:
            self.emit(
                {
                    "type": "conversation.created",
                    "conversation": {"id": self.conversation.id, "object": "realtime.conversation"},
                }
            )
        self._call_later(self.config.session_seconds, self.expire)

    def expire(self) -> None:
        """§6.1: the hard end of a session."""
        minutes = round(self.config.session_seconds / 60)
        message = f"Your session hit the maximum duration of {minutes} minutes."
        self.emit_error(RequestError(message, code="session_expired"), event_id=None)
        self.outbox.put_nowait(Closing(1001, message))

    def strike(self, fault: Fault) -> None:
        """Does a live fault at once. Raises ValueError for one that has to wait for its moment."""
        strike(self, fault)

    def cut(self, close_code: int) -> None:
        reason = {1011: "internal error", 1012: "service restart", 1013: "try again later"}.get(close_code, "")
        self.outbox.put_nowait(Closing(close_code, reason))

    def close(self, code: int | None) -> None:
        """Call this when the socket is gone: nothing is emitted any more."""
        self.is_closed = True
        for timer in self._timers:
            timer.cancel()
        for response in [*self._responses.values()]:
            response.stop()
        self.ear.close()
        self.record.note_closed(code)

    # What goes out.

    def emit(self, event: JsonObject) -> None:
        self.send({"event_id": make_id("event"), **event})

    def emit_item(self, kind: str, item: Item) -> None:
        """`conversation.item.added` or `.done`; the item joins the conversation with the first."""
        if kind == "added" and self.conversation.find(item.id) is None:
            self.conversation.add(item)
            if item.type == "function_call":
                self.call_names[item.body["call_id"]] = item.body["name"]
        body = item.copy_body()
        if not self.config.switches.phase_on_items:
            body.pop("phase", None)
        event = {"previous_item_id": self.conversation.name_previous(item), "item": body}
        self.emit({"type": f"conversation.item.{kind}", **event})
        if kind == "added" and self.config.switches.legacy_events:
            self.emit({"type": "conversation.item.created", **event})

    def emit_error(self, error: RequestError, *, event_id: object) -> None:
        echoed = event_id if isinstance(event_id, str) else None
        self.emit({"type": "error", "error": {**error.describe(), "event_id": echoed}})

    def send_raw(self, frame: bytes) -> None:
        """A text frame that need not be an event."""
        self.outbox.put_nowait(frame)

    def send(self, event: JsonObject) -> None:
        """An event as it stands; `emit` gives it the id that all but one kind have (§4.2)."""
        if self.is_closed:
            return
        self.outbox.put_nowait(orjson.dumps(event))
        audio = None
        if event["type"] == "response.output_audio.delta":
            audio = decode_audio(event["delta"], param="delta")
            self._spoke = True
        self.record.note_sent(event, audio=audio)

    # What comes in.

    def receive(self, text: str) -> None:
        """One text frame from the client. Refusals become `error` events; the session stays open (§4.8)."""
        event_id = None
        try:
            event = read_event(text)
            event_id = event.get("event_id")
            if event["type"] == "input_audio_buffer.append":
                self._append(event)
                return
            self.record.note_received(event)
            if isinstance(event_id, str) and len(event_id) > EVENT_ID_MAX_CHARS:
                raise RequestError(
                    f"Invalid 'event_id': string too long. Expected at most {EVENT_ID_MAX_CHARS} characters.",
                    code="invalid_value",
                    param="event_id",
                )
            if self._held is not None:
                self._held.append(event)
                return
            self._handle(event)
        except RequestError as refusal:
            self.emit_error(refusal, event_id=event_id)

    def _append(self, event: JsonObject) -> None:
        """The hot path, 50 times a second: checked by hand. Appends never wait behind an update (§3.2 rule 4)."""
        for key in event:
            if key not in ("type", "audio", "event_id"):
                raise RequestError(f"Unknown parameter: '{key}'.", code="unknown_parameter", param=key)
        encoded = event.get("audio")
        if not isinstance(encoded, str):
            code = "missing_required_parameter" if encoded is None else "invalid_type"
            raise RequestError("Missing or invalid parameter: 'audio'.", code=code, param="audio")
        if len(encoded) > APPEND_MAX_BYTES:
            raise RequestError("The audio of one append may not exceed 15 MiB.", code="invalid_value", param="audio")
        self.record.note_audio(self.ear.append(decode_audio(encoded, param="audio")))

    def _handle(self, event: JsonObject) -> None:
        kind = event["type"]
        if kind in _SHAPES:
            check_shape(event, _SHAPES[kind], path="")
        match kind:
            case "session.update":
                self._hold_update(event)
            case "input_audio_buffer.commit":
                self.ear.commit()
            case "input_audio_buffer.clear":
                self.ear.clear()
            case "conversation.item.create":
                self._create_item(event)
            case "conversation.item.retrieve":
                self._retrieve(event["item_id"])
            case "conversation.item.truncate":
                self._truncate(event)
            case "conversation.item.delete":
                self.conversation.delete(event["item_id"])
                self.emit({"type": "conversation.item.deleted", "item_id": event["item_id"]})
            case "response.create":
                self._create_response(self._read_request(event))
            case "response.cancel":
                self._cancel(event.get("response_id"))
            case "output_audio_buffer.clear":
                raise RequestError(  # §4.1: WebRTC and SIP only
                    "output_audio_buffer.clear is only supported for WebRTC and SIP sessions.", code="invalid_event"
                )
            case _:
                raise RequestError(f"Unknown event type: '{kind}'.", code="invalid_event", param="type")

    def _hold_update(self, event: JsonObject) -> None:
        """An update takes its time; whatever comes meanwhile waits, except sound, which is heard in the old format."""
        check_update_shape(event)
        if self.take_fault(FaultKind.NO_SESSION_UPDATED):
            return
        self._held = deque()
        self._call_later(self.config.timing.session_updated_ms / 1000, self._apply_update, event)

    def _apply_update(self, event: JsonObject) -> None:
        held, self._held = self._held or deque(), None
        try:
            self.settings = update_session(
                self.settings,
                event["session"],
                model=self.model,
                switches=self.config.switches,
                spoke=self._spoke,
                responding=self._active is not None,
            )
            self.ear.configure()
            self.emit({"type": "session.updated", "session": self.settings})
            self.on_settings(choose_session_voice(self.settings))
        except RequestError as refusal:
            self.emit_error(refusal, event_id=event.get("event_id"))
        while held:
            waiting = held.popleft()
            try:
                self._handle(waiting)
            except RequestError as refusal:
                self.emit_error(refusal, event_id=waiting.get("event_id"))
            if self._held is not None:  # it was another update
                self._held.extend(held)
                return

    def _create_item(self, event: JsonObject) -> None:
        item = self.conversation.check_create(event)
        self.conversation.add(item, after=event.get("previous_item_id"))
        if item.type == "function_call":
            self.call_names[item.body["call_id"]] = item.body["name"]
        self.emit_item("added", item)
        self.emit_item("done", item)

    def _retrieve(self, item_id: str) -> None:
        item = self.conversation.access(item_id)
        body = item.copy_body()
        if item.audio and body.get("content"):
            body["content"][0]["audio"] = encode_audio(item.audio)
        self.emit({"type": "conversation.item.retrieved", "item": body})

    def _truncate(self, event: JsonObject) -> None:
        place = {key: event[key] for key in ("item_id", "content_index", "audio_end_ms")}
        item = self.conversation.find(place["item_id"])
        self.record.truncations.append(Truncation(**place, generated_ms=item.audio_ms if item else 0.0))
        fault = self.take_fault(FaultKind.TRUNCATE_ERROR)
        if fault is not None:
            length_ms = int(item.audio_ms) if item else 0
            raise RequestError(
                f"Audio content of {length_ms}ms is already shorter than {place['audio_end_ms']}ms",
                code="invalid_value",
                param="audio_end_ms",
            )
        self.conversation.truncate(**place)
        self.emit({"type": "conversation.item.truncated", **place})

    # Responses.

    def interrupt(self) -> None:
        if self._active is not None:
            self._active.cancel("turn_detected")

    def respond_to_turn(self) -> None:
        """What voice activity asks for. When a response is still active the caller's turn gets an error (§3.4)."""
        try:
            self._create_response(ResponseRequest.automatic(self.settings))
        except RequestError as refusal:
            self.emit_error(refusal, event_id=None)

    def close_response(self, response: Response) -> None:
        self._responses.pop(response.id, None)
        if self._active is response:
            self._active = None
            if response.status != "failed" or self.config.switches.rearm_idle_after_failure:
                self.ear.arm_idle(after_ms=response.audio_ms)

    def take_fault(self, kind: FaultKind) -> Fault | None:
        return self._shared.faults.take(kind, session_index=self.index)

    def _create_response(self, request: ResponseRequest) -> None:
        refused = self.take_fault(FaultKind.REFUSE_RESPONSE) if request.in_conversation else None
        if refused is not None or (request.in_conversation and self._active is not None):
            active_id = self._active.id if self._active is not None else make_id("resp")
            raise RequestError(  # §4.6: no response.done follows for the refused one
                f"Conversation already has an active response in progress: {active_id}. "
                "Wait until the response is finished before creating a new one.",
                code="conversation_already_has_active_response",
            )
        response = request.make_response(self)
        self._responses[response.id] = response
        if request.in_conversation:
            self._active = response
            self.ear.disarm_idle()
        response.start()

    def _read_request(self, event: JsonObject) -> ResponseRequest:
        return read_request(event, session=self.settings, model=self.model, config=self.config, spoke=self._spoke)

    def _cancel(self, response_id: str | None) -> None:
        response = self._responses.get(response_id) if response_id is not None else self._active
        if response is None or not response.cancel("client_cancelled"):
            raise RequestError("Cancellation failed: no active response found", code="response_cancel_not_active")

    def _call_later(self, delay_s: float, callback: Callable[..., None], *arguments: object) -> None:
        now = asyncio.get_running_loop().time()
        self._timers = [timer for timer in self._timers if not timer.cancelled() and timer.when() > now]
        self._timers.append(asyncio.get_running_loop().call_later(delay_s, callback, *arguments))

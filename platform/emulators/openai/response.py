"""One response of the model: carries out its plan faster than real time and closes cleanly however it ends.

It decides nothing about what is said (`planner`) and nothing about when a response starts (`session`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from emulators.openai.audio import OutputFormat
from emulators.openai.config import DoubleConfig
from emulators.openai.conversation import Conversation, Item
from emulators.openai.faults import Fault, FaultKind
from emulators.openai.planner import Plan, PlannedCall, PlannedMessage
from emulators.openai.speaking import Call, OutputItem, SpokenMessage, WrittenMessage
from emulators.openai.usage import ASSISTANT_MS_PER_TOKEN, Segment, Spoken, describe_usage
from emulators.openai.wire import JsonObject, make_id
from emulators.speech import SpeechError, Synthesiser, Voice

_CUT_ARGUMENTS_SHARE = 0.6

logger = logging.getLogger(__name__)

# §4.7: codes of a failed response and the error type they come with; other codes are their own type.
_FAILURE_TYPES = {"rate_limit_exceeded": "rate_limit_error"}


class Host(Protocol):
    """What a response needs of its session."""

    config: DoubleConfig
    conversation: Conversation
    synthesiser: Synthesiser
    random: random.Random

    def emit(self, event: JsonObject) -> None: ...
    def emit_item(self, kind: str, item: Item) -> None: ...
    def cut(self, close_code: int) -> None: ...
    def take_fault(self, kind: FaultKind) -> Fault | None: ...
    def close_response(self, response: Response) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseOptions:
    """The effective settings: those of `response.create` over those of the session (§4.6)."""

    in_conversation: bool
    speaks: bool
    voice_name: object
    voice: Voice
    format: OutputFormat
    max_output_tokens: int | str
    metadata: JsonObject | None
    reasoning_tokens: int
    context: Sequence[Segment]
    earlier_context: Sequence[Segment]
    overflows: bool  # truncation is disabled and the context does not fit (§3.5)


class Response:
    """Call `start` once; `cancel` at any time. `status` is "in_progress" until the last event was emitted."""

    def __init__(self, host: Host, options: ResponseOptions, *, make_plan: Callable[[], Plan]) -> None:
        self.id = make_id("resp")
        self.options = options
        self.status = "in_progress"
        self.is_announced = False
        self.audio_ms = 0.0
        self._host = host
        self._make_plan = make_plan
        self._details: JsonObject | None = None
        self._outputs: list[OutputItem] = []
        self._extra: JsonObject = {}
        self._started_s = 0.0
        self._mishaps: list[Fault] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def is_done(self) -> bool:
        return self.status != "in_progress"

    @property
    def items(self) -> list[Item]:
        return [output.item for output in self._outputs]

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._started_s = loop.time()
        self._task = loop.create_task(self._run(), name=self.id)
        self._task.add_done_callback(self._take_end)

    def cancel(self, reason: str) -> bool:
        """Ends the response at once. False when it has not been announced yet: then it still comes (§6.3)."""
        if not self.is_announced or self.is_done:
            return False
        late = self._host.take_fault(FaultKind.LATE_DELTAS)
        last = self._outputs[-1] if self._outputs else None
        if late is not None and isinstance(last, SpokenMessage):
            for _ in range(late.count):
                self._speak_once(last)
        self._finish("cancelled", reason=reason)
        self.stop()
        return True

    def stop(self) -> None:
        """Ends the work without a word, as when the socket is gone."""
        if self._task is not None:
            self._task.cancel()

    # What `speaking` needs.

    def emit(self, event: JsonObject) -> None:
        self._host.emit(event | self._extra)

    def emit_item(self, kind: str, item: Item) -> None:
        if self.options.in_conversation:  # §4.6: an out-of-band response is not stored
            self._host.emit_item(kind, item)

    def describe(self) -> JsonObject:
        options = self.options
        return {
            "object": "realtime.response",
            "id": self.id,
            "conversation_id": self._host.conversation.id if options.in_conversation else None,
            "status": self.status,
            "status_details": self._details,
            "output": [item.copy_body() for item in self.items] if self.is_done else [],
            "output_modalities": ["audio"] if options.speaks else ["text"],
            "max_output_tokens": options.max_output_tokens,
            "audio": {"output": {"format": options.format.describe(), "voice": options.voice_name}},
            "usage": self._describe_usage() if self.is_done else None,
            "metadata": options.metadata,
        }

    async def _run(self) -> None:
        timing = self._host.config.timing
        await self._wait_until(timing.response_created_ms)
        self._announce()
        if (failure := self._find_failure()) is not None:
            self._finish("failed", error=failure)
            return
        if self._host.take_fault(FaultKind.SILENT_RESPONSE):
            return
        mishaps = (FaultKind.STALL, FaultKind.CUT, FaultKind.INCOMPLETE)
        self._mishaps = [fault for kind in mishaps if (fault := self._host.take_fault(kind))]
        for planned in self._make_plan():
            is_whole = await (self._call(planned) if isinstance(planned, PlannedCall) else self._say(planned))
            if not is_whole:
                return
        self._finish("completed")

    def _take_end(self, task: asyncio.Task[None]) -> None:
        """A bug of ours is the server's fault to the client, as on the wire (§6.2), and stays visible here."""
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("response %s broke", self.id, exc_info=error)
            self._host.cut(1011)

    async def _wait_until(self, since_start_ms: float) -> None:
        left_s = self._started_s + since_start_ms / 1000 - asyncio.get_running_loop().time()
        if left_s > 0:
            await asyncio.sleep(left_s)

    def _announce(self) -> None:
        self.is_announced = True
        if self._host.take_fault(FaultKind.EXTRA_FIELDS):
            self._extra = {"x_preview": {"beta": True}}
        self.emit({"type": "response.created", "response": self.describe()})
        config = self._host.config
        used = sum(segment.tokens for segment in self.options.context)
        remaining = max(0, config.tokens_per_minute - used)
        reset_s = round(60 * (config.tokens_per_minute - remaining) / config.tokens_per_minute, 3)
        numbers = {"limit": config.tokens_per_minute, "remaining": remaining, "reset_seconds": reset_s}
        limits = [{"name": name, **numbers} for name in config.switches.rate_limit_names]
        self.emit({"type": "rate_limits.updated", "rate_limits": limits})

    def _find_failure(self) -> JsonObject | None:
        fault = self._host.take_fault(FaultKind.FAIL_RESPONSE)
        if fault is not None:
            message = fault.message or f"The response failed: {fault.code}."
            return {"type": _FAILURE_TYPES.get(fault.code, fault.code), "code": fault.code, "message": message}
        if self.options.overflows:
            message = "The conversation is longer than the model's input token limit."
            return {"type": "invalid_request_error", "code": "context_length_exceeded", "message": message}
        return None

    async def _say(self, planned: PlannedMessage) -> bool:
        """False when the response ended in the middle of the message."""
        host, options = self._host, self.options
        audio = encoded = b""
        if options.speaks:
            try:
                audio = await host.synthesiser.speak_soon(planned.text, voice=options.voice)
            except SpeechError as error:
                self._finish("failed", error={"type": "server_error", "code": "server_error", "message": str(error)})
                return False
            encoded = await options.format.encode_soon(audio)
        await self._wait_until(host.config.timing.first_delta_ms)
        place = len(self._outputs)
        if not options.speaks:
            written = WrittenMessage(self, planned, output_index=place)
            self._outputs.append(written)
            written.write()
            written.close("completed")
            return True
        spoken = SpokenMessage(self, planned, output_index=place, audio=audio, encoded=encoded, format=options.format)
        self._outputs.append(spoken)
        while not spoken.is_spoken:
            if not await self._pass_mishaps():
                return False
            chunk_ms = self._speak_once(spoken)
            if chunk_ms == 0:
                self._finish("incomplete", reason="max_output_tokens")
                return False
            await asyncio.sleep(chunk_ms / 1000 / host.config.timing.speech_factor)
        if not await self._pass_mishaps():
            return False
        spoken.close("completed")
        return True

    def _speak_once(self, spoken: SpokenMessage) -> float:
        """One more delta; 0 when the output limit leaves no room for it."""
        chunk_ms = self._host.random.randint(*self._host.config.timing.delta_ms)
        limit = self.options.max_output_tokens
        if isinstance(limit, int):
            chunk_ms = min(chunk_ms, (limit - self._spoken.tokens) * ASSISTANT_MS_PER_TOKEN)
        if chunk_ms <= 0 or spoken.is_spoken:
            return 0
        played_ms = spoken.speak(chunk_ms)
        self.audio_ms += played_ms
        return played_ms

    async def _pass_mishaps(self) -> bool:
        """Lets a fault happen whose place in the speech is reached; False when it ended the response."""
        for fault in [fault for fault in self._mishaps if self.audio_ms >= fault.after_ms]:
            self._mishaps.remove(fault)
            if fault.kind is FaultKind.STALL:
                await asyncio.sleep(fault.delay_ms / 1000)
            elif fault.kind is FaultKind.CUT:
                self._host.cut(fault.close_code)
                return False
            else:
                self._finish("incomplete", reason=fault.reason)
                return False
        return True

    async def _call(self, planned: PlannedCall) -> bool:
        await self._wait_until(self._host.config.timing.first_delta_ms)
        cancelled = self._host.take_fault(FaultKind.CANCELLED_TOOL_CALL)
        call = Call(self, planned, output_index=len(self._outputs))
        self._outputs.append(call)
        call.write(share=_CUT_ARGUMENTS_SHARE if cancelled else 1.0)
        if cancelled is not None:
            self._finish("cancelled", reason="turn_detected")
            return False
        call.close("completed")
        return True

    def _finish(self, status: str, *, reason: str | None = None, error: JsonObject | None = None) -> None:
        if self._outputs:
            self._outputs[-1].close("completed" if status == "completed" else "incomplete")
        self.status = status
        if status != "completed":
            self._details = {"type": status}
            if reason is not None:
                self._details["reason"] = reason
            if error is not None:
                self._details["error"] = error
        self._host.close_response(self)  # first: whoever hears of the end may ask for the next at once
        self.emit({"type": "response.done", "response": self.describe()})

    @property
    def _spoken(self) -> Spoken:
        text = "".join(output.text for output in self._outputs)
        return Spoken(text, self.audio_ms, self.options.reasoning_tokens)

    def _describe_usage(self) -> JsonObject | None:
        if self._host.take_fault(FaultKind.NO_USAGE):
            return None
        if self.status == "failed" and not self._host.config.switches.usage_on_failed:
            return None  # §5.1
        usage = describe_usage(self.options.context, earlier=self.options.earlier_context, spoken=self._spoken)
        if self._host.take_fault(FaultKind.USAGE_WITHOUT_DETAILS):
            return {key: value for key, value in usage.items() if not key.endswith("_details")}
        return usage

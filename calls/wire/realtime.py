"""Server events of the Realtime API in our words; remembers only what one event needs from an earlier one, and touches no socket.

46 types (openai-realtime.md §4.2): each is translated, or listed as of no concern; anything else is a note for the log. Audio deltas
take a short cut: one typed pass that reads five fields, base64 decoded once.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, cast

import msgspec
import orjson

from calls.session.events import (
    AgentItemAdded,
    AgentText,
    CallerTranscript,
    CallerTranscriptFailed,
    CallerTurnCommitted,
    DigitPressed,
    Event,
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

Json = dict[str, Any]

# Of no concern to a live call; each has a reason to be here rather than among the unknown.
PASSED_OVER = frozenset(
    {
        "session.created",  # the connection reads the first one itself
        "conversation.created",  # legacy
        "conversation.item.done",  # our items are final by response.done
        "conversation.item.created",  # legacy twin of added
        "conversation.item.retrieved",  # we never ask
        "conversation.item.truncated",  # reply; the machine knows what it asked
        "conversation.item.deleted",  # reply
        "conversation.item.input_audio_transcription.segment",  # diarisation, never configured
        "input_audio_buffer.cleared",  # we never clear
        "input_audio_buffer.timeout_triggered",  # idle_timeout_ms is null
        "output_audio_buffer.started",  # SIP and WebRTC playout
        "output_audio_buffer.stopped",
        "output_audio_buffer.cleared",
        "response.content_part.done",
        "response.output_text.delta",  # out-of-band text is read whole from response.done
        "response.output_text.done",
        "response.function_call_arguments.delta",  # arguments are read whole from output_item.done
        "response.function_call_arguments.done",
        "response.mcp_call_arguments.delta",  # the vendor's hosted mcp type is never sent (product 4.5)
        "response.mcp_call_arguments.done",
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
        "response.mcp_call.failed",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "mcp_list_tools.failed",
        "rate_limits.updated",
    }
)


class Unknown(NamedTuple):
    """A server event of a type this wire has never heard of; the call goes on (§9.3 "unknown event type")."""

    type: str


class AudioDelta(NamedTuple):
    """Decoded sound and the event that tells the machine its size. `before`: what the machine must hear first."""

    event: ModelAudio
    audio: bytes
    before: tuple[Event, ...] = ()


class _Delta(msgspec.Struct):
    response_id: str
    item_id: str
    content_index: int
    delta: str


_delta_decoder = msgspec.json.Decoder(_Delta)
# The type is the first key on the real wire; a double that writes another order or spaces takes the full parse.
_DELTA_HEADS = (b'{"type":"response.output_audio.delta"', b'{"type": "response.output_audio.delta"')
_STATUSES = ("completed", "cancelled", "incomplete", "failed")


class Reader:
    """Reads one socket's server events in order."""

    def __init__(self) -> None:
        self._jobs: dict[str, str] = {}  # running out-of-band responses
        self._items: dict[str, tuple[str, str]] = {}  # assistant items whose place in the conversation is not known yet

    def read(self, raw: bytes) -> AudioDelta | list[Event] | Unknown:
        """Raises WireError for what is not a server event, and nothing else."""
        try:
            if raw.startswith(_DELTA_HEADS):
                return self._read_delta(_delta_decoder.decode(raw))
            event = orjson.loads(raw)
            kind = _text(event, "type")
            if kind == "response.output_audio.delta":
                return self._read_delta(msgspec.convert(event, _Delta))
            special = self._special(event)
            if special is not None:
                return special
            translate = _TRANSLATORS.get(kind)
            if translate is not None:
                return translate(self, event)
            return [] if kind in PASSED_OVER else Unknown(kind[:100])
        except (ValueError, TypeError, KeyError, AttributeError, msgspec.DecodeError) as error:
            raise WireError(f"model event: {type(error).__name__}: {error}"[:300]) from error

    def _special(self, event: Json) -> list[Event] | None:
        """What a wire of its own reads otherwise (calls.wire.realtime_sip); None: as everywhere."""
        return None

    def _read_delta(self, delta: _Delta) -> AudioDelta | list[Event]:
        audio = binascii.a2b_base64(delta.delta)
        # The lenient decoder skips foreign characters; the length shows whether it did (cheaper than its strict mode).
        padding = delta.delta[-2:].count("=")
        if len(audio) != len(delta.delta) // 4 * 3 - padding or len(delta.delta) % 4:
            raise WireError("model event: delta is no base64")
        if delta.response_id in self._jobs:
            return []  # an out-of-band response that spoke: nobody is to hear it
        event = ModelAudio(delta.response_id, delta.item_id, delta.content_index, len(audio))
        return AudioDelta(event, audio, self._place(delta.item_id) if self._items else ())

    def _place(self, item_id: str) -> tuple[Event, ...]:
        """The item's announcement when the conversation has not placed it by the time its content comes."""
        pending = self._items.pop(item_id, None)
        return () if pending is None else (AgentItemAdded(pending[0], item_id, None, pending[1]),)

    # --- one function a type: (event as JSON) -> our events -------------------------------------------------------

    def _updated(self, event: Json) -> list[Event]:
        return [ModelUpdated()]

    def _speech_started(self, event: Json) -> list[Event]:
        return [SpeechStarted(_text(event, "item_id"), int(event["audio_start_ms"]))]

    def _speech_stopped(self, event: Json) -> list[Event]:
        return [SpeechStopped(_text(event, "item_id"), int(event["audio_end_ms"]))]

    def _committed(self, event: Json) -> list[Event]:
        return [CallerTurnCommitted(_text(event, "item_id"), event.get("previous_item_id"))]

    def _transcript_delta(self, event: Json) -> list[Event]:
        text = event.get("delta")  # optional in the types (§4.2)
        return [CallerTranscript(_text(event, "item_id"), text, final=False)] if text else []

    def _transcript_completed(self, event: Json) -> list[Event]:
        usage = event.get("usage")
        return [CallerTranscript(_text(event, "item_id"), _text(event, "transcript"), final=True, usage=usage)]

    def _transcript_failed(self, event: Json) -> list[Event]:
        error = event.get("error") or {}
        detail = str(error.get("message") or error.get("code") or error.get("type") or "")
        return [CallerTranscriptFailed(_text(event, "item_id"), detail)]

    def _digit(self, event: Json) -> list[Event]:
        return [DigitPressed(_text(event, "event"))]

    def _response_created(self, event: Json) -> list[Event]:
        response = event["response"]
        job = _job(response)
        if job:
            self._jobs[response["id"]] = job
        return [ResponseStarted(_text(response, "id"), job)]

    def _item_started(self, event: Json) -> list[Event]:
        item = event["item"]
        if item["type"] == "message" and event["response_id"] not in self._jobs:
            self._items[item["id"]] = (event["response_id"], str(item.get("phase") or ""))  # phase: §4.3
        return []

    def _item_added(self, event: Json) -> list[Event]:
        item = event["item"]
        pending = self._items.pop(item["id"], None)
        if pending is None:
            return []  # the caller's, or ours
        phase = pending[1] or str(item.get("phase") or "")
        return [AgentItemAdded(pending[0], _text(item, "id"), event.get("previous_item_id"), phase)]

    def _part_added(self, event: Json) -> list[Event]:
        return list(self._place(event["item_id"]))

    def _item_ended(self, event: Json) -> list[Event]:
        item, response_id = event["item"], _text(event, "response_id")
        if item["type"] != "function_call":
            return list(self._place(item["id"]))
        return [
            ToolCalled(
                response_id,
                _text(item, "id"),
                _text(item, "call_id"),
                _text(item, "name"),
                str(item.get("arguments") or ""),
                complete=item.get("status") == "completed",  # also sent for cut responses (§3.7)
            )
        ]

    def _audio_done(self, event: Json) -> list[Event]:
        if event["response_id"] in self._jobs:
            return []
        return [ModelAudioDone(_text(event, "response_id"), _text(event, "item_id"), int(event["content_index"]))]

    def _text_delta(self, event: Json) -> list[Event]:
        return self._say(event, "delta", final=False)

    def _text_done(self, event: Json) -> list[Event]:
        return self._say(event, "transcript", final=True)

    def _say(self, event: Json, field: str, *, final: bool) -> list[Event]:
        if event["response_id"] in self._jobs:
            return []
        response_id, item_id = _text(event, "response_id"), _text(event, "item_id")
        said = AgentText(response_id, item_id, int(event["content_index"]), _text(event, field), final)
        return [*self._place(item_id), said]

    def _response_done(self, event: Json) -> list[Event]:
        response = event["response"]
        response_id = _text(response, "id")
        details = response.get("status_details") or {}
        error = details.get("error") or {}
        status = response.get("status")
        waiting = [item_id for item_id, (owner, _) in self._items.items() if owner == response_id]
        before = [event for item_id in waiting for event in self._place(item_id)]
        ended = ResponseEnded(
            response_id,
            cast(
                Literal["completed", "cancelled", "incomplete", "failed"], status if status in _STATUSES else "failed"
            ),
            reason=str(details.get("reason") or ""),
            error_code=str(error.get("code") or error.get("type") or ""),
            error_message=str(error.get("message") or ""),
            usage=response.get("usage"),
            job=self._jobs.pop(response_id, "") or _job(response),
            text=_read_text(response),
        )
        return [*before, ended]

    def _error(self, event: Json) -> list[Event]:
        error = event["error"]
        code = str(error.get("code") or error.get("type") or "")
        message, param = str(error.get("message") or ""), str(error.get("param") or "")
        return [ModelErrored(code, message, event_id=str(error.get("event_id") or ""), param=param)]


_TRANSLATORS: dict[str, Callable[[Reader, Json], list[Event]]] = {
    "session.updated": Reader._updated,
    "input_audio_buffer.speech_started": Reader._speech_started,
    "input_audio_buffer.speech_stopped": Reader._speech_stopped,
    "input_audio_buffer.committed": Reader._committed,
    "input_audio_buffer.dtmf_event_received": Reader._digit,
    "conversation.item.added": Reader._item_added,
    "conversation.item.input_audio_transcription.delta": Reader._transcript_delta,
    "conversation.item.input_audio_transcription.completed": Reader._transcript_completed,
    "conversation.item.input_audio_transcription.failed": Reader._transcript_failed,
    "response.created": Reader._response_created,
    "response.output_item.added": Reader._item_started,
    "response.output_item.done": Reader._item_ended,
    "response.content_part.added": Reader._part_added,
    "response.output_audio.done": Reader._audio_done,
    "response.output_audio_transcript.delta": Reader._text_delta,
    "response.output_audio_transcript.done": Reader._text_done,
    "response.done": Reader._response_done,
    "error": Reader._error,
}


def read_session(raw: bytes) -> tuple[str, Json]:
    """(type, whole event) of any server event, for the opening of a session. Raises WireError."""
    try:
        event = orjson.loads(raw)
        return str(event["type"]), event
    except (ValueError, TypeError, KeyError) as error:
        raise WireError(f"model event: {error}") from error


def _text(event: Json, key: str) -> str:
    value = event[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is no text")
    return value


def _job(response: Json) -> str:
    return str((response.get("metadata") or {}).get("job") or "")


def _read_text(response: Json) -> str:
    parts = (part for item in response.get("output") or () for part in item.get("content") or ())
    return "".join(str(part.get("text") or "") for part in parts if part.get("type") in ("output_text", "text"))

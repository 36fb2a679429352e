"""What can happen to a live call, in our words: everything the session is told, and nothing else reaches it.

Every path (streams, sip, relay) speaks these. An event carries no time: the driver passes `at_ms`, milliseconds on the call's own
monotonic clock, beside it. Audio bytes never travel here, only their sizes (μ-law: 8 bytes are 1 ms), so the flight recorder
stores the very stream the machine saw (product 5.4.5). Events are past tense or a state of the world.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

MULAW_BYTES_PER_MS = 8  # G.711 at 8 kHz, openai-realtime.md §3.3


class Event(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Base of all events; `tag` makes the recorded stream readable and decodable as one union."""


# --- the carrier ---------------------------------------------------------------------------------------------------


class StreamStarted(Event, frozen=True, tag=True):
    """The carrier's stream is up: the caller can hear us from now on."""

    stream_sid: str


class CallerAudio(Event, frozen=True, tag=True):
    """Caller audio was passed on to the model: `ms` in total since the last such event (sent about once a second)."""

    ms: int


class MarkReturned(Event, frozen=True, tag=True):
    """The carrier returned a mark. Not proof of hearing: after a clear all pending marks return at once (twilio.md §1.5)."""

    name: str


class DigitPressed(Event, frozen=True, tag=True):
    """The caller pressed one key (`0-9 * # A-D`)."""

    digit: str


class CallerHungUp(Event, frozen=True, tag=True):
    """The carrier's terminal word for the caller: a `stop`, or a status callback that says the call is over."""


class StreamLost(Event, frozen=True, tag=True):
    """The carrier's socket went away without a `stop`; the call itself may go on (the carrier asks the resume URL)."""

    code: int = 0


class LocalAudioReady(Event, frozen=True, tag=True):
    """Audio that we made ourselves (tones, a rendered line) is stored under (item_id, 0): `size` bytes of μ-law."""

    item_id: str
    size: int


# --- the model -----------------------------------------------------------------------------------------------------


class ModelReady(Event, frozen=True, tag=True):
    """A model session is configured (its `session.updated` matches what was asked) and caller audio flows into it."""

    session_id: str
    model: str
    age_ms: float = 0.0  # a spare was open before the call came, and its 60 minutes run from then
    attached: bool = False  # a control socket on a session that went on without us (SIP): nothing of it is lost


class ModelLost(Event, frozen=True, tag=True):
    """The model's socket is gone, or could not be opened; `cause` is a vocabulary.Cause value."""

    cause: str
    code: int = 0
    detail: str = ""


class ModelUpdated(Event, frozen=True, tag=True):
    """A later `session.updated` arrived: the running hand-off is in force."""


class PlayoutStarted(Event, frozen=True, tag=True):
    """The model plays by itself (SIP): the caller begins to hear this response (`output_audio_buffer.started`)."""

    response_id: str


class PlayoutStopped(Event, frozen=True, tag=True):
    """The caller heard this response to its end."""

    response_id: str


class PlayoutCleared(Event, frozen=True, tag=True):
    """The server dropped the rest of this response: the caller cut in, or we asked for it."""

    response_id: str


class ItemTruncated(Event, frozen=True, tag=True):
    """The server cut an item to what was heard of it, by itself (§4.5); its word corrects our estimate."""

    item_id: str
    content_index: int
    audio_end_ms: int


class ConversationTail(Event, frozen=True, tag=True):
    """What stands last in a conversation that went on while nobody was attached: a function call waits for its answer."""

    item_id: str
    call_id: str = ""
    name: str = ""
    arguments: str = ""


class SpeechStarted(Event, frozen=True, tag=True):
    """The model's voice detection heard the caller begin. `audio_start_ms` is on its input clock, padding included."""

    item_id: str
    audio_start_ms: int


class SpeechStopped(Event, frozen=True, tag=True):
    item_id: str
    audio_end_ms: int


class CallerTurnCommitted(Event, frozen=True, tag=True):
    """The caller's audio became a conversation item; `previous_item_id` is the order of record."""

    item_id: str
    previous_item_id: str | None = None


class CallerTranscript(Event, frozen=True, tag=True):
    """Transcription of a caller item: a delta (`final=False`) or the whole text. May come late and out of order."""

    item_id: str
    text: str
    final: bool
    usage: dict[str, Any] | None = None


class CallerTranscriptFailed(Event, frozen=True, tag=True):
    item_id: str
    detail: str = ""


class ResponseStarted(Event, frozen=True, tag=True):
    """`response.created`. `job` is set for our out-of-band responses (metadata), empty for the conversation's."""

    response_id: str
    job: str = ""


class AgentItemAdded(Event, frozen=True, tag=True):
    """An assistant message item began inside a response; `phase` is commentary, final_answer or empty (§4.3)."""

    response_id: str
    item_id: str
    previous_item_id: str | None = None
    phase: str = ""


class ModelAudio(Event, frozen=True, tag=True):
    """`size` further bytes of μ-law arrived for this part; the driver appended them to its store under (item, part)."""

    response_id: str
    item_id: str
    content_index: int
    size: int


class ModelAudioDone(Event, frozen=True, tag=True):
    """No more audio for this part (also sent on interruption)."""

    response_id: str
    item_id: str
    content_index: int


class AgentText(Event, frozen=True, tag=True):
    """Transcript of what the agent says, ahead of playback: a delta, or with `final` the whole text of the part."""

    response_id: str
    item_id: str
    content_index: int
    text: str
    final: bool = False


class ToolCalled(Event, frozen=True, tag=True):
    """`response.output_item.done` of a function call. `complete` is False when its response was cut: never run it."""

    response_id: str
    item_id: str
    call_id: str
    name: str
    arguments: str
    complete: bool = True


class ResponseEnded(Event, frozen=True, tag=True):
    """`response.done`, always the last word of a response. `text` carries the answer of an out-of-band text response."""

    response_id: str
    status: Literal["completed", "cancelled", "incomplete", "failed"]
    reason: str = ""  # turn_detected, client_cancelled, max_output_tokens, content_filter
    error_code: str = ""  # rate_limit_exceeded, insufficient_quota, server_error, …
    error_message: str = ""
    usage: dict[str, Any] | None = None
    job: str = ""
    text: str = ""


class ModelErrored(Event, frozen=True, tag=True):
    """An `error` event; `event_id` is the id of our event that caused it, when known (§4.8)."""

    code: str
    message: str
    event_id: str = ""
    param: str = ""


# --- ourselves -----------------------------------------------------------------------------------------------------


class ToolFinished(Event, frozen=True, tag=True):
    """A tool run ended. `output` is the string for the model; `status` is a vocabulary.ToolStatus value."""

    call_id: str
    output: str
    status: str


class TimerFired(Event, frozen=True, tag=True):
    """A timer that the session set came due; a timer that was cancelled or set again never fires with its old time."""

    name: str


class RecordingStarted(Event, frozen=True, tag=True):
    recording_sid: str


class RecordingFailed(Event, frozen=True, tag=True):
    detail: str


class EndRequested(Event, frozen=True, tag=True):
    """Somebody outside wants the call to end politely: a supervisor (`supervisor_ended`), an operator."""

    reason: str


class MoveRequested(Event, frozen=True, tag=True):
    """This process is stopping: leave for another process at the next silence (product 7.3)."""


class ReferAnswered(Event, frozen=True, tag=True):
    """What became of the REFER: `ok` only when the carrier shows the caller's new leg (a 200 means "relayed")."""

    ok: bool
    detail: str = ""


class NoteAdded(Event, frozen=True, tag=True):
    """A note for the agent from outside the conversation (whisper), added as a system item."""

    text: str


AnyEvent = (
    StreamStarted | CallerAudio | MarkReturned | DigitPressed | CallerHungUp | StreamLost | LocalAudioReady
    | ModelReady | ModelLost | ModelUpdated | SpeechStarted | SpeechStopped | CallerTurnCommitted | CallerTranscript
    | CallerTranscriptFailed | ResponseStarted | AgentItemAdded | ModelAudio | ModelAudioDone | AgentText | ToolCalled
    | ResponseEnded | ModelErrored | ToolFinished | TimerFired | RecordingStarted | RecordingFailed | EndRequested
    | MoveRequested | NoteAdded | PlayoutStarted | PlayoutStopped | PlayoutCleared | ItemTruncated | ConversationTail
    | ReferAnswered
)  # fmt: skip

"""What the session wants done, in order. Commands are imperative; the driver carries them out and never decides.

Offsets are bytes into the part's received μ-law audio, which the driver keeps until `DropAudio`. Every command that becomes a client
event for the model carries the `event_id` under which an error will come back (openai-realtime.md §4).
Records are facts for the writer: numbered per call and kind by the session, so that writing one twice changes nothing.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Command(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Base of all commands; comparable, so a replay can be held against the original."""


# --- to the carrier ------------------------------------------------------------------------------------------------


class Play(Command, frozen=True, tag=True):
    """Send these bytes of the part, then the mark."""

    item_id: str
    content_index: int
    start: int
    end: int
    mark: str


class SendMark(Command, frozen=True, tag=True):
    """Send a mark alone: it returns when all before it was played (end of a part, or a round-trip probe)."""

    mark: str


class ClearPlayback(Command, frozen=True, tag=True):
    """Drop everything the carrier still holds. Goes out at once, before anything else that is queued."""


class DropAudio(Command, frozen=True, tag=True):
    """The stored audio of this part will not be asked for again."""

    item_id: str
    content_index: int


class MakeTones(Command, frozen=True, tag=True):
    """Render in-band tones for `digits` into the store under (item_id, 0), then report LocalAudioReady."""

    item_id: str
    digits: str


class SealDigits(Command, frozen=True, tag=True):
    """Secret input is over: keep the keys pressed meanwhile under this one-use reference (`count` 0: throw them away).

    While `CallSession.secret_input` holds, the driver keeps each pressed key in memory only and hands in
    `DigitPressed(session.mask_digit(key))`; a key that is handed in unmasked ended the input and is not part of the secret.
    """

    reference: str
    count: int


class StartRecording(Command, frozen=True, tag=True):
    """The disclosure was heard (or none is due): start the carrier's recording; report RecordingStarted or RecordingFailed."""


class Leave(Command, frozen=True, tag=True):
    """Make the disposition durable, then close the carrier's socket: the carrier asks the resume URL, which acts on it.

    `next`: hang_up · transfer (contact named) · voicemail · ladder (next rung, with cause and fault) · resume (another process).
    `say` is spoken by the carrier before the next step (a sentence when the model cannot speak).
    """

    next: Literal["hang_up", "transfer", "voicemail", "ladder", "resume"]
    reason: str = ""  # vocabulary.EndReason for hang_up
    contact: str = ""
    cause: str = ""  # vocabulary.Cause
    fault: str = ""  # vocabulary.Fault
    say: str = ""
    detail: str = ""


class Refer(Command, frozen=True, tag=True):
    """On a trunk the call is handed to a person by REFER, while the session stays: report ReferAnswered."""

    contact: str


class Finish(Command, frozen=True, tag=True):
    """The call is over for this session: close what is open and let the driver end. Nothing follows."""

    reason: str
    fault: str = ""


# --- to the model --------------------------------------------------------------------------------------------------


class CreateResponse(Command, frozen=True, tag=True):
    """Ask for speech. With `job` it is an out-of-band text response that may run beside the conversation's."""

    event_id: str
    instructions: str = ""
    job: str = ""
    input_text: str = ""
    tools_allowed: bool = True


class CancelResponse(Command, frozen=True, tag=True):
    event_id: str
    response_id: str


class TruncateItem(Command, frozen=True, tag=True):
    event_id: str
    item_id: str
    content_index: int
    audio_end_ms: int


class DeleteItem(Command, frozen=True, tag=True):
    event_id: str
    item_id: str


class AddMessage(Command, frozen=True, tag=True):
    """Add a text item: history when a session is rebuilt, a system note, or what the caller pressed."""

    event_id: str
    role: Literal["system", "user", "assistant"]
    text: str


class AddToolExchange(Command, frozen=True, tag=True):
    """Replay a finished tool call and its output into a fresh session."""

    event_id: str
    call_id: str
    name: str
    arguments: str
    output: str


class AddToolOutput(Command, frozen=True, tag=True):
    """Answer a function call; every call is answered exactly once."""

    event_id: str
    call_id: str
    output: str


class UseAgent(Command, frozen=True, tag=True):
    """Hand-off: send the named agent's instructions and tools as a diff (never format or voice, §6.3)."""

    event_id: str
    agent: str


class ConnectModel(Command, frozen=True, tag=True):
    """Open a fresh model session for the named agent; report ModelReady or ModelLost."""

    agent: str


# --- to ourselves --------------------------------------------------------------------------------------------------


class RunTool(Command, frozen=True, tag=True):
    """Run a declared tool of the named agent once its record is durable; report ToolFinished within its time-out."""

    call_id: str
    name: str
    arguments: str
    agent: str


class SetTimer(Command, frozen=True, tag=True):
    """Fire TimerFired(name) at `at_ms` on the call's clock; replaces a timer of the same name."""

    name: str
    at_ms: float


class CancelTimer(Command, frozen=True, tag=True):
    name: str


class RecordTurn(Command, frozen=True, tag=True):
    """The whole present state of turn `sequence`; a higher `revision` replaces a lower one, in any order of arrival."""

    sequence: int
    revision: int
    role: str  # vocabulary.TurnRole
    status: str  # vocabulary.TurnStatus
    item_id: str
    previous_item_id: str = ""
    response_id: str = ""
    agent: str = ""
    phase: str = ""
    generated: str = ""
    heard: str = ""
    generated_ms: int = 0
    heard_ms: int = 0
    started_ms: int = 0
    ended_ms: int | None = None
    model_latency_ms: int | None = None
    turn_latency_ms: int | None = None


class RecordEvent(Command, frozen=True, tag=True):
    sequence: int
    kind: str  # vocabulary.EventKind
    at_ms: int
    data: dict[str, Any] = {}


class RecordToolRun(Command, frozen=True, tag=True):
    """A tool run's state; like a turn, a higher revision replaces a lower one."""

    sequence: int
    revision: int
    call_id: str
    name: str
    agent: str
    arguments: str
    status: str  # vocabulary.ToolStatus
    output: str = ""
    started_ms: int = 0
    ended_ms: int | None = None


class RecordUsage(Command, frozen=True, tag=True):
    """Something the model vendor will bill. `usage` is the vendor's object as received, or None when it was lost."""

    sequence: int
    kind: Literal["response", "transcription", "judge"]
    source_id: str  # response or item id
    model: str
    status: str
    at_ms: int
    usage: dict[str, Any] | None = None
    estimated_audio_ms: int = 0  # audio received of a response whose usage was lost


class SetState(Command, frozen=True, tag=True):
    """What the live board shows: listening, thinking, speaking, tool, leaving."""

    state: Literal["connecting", "listening", "thinking", "speaking", "tool", "leaving"]


AnyCommand = (
    Play | SendMark | ClearPlayback | DropAudio | MakeTones | SealDigits | StartRecording | Leave | Finish | CreateResponse | CancelResponse
    | TruncateItem | DeleteItem | AddMessage | AddToolExchange | AddToolOutput | UseAgent | ConnectModel | RunTool | SetTimer
    | CancelTimer | RecordTurn | RecordEvent | RecordToolRun | RecordUsage | SetState | Refer
)  # fmt: skip

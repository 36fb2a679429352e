"""The call session: events in, commands out, no clock and no I/O. One table says which event is handled how in which phase.

A driver feeds every event with its time and carries the commands out in order. What the peers send is never an error here, only noted;
an event that the driver may not send in a phase raises IllegalEvent, because that is a bug of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from calls.session import commands as do
from calls.session import events as ev
from calls.session.conductor import Conductor
from calls.session.context import Context, Phase, State
from calls.session.plan import CallPlan
from calls.session.tools import is_deadline

Handler = Callable[[Any], None]

# After these, what follows is looked at only when a part says that something changed.
HOT = frozenset({ev.CallerAudio, ev.ModelAudio, ev.MarkReturned, ev.AgentText, ev.TimerFired})
HOT_TIMERS = frozenset({"pump", "marks", "flush"})


class IllegalEvent(Exception):
    """The driver handed in an event that cannot happen in this phase."""

    permanent = True

    def __init__(self, event: ev.Event, phase: Phase) -> None:
        super().__init__(f"{type(event).__name__} is not allowed in phase {phase.value}")


class CallSession:
    """One live call. Pass every event to `handle` from one place at a time; carry out what it returns, in order."""

    def __init__(self, plan: CallPlan) -> None:
        self.ctx = Context(plan)
        self.parts = Conductor(self.ctx)
        self._table = _build_table(self.parts, self._fire)
        self._timers = _build_timers(self.parts)

    @property
    def phase(self) -> Phase:
        return self.ctx.phase

    @property
    def state(self) -> State:
        """What the live board shows."""
        return self.ctx.state or "connecting"

    @property
    def secret_input(self) -> bool:
        """While True, keys go to the driver's memory and come here as `DigitPressed(mask_digit(key))` (see SealDigits)."""
        return self.parts.digits.secret_input

    def mask_digit(self, key: str) -> str:
        return self.parts.digits.mask(key)

    def handle(self, event: ev.Event, at_ms: float) -> list[do.Command]:
        """Takes one event at its time; returns what is to be done, in order. Time never runs backwards."""
        ctx = self.ctx
        if ctx.phase is Phase.ENDED:
            return []
        ctx.now = max(ctx.now, round(at_ms, 3))  # microseconds: what the flight recorder keeps
        out: list[do.Command] = []
        ctx.out = out
        kind = type(event)
        handler = self._table[ctx.phase].get(kind)
        if handler is None:
            raise IllegalEvent(event, ctx.phase)
        handler(event)
        if ctx.phase is Phase.LIVE and (ctx.unsettled or kind not in HOT):
            self.parts.settle()
        return out

    def _fire(self, event: ev.TimerFired) -> None:
        """A timer that is not set any more lost a race and says nothing."""
        if self.ctx.timers.pop(event.name, None) is None:
            return
        if event.name not in HOT_TIMERS:
            self.ctx.unsettled = True
        if is_deadline(event.name):
            self.parts.tools.overdue(event.name)
        else:
            self._timers[event.name]()


def _build_table(parts: Conductor, fire: Handler) -> dict[Phase, dict[type[ev.Event], Handler]]:
    """Everything not listed is illegal. What a peer may send at a wrong time is listed with `note_early` or `ignore`."""
    model: dict[type[ev.Event], Handler] = {
        ev.ModelUpdated: parts.on_model_updated,
        ev.SpeechStarted: parts.on_speech_started,
        ev.SpeechStopped: parts.on_speech_stopped,
        ev.CallerTurnCommitted: parts.on_committed,
        ev.CallerTranscript: parts.on_transcript,
        ev.CallerTranscriptFailed: parts.on_transcript_failed,
        ev.ResponseStarted: parts.on_response_started,
        ev.AgentItemAdded: parts.voice.begin_item,
        ev.ModelAudio: parts.on_audio,
        ev.ModelAudioDone: parts.voice.end_sound,
        ev.AgentText: parts.on_text,
        ev.ToolCalled: parts.on_tool_called,
        ev.ResponseEnded: parts.on_response_ended,
        ev.ModelErrored: parts.on_error,
        ev.PlayoutStarted: parts.on_playout_started,
        ev.PlayoutStopped: parts.on_playout_stopped,
        ev.PlayoutCleared: parts.on_playout_cleared,
        ev.ItemTruncated: parts.on_item_truncated,
        ev.ConversationTail: parts.on_tail,
    }
    carrier: dict[type[ev.Event], Handler] = {
        ev.MarkReturned: parts.on_mark,
        ev.DigitPressed: parts.on_digit,
    }
    anywhere: dict[type[ev.Event], Handler] = {
        ev.ModelReady: parts.recovery.ready,
        ev.ModelLost: parts.recovery.lost,
        ev.CallerAudio: parts.on_caller_audio,
        ev.CallerHungUp: parts.on_hang_up,
        ev.StreamLost: parts.on_stream_lost,
        ev.TimerFired: fire,
        ev.MoveRequested: parts.on_move_requested,
        ev.NoteAdded: parts.on_note,
        ev.EndRequested: parts.on_end_requested,
    }
    ours: dict[type[ev.Event], Handler] = {
        ev.LocalAudioReady: parts.on_local_audio,
        ev.ToolFinished: parts.tools.finished,
        ev.RecordingStarted: parts.on_recording_started,
        ev.RecordingFailed: parts.on_recording_failed,
        ev.ReferAnswered: parts.leaving.referred,
    }
    closing: dict[type[ev.Event], Handler] = {
        ev.CallerHungUp: parts.on_closed,
        ev.StreamLost: parts.on_closed,
        ev.TimerFired: fire,
        ev.CallerTranscript: parts.on_transcript,
        ev.CallerTranscriptFailed: parts.on_transcript_failed,
        ev.ResponseEnded: parts.on_late_response_ended,
        ev.ToolFinished: parts.tools.finished,
        ev.RecordingStarted: parts.on_recording_started,
        ev.RecordingFailed: parts.on_recording_failed,
    }
    return {
        Phase.WAITING: {
            **dict.fromkeys([*model, *carrier], parts.note_early),
            **anywhere,
            ev.StreamStarted: parts.on_stream_started,
        },
        Phase.LIVE: {**model, **carrier, **anywhere, **ours},
        Phase.CLOSING: {**dict.fromkeys([*model, *carrier, *anywhere, *ours], parts.ignore), **closing},
    }


def _build_timers(parts: Conductor) -> dict[str, Callable[[], None]]:
    return {
        "marks": parts.voice.marks_overdue,
        "pump": parts.playback.pump,
        "flush": parts.turns.flush,
        "watchdog": parts.watchdog.fired,
        "retry": parts.settle_soon,
        "silence": parts.silence.fired,
        "wrap_up": parts.duration.wrap_up,
        "cap": parts.duration.cap,
        "burst": parts.settle_soon,
        "collect": parts.digits.collection_over,
        "hand_off": parts.builtins.hand_off_overdue,
        "drain": parts.leaving.overdue,
        "redial": parts.recovery.open_session,
        "reconnect": parts.recovery.overdue,
        "renew": parts.recovery.renew_due,
        "move": parts.recovery.move_now,
        "refer": parts.leaving.refer_overdue,
        "close": parts.ending.close,
    }

"""What every part of the session shares: the plan, the moment, the commands so far, timers and counters; it decides nothing."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from agents.spec import AgentSpec
from calls.session import commands as do
from calls.session.capabilities import Ability, Arrangement, can
from calls.session.plan import CallPlan
from calls.vocabulary import EventKind

PEER_NOTES = 50  # a peer that talks nonsense all day must not fill the record; the count goes on in the last note

State = Literal["connecting", "listening", "thinking", "speaking", "tool", "leaving"]


class Phase(StrEnum):
    WAITING = "waiting"  # the carrier's stream is not up
    LIVE = "live"
    CLOSING = "closing"  # the exit was taken, or the caller has gone: nothing is said any more
    ENDED = "ended"


class Context:
    """The session's desk. `now` is the time of the event being handled; `out` collects its commands."""

    def __init__(self, plan: CallPlan) -> None:
        resume = plan.resume
        self.plan = plan
        self.limits = plan.limits
        self.arrangement = plan.arrangement
        self.is_sip = plan.arrangement in (Arrangement.SIP_DIAL, Arrangement.SIP_TRUNK)  # the model is the player
        self.phase = Phase.WAITING
        self.now = 0.0
        self.out: list[do.Command] = []
        self.timers: dict[str, float] = {}
        self.unsettled = True
        self.agent = resume.agent if resume and resume.agent in plan.agents else plan.agent
        self.elapsed_ms = resume.elapsed_ms if resume else 0
        self.connected = (
            self.spec
        )  # whose turn detection and transcription are in force: a hand-off changes neither (§6.3)
        self.model = self.spec.realtime.model
        self.stream_up = False
        self.model_ready = False
        self.caller_speaking = False
        self.caller_turns = 0
        self.caller_audio_ms = 0
        self.state: State | None = None
        self.notes: list[tuple[int, str]] = []  # place in the conversation, text
        self._ids = 0
        self._places = 0
        self._peer_notes = 0
        self._events = resume.next_event if resume else 0
        self._usages = resume.next_usage if resume else 0

    @property
    def spec(self) -> AgentSpec:
        """The agent that speaks now."""
        return self.plan.agents[self.agent]

    def may(self, ability: Ability) -> bool:
        """Whether this line can do it at all."""
        return can(ability, self.arrangement)

    @property
    def call_ms(self) -> int:
        """The moment on the call's clock, which goes on where an earlier session stopped."""
        return int(self.now) + self.elapsed_ms

    def emit(self, command: do.Command) -> None:
        self.out.append(command)

    def next_id(self) -> str:
        """A client event id; the generation keeps ids of two sessions of one call apart."""
        self._ids += 1
        return f"s{self.plan.generation}-{self._ids}"

    def next_place(self) -> int:
        """The order in which turns, tool calls and notes came up."""
        self._places += 1
        return self._places

    def set_timer(self, name: str, *, at_ms: float) -> None:
        """Sets the timer unless it already stands at that moment."""
        if self.timers.get(name) != at_ms:
            self.timers[name] = at_ms
            self.out.append(do.SetTimer(name=name, at_ms=at_ms))

    def cancel_timer(self, name: str) -> None:
        if self.timers.pop(name, None) is not None:
            self.out.append(do.CancelTimer(name=name))

    def record(self, kind: EventKind, **data: Any) -> None:
        """Puts a moment on the call's time line."""
        self.out.append(do.RecordEvent(sequence=self._events, kind=kind, at_ms=self.call_ms, data=data))
        self._events += 1

    def note_peer(self, peer: str, problem: str, **data: Any) -> None:
        """The carrier or the model sent something wrong: noted and passed over."""
        self._peer_notes += 1
        if self._peer_notes <= PEER_NOTES:
            self.record(EventKind.PEER_ERROR, peer=peer, problem=problem, count=self._peer_notes, **data)

    def record_usage(
        self,
        kind: Literal["response", "transcription", "judge"],
        source_id: str,
        *,
        status: str,
        usage: dict[str, Any] | None,
        estimated_audio_ms: int = 0,
    ) -> None:
        """One line for the ledger. `usage` None means that the vendor bills something we were not told about."""
        model = self.connected.realtime.transcription.model if kind == "transcription" else self.model
        self.out.append(
            do.RecordUsage(
                sequence=self._usages,
                kind=kind,
                source_id=source_id,
                model=model,
                status=status,
                at_ms=self.call_ms,
                usage=usage,
                estimated_audio_ms=estimated_audio_ms,
            )
        )
        self._usages += 1

    def note(self, text: str) -> None:
        """Adds a system note to the conversation; it is kept for a fresh session."""
        self.notes.append((self.next_place(), text))
        if self.model_ready:
            self.emit(do.AddMessage(event_id=self.next_id(), role="system", text=text))

    def set_state(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self.emit(do.SetState(state=state))


def say_exactly(text: str) -> str:
    """The instruction that makes the model speak a fixed line. Quotes inside would end the line early."""
    quoted = text.replace('"', "'")
    return f'Say exactly: "{quoted}"'


def say_ours(text: str, *, spec: AgentSpec) -> str:
    """As `say_exactly`, for a line that no tenant wrote: an agent of another language says it in its own."""
    if spec.languages and spec.languages[0].partition("-")[0] == "en":
        return say_exactly(text)
    return f'In the language of the conversation, say only this: "{text}"'

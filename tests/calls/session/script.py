"""A call in virtual time: a carrier that plays at real rate and returns marks late, a model that says what the script tells it."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agents.spec import AgentSpec
from calls.session import commands as do
from calls.session import events as ev
from calls.session.machine import CallSession
from calls.session.plan import CallPlan, Limits, Resume

C = TypeVar("C", bound=do.Command)

RECEPTION = AgentSpec(name="Reception", instructions="You answer the phone.", greeting="Good morning.")


@dataclass
class Segment:
    key: tuple[str, int]
    offset: int
    size: int
    begins: float

    rate: float

    def played(self, at: float) -> int:
        return max(0, min(self.size, int((at - self.begins) * 8 * self.rate)))


class Carrier:
    """Plays what arrives, in order, at 8 bytes a millisecond; one network delay each way (twilio.md §1.5)."""

    def __init__(self, call: Call, *, delay_ms: float, returns_marks: bool = True) -> None:
        self.call = call
        self.delay_ms = delay_ms
        self.returns_marks = returns_marks
        self.queue: list[Segment] = []
        self.free_at = 0.0
        self.played: dict[tuple[str, int], int] = {}
        self.marks: dict[str, int] = {}  # pending mark -> ticket of its return
        self.deepest_ms = 0.0
        self.gaps_ms = 0.0  # silence inside a part
        self._ticket = 0

    def send(self, action: Callable[[], None]) -> None:
        self.call.at(self.call.now + self.delay_ms, action)

    def play(self, command: do.Play) -> None:
        now = self.call.now
        begins = max(now, self.free_at)
        key = (command.item_id, command.content_index)
        if command.start and self.free_at < now:
            self.gaps_ms += now - self.free_at
        self.queue.append(Segment(key, command.start, command.end - command.start, begins, self.call.rate))
        self.free_at = begins + (command.end - command.start) / 8 / self.call.rate
        self.deepest_ms = max(self.deepest_ms, self.free_at - now)
        self.mark(command.mark)

    def mark(self, name: str) -> None:
        self._ticket += 1
        self.marks[name] = self._ticket
        self.call.at(max(self.free_at, self.call.now), lambda ticket=self._ticket: self._return(name, ticket))

    def clear(self) -> None:
        self.settle()
        self.queue.clear()
        self.free_at = self.call.now
        for name, ticket in list(self.marks.items()):
            self._return(name, ticket)

    def settle(self) -> None:
        """Counts what was really played until now."""
        for segment in self.queue:
            heard = segment.offset + segment.played(self.call.now)
            if segment.played(self.call.now):
                self.played[segment.key] = max(self.played.get(segment.key, 0), heard)

    def _return(self, name: str, ticket: int) -> None:
        if self.marks.get(name) != ticket:
            return
        del self.marks[name]
        if self.returns_marks:
            arrives = self.call.now + self.delay_ms + self.call.lateness()
            self.call.at(arrives, lambda: self.call.feed(ev.MarkReturned(name=name)))


@dataclass
class Call:
    """The script's hands: `feed`, `run`, `reply`, and a look at what was done."""

    agent: AgentSpec = RECEPTION
    others: tuple[AgentSpec, ...] = ()
    delay_ms: float = 0.0
    limits: Limits = Limits()
    resume: Resume | None = None
    returns_marks: bool = True
    answers_probes: bool = True
    late_ms: float = 0.0  # our event loop looks at what arrived up to this late
    rate: float = 1.0  # the carrier's clock against ours
    now: float = 0.0
    done: list[tuple[float, do.Command]] = field(default_factory=list)
    fed: list[tuple[float, ev.Event]] = field(default_factory=list)

    def __post_init__(self) -> None:
        agents = {agent.name: agent for agent in (self.agent, *self.others)}
        self.plan = CallPlan(agent=self.agent.name, agents=agents, limits=self.limits, resume=self.resume)
        self.session = CallSession(self.plan)
        self.carrier = Carrier(self, delay_ms=self.delay_ms, returns_marks=self.returns_marks)
        self._heap: list[tuple[float, int, Callable[[], Any]]] = []
        self._order = 0
        self._chance = random.Random(1)
        self._timers: dict[str, int] = {}
        self._ids = 0
        self.truths: list[tuple[float, do.TruncateItem]] = []
        self.errors_ms: list[float] = []

    def lateness(self) -> float:
        return self._chance.uniform(0, self.late_ms)

    # --- the world -------------------------------------------------------------------------------------------------

    def at(self, when: float, action: Callable[[], Any]) -> None:
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, action))

    def run(self, ms: float) -> None:
        """Lets virtual time pass."""
        until = self.now + ms
        while self._heap and self._heap[0][0] <= until:
            when, _, action = heapq.heappop(self._heap)
            self.now = max(self.now, when)
            action()
        self.now = until

    def feed(self, *events: ev.Event) -> list[do.Command]:
        """Hands events in now; carries out what follows."""
        followed: list[do.Command] = []
        for event in events:
            self.fed.append((self.now, event))
            commands = self.session.handle(event, self.now)
            self.check()
            for command in commands:
                self.done.append((self.now, command))
                self._carry_out(command)
            followed += commands
        return followed

    def check(self) -> None:
        for part in self.session.parts.playback.parts.values():
            assert 0 <= part.heard <= part.sent <= part.received

    def _carry_out(self, command: do.Command) -> None:
        match command:
            case do.SetTimer(name, at_ms):
                self._order += 1
                self._timers[name] = ticket = self._order
                self.at(max(at_ms, self.now), lambda: self._fire(name, ticket))
            case do.CancelTimer(name):
                self._timers.pop(name, None)
            case do.Play():
                self.carrier.send(lambda: self.carrier.play(command))
            case do.SendMark(mark) if self.answers_probes:
                self.carrier.send(lambda: self.carrier.mark(mark))
            case do.ClearPlayback():
                self.carrier.send(self.carrier.clear)
            case do.TruncateItem():
                self.at(self.now + self.delay_ms, lambda: self._compare(command))
            case do.MakeTones(item_id, digits):
                self.at(self.now, lambda: self.feed(ev.LocalAudioReady(item_id=item_id, size=len(digits) * 1600)))
            case _:
                pass

    def _compare(self, command: do.TruncateItem) -> None:
        truth = self.carrier.played.get((command.item_id, command.content_index), 0) / 8
        self.errors_ms.append(command.audio_end_ms - truth)

    def _fire(self, name: str, ticket: int) -> None:
        if self._timers.get(name) == ticket:
            del self._timers[name]
            self.feed(ev.TimerFired(name=name))

    # --- the script ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """The stream and the model are there; the greeting is asked for."""
        self.feed(ev.ModelReady(session_id="sess_1", model="gpt-realtime-2.1"))
        self.feed(ev.StreamStarted(stream_sid="MZ1"))

    def greet(self) -> None:
        """Start, and the greeting is said and heard."""
        self.start()
        self.reply("Good morning.", ms=800)
        self.run(3000)

    def new_id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}_{self._ids}"

    def begin(self) -> str:
        response_id = self.new_id("resp")
        self.feed(ev.ResponseStarted(response_id=response_id))
        return response_id

    def speak(
        self, response_id: str, text: str = "Certainly.", *, ms: int = 1000, phase: str = "", done: bool = True
    ) -> str:
        """One item of audio with its words, faster than real time: deltas of 200 ms."""
        item_id = self.new_id("item")
        self.feed(ev.AgentItemAdded(response_id=response_id, item_id=item_id, previous_item_id="item_0", phase=phase))
        self.feed(ev.AgentText(response_id=response_id, item_id=item_id, content_index=0, text=text))
        for at in range(0, ms, 200):
            size = min(200, ms - at) * 8
            self.feed(ev.ModelAudio(response_id=response_id, item_id=item_id, content_index=0, size=size))
        if done:
            self.feed(ev.ModelAudioDone(response_id=response_id, item_id=item_id, content_index=0))
            self.feed(ev.AgentText(response_id=response_id, item_id=item_id, content_index=0, text=text, final=True))
        return item_id

    def end(self, response_id: str, status: Any = "completed", **fields: Any) -> list[do.Command]:
        return self.feed(ev.ResponseEnded(response_id=response_id, status=status, usage={"total_tokens": 9}, **fields))

    def reply(self, text: str = "Certainly.", *, ms: int = 1000) -> str:
        """A whole response of one item; returns the item's id."""
        response_id = self.begin()
        item_id = self.speak(response_id, text, ms=ms)
        self.end(response_id)
        return item_id

    def call_tool(
        self, name: str, arguments: str = "{}", *, says: str = "", complete: bool = True, end: bool = True
    ) -> str:
        """A response that calls a tool; returns the call id."""
        response_id = self.begin()
        if says:
            self.speak(response_id, says, ms=400)
        call_id = self.new_id("call")
        self.feed(
            ev.ToolCalled(
                response_id=response_id,
                item_id=self.new_id("item"),
                call_id=call_id,
                name=name,
                arguments=arguments,
                complete=complete,
            )
        )
        if end:
            self.end(response_id)
        return call_id

    def interrupt(self) -> list[do.Command]:
        return self.feed(ev.SpeechStarted(item_id=self.new_id("user"), audio_start_ms=int(self.now)))

    def caller_says(self, text: str = "Hello?", *, ms: int = 500) -> str:
        """The caller speaks and is done; the transcript comes at once."""
        item_id = self.new_id("user")
        self.feed(ev.SpeechStarted(item_id=item_id, audio_start_ms=int(self.now)))
        self.run(ms)
        self.feed(ev.SpeechStopped(item_id=item_id, audio_end_ms=int(self.now)))
        self.feed(ev.CallerTurnCommitted(item_id=item_id, previous_item_id="item_0"))
        self.feed(ev.CallerTranscript(item_id=item_id, text=text, final=True, usage={"type": "duration", "seconds": 1}))
        return item_id

    # --- what was done ---------------------------------------------------------------------------------------------

    def all(self, kind: type[C]) -> list[C]:
        return [command for _, command in self.done if isinstance(command, kind)]

    def last(self, kind: type[C]) -> C:
        return self.all(kind)[-1]

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [command.data for command in self.all(do.RecordEvent) if command.kind == kind]

    def asked(self) -> list[do.CreateResponse]:
        """Requests for speech of the conversation."""
        return [command for command in self.all(do.CreateResponse) if not command.job]

    def turns(self) -> dict[int, do.RecordTurn]:
        """The last state of each turn."""
        latest: dict[int, do.RecordTurn] = {}
        for turn in self.all(do.RecordTurn):
            if turn.sequence not in latest or turn.revision > latest[turn.sequence].revision:
                latest[turn.sequence] = turn
        return latest

    def turn(self, item_id: str) -> do.RecordTurn:
        return next(turn for turn in self.turns().values() if turn.item_id == item_id)

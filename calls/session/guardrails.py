"""Watches what the agent is about to be heard saying: patterns on every delta, judges out of band; a trip cuts and corrects.

Generation outruns playback, so a trip usually comes before the caller hears the words (openai-realtime.md §7.4).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from agents.spec import Guardrail
from calls.session import commands as do
from calls.session import events as ev
from calls.session.context import Context, say_ours
from calls.session.failures import NEUTRAL
from calls.session.responses import Response, Sequencer
from calls.session.voice import Voice
from calls.vocabulary import EventKind

TRIPS_IN_ROW = 3  # after this the model gets no further try of its own: a fixed line

JUDGE = (
    "You check one thing about what a phone agent says. Answer with the single word yes or no.\n"
    "Question: {question}\nThe agent's words follow as the user message."
)
CORRECTION = "What you just said was withdrawn by policy ({name}). {correction} Correct yourself briefly and go on."


@dataclass(slots=True, eq=False)
class Watch:
    """The words of one response and what was asked about them."""

    text: str = ""
    parts: dict[tuple[str, int], str] = field(default_factory=dict)
    judged: int = 0  # characters at the last judgement
    complete: bool = False
    tripped: bool = False
    judging: set[str] = field(default_factory=set)  # guardrails with an answer outstanding


class Guardrails:
    """The agent's guardrails. The first trip of a response wins."""

    def __init__(self, ctx: Context, *, sequencer: Sequencer, voice: Voice) -> None:
        self.ctx = ctx
        self.sequencer = sequencer
        self.voice = voice
        self._watches: dict[str, Watch] = {}
        self._jobs: dict[str, tuple[Guardrail, str]] = {}  # job -> guardrail, response id
        self._started: dict[str, str] = {}  # id of an out-of-band response that runs -> its job
        self._patterns: dict[str, re.Pattern[str] | None] = {}
        self._asked = 0
        self._in_row = 0

    def watch(self, event: ev.AgentText) -> None:
        """More words; checked across deltas, items and parts."""
        rails = self.ctx.spec.guardrails
        if not rails:
            return
        watch = self._watches.setdefault(event.response_id, Watch())
        key = (event.item_id, event.content_index)
        watch.parts[key] = event.text if event.final else watch.parts.get(key, "") + event.text
        watch.text = " ".join(text.strip() for text in watch.parts.values())
        for rail in rails:
            pattern = self._pattern(rail)
            if pattern and pattern.search(watch.text):
                self._trip(rail, event.response_id, watch)
                return
        if len(watch.text) - watch.judged >= self.ctx.limits.judge_every_chars:
            self._judge(event.response_id, watch)

    def response_ended(self, response: Response) -> None:
        """The final pass, so that short replies do not escape."""
        watch = self._watches.get(response.response_id)
        if watch is None or watch.tripped or response.cut:
            return
        watch.complete = True
        self._in_row = 0
        if len(watch.text) > watch.judged:
            self._judge(response.response_id, watch)

    def job_started(self, response_id: str, job: str) -> None:
        self._started[response_id] = job

    def job_ended(self, event: ev.ResponseEnded) -> None:
        """A judge answered, or failed to: a judge that fails never silences the agent."""
        self._started.pop(event.response_id, None)
        self.ctx.record_usage("judge", event.response_id, status=event.status, usage=event.usage)
        asked = self._jobs.pop(event.job, None)
        if asked is None:
            return
        rail, response_id = asked
        watch = self._watches[response_id]
        watch.judging.discard(rail.name)
        if watch.tripped:
            return
        if event.text.strip().lower().startswith("yes"):
            self._trip(rail, response_id, watch)
        elif len(watch.text) > watch.judged and (watch.complete or self._long(watch)):
            self._judge(response_id, watch)

    @property
    def awaited(self) -> bool:
        """A judge is being paid for an answer that has not come."""
        return bool(self._started or self._jobs)

    def lost(self) -> None:
        """The model session is gone, and the judges' answers with it."""
        for response_id in self._started:
            self.ctx.record_usage("judge", response_id, status="lost", usage=None)
        self._started.clear()
        self._jobs.clear()
        for watch in self._watches.values():
            watch.judging.clear()

    def _long(self, watch: Watch) -> bool:
        return len(watch.text) - watch.judged >= self.ctx.limits.judge_every_chars

    def _judge(self, response_id: str, watch: Watch) -> None:
        judges = [rail for rail in self.ctx.spec.guardrails if rail.kind == "judge"]
        if any(rail.name in watch.judging for rail in judges) or not self.ctx.model_ready:
            return  # asked again with the longer text when the answer is here
        watch.judged = len(watch.text)
        for rail in judges:
            self._asked += 1
            job = f"judge:{self._asked}:{rail.name}"[:512]  # §4.6 metadata values
            self._jobs[job] = (rail, response_id)
            watch.judging.add(rail.name)
            self.ctx.emit(
                do.CreateResponse(
                    event_id=self.ctx.next_id(),
                    job=job,
                    instructions=JUDGE.format(question=rail.question),
                    input_text=watch.text,
                    tools_allowed=False,
                )
            )

    def _trip(self, rail: Guardrail, response_id: str, watch: Watch) -> None:
        watch.tripped = True
        self._in_row += 1
        response = self.sequencer.responses[response_id]
        turns = [turn for item in response.items if (turn := self.voice.turns.find(item))]
        mine = response.active or any(part.response_id == response_id for part in self.voice.playback.parts.values())
        if mine:
            self.voice.cut(cancel=True)
        heard = " ".join(turn.heard for turn in turns if turn.heard)
        self.ctx.record(
            EventKind.GUARDRAIL, name=rail.name, by=rail.kind, response_id=response_id, said=watch.text, heard=heard
        )
        self.ctx.note(CORRECTION.format(name=rail.name, correction=rail.correction))
        if self._in_row >= TRIPS_IN_ROW:
            self.sequencer.want(say_ours(NEUTRAL, spec=self.ctx.spec), purpose="neutral", tools_allowed=False)
        else:
            self.sequencer.want(purpose="answer")

    def _pattern(self, rail: Guardrail) -> re.Pattern[str] | None:
        """The compiled pattern; one that does not compile was preflight's to refuse and watches nothing."""
        if rail.pattern not in self._patterns:
            try:
                compiled = re.compile(rail.pattern, re.IGNORECASE) if rail.kind == "pattern" and rail.pattern else None
            except re.error as error:
                self.ctx.note_peer("agent", "guardrail pattern", name=rail.name, error=str(error))
                compiled = None
            self._patterns[rail.pattern] = compiled
        return self._patterns[rail.pattern]

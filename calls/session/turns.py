"""The transcript as it grows: one turn per conversation item, with what was generated and what was heard kept apart."""

from __future__ import annotations

from dataclasses import dataclass, field

from calls.session import commands as do
from calls.session.context import Context
from calls.session.playback import Part
from calls.vocabulary import TurnRole, TurnStatus

FLUSH_MS = 250.0  # product 5.4.2: records are never older than this


@dataclass(slots=True, eq=False)
class Words:
    """The text of one content part and how much of its audio was heard."""

    text: str = ""
    generated_ms: int = 0
    heard_ms: int = 0
    open: bool = True  # audio of it may still come or be heard

    def heard_text(self) -> str:
        return (
            self.text
            if self.heard_ms >= self.generated_ms > 0
            else cut_text(self.text, self.heard_ms, self.generated_ms)
        )


@dataclass(slots=True, eq=False)
class Turn:
    """One thing that one side said."""

    role: TurnRole
    item_id: str
    started_ms: int
    place: int  # in the conversation, among turns, tool calls and notes
    agent: str = ""
    sequence: int = -1  # given when there is something to record
    revision: int = 0
    status: TurnStatus = TurnStatus.OPEN
    previous_item_id: str = ""
    response_id: str = ""
    phase: str = ""
    words: dict[int, Words] = field(default_factory=dict)
    ended_ms: int | None = None
    model_latency_ms: int | None = None
    turn_latency_ms: int | None = None
    answers_speech_of: float | None = None  # when the caller's speech ended that this turn answers

    def part(self, content_index: int) -> Words:
        return self.words.setdefault(content_index, Words())

    @property
    def generated(self) -> str:
        return " ".join(w.text for w in self.words.values() if w.text)

    @property
    def heard(self) -> str:
        if self.role is TurnRole.CALLER:
            return self.generated
        return " ".join(text for w in self.words.values() if (text := w.heard_text()))

    @property
    def heard_ms(self) -> int:
        return sum(w.heard_ms for w in self.words.values())

    @property
    def generated_ms(self) -> int:
        return sum(w.generated_ms for w in self.words.values())


class Turns:
    """All turns of the session in the order in which they began; `dirty` ones are written at the next flush."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.order: list[Turn] = []
        self._by_item: dict[str, Turn] = {}
        self._dirty: list[Turn] = []
        self._next = ctx.plan.resume.next_turn if ctx.plan.resume else 0
        self._speech_ended_at: float | None = None
        self._untold: set[str] = set()  # caller items whose transcript is still to come

    @property
    def awaited(self) -> bool:
        """A transcript of the caller is still to come."""
        return bool(self._untold)

    def find(self, item_id: str) -> Turn | None:
        return self._by_item.get(item_id)

    # --- the caller ------------------------------------------------------------------------------------------------

    def caller_began(self, item_id: str) -> None:
        if self.find(item_id) is None:
            self._touch(self._open(TurnRole.CALLER, item_id), now=True)

    def caller_stopped(self, item_id: str) -> None:
        self._speech_ended_at = self.ctx.now
        if turn := self.find(item_id):
            turn.ended_ms = self.ctx.call_ms
            self._touch(turn)

    def caller_committed(self, item_id: str, previous_item_id: str | None) -> None:
        turn = self.find(item_id) or self._open(TurnRole.CALLER, item_id)
        turn.previous_item_id = previous_item_id or ""
        if turn.status is TurnStatus.OPEN:
            self._untold.add(item_id)
        turn.ended_ms = turn.ended_ms or self.ctx.call_ms
        self._touch(turn, now=True)

    def caller_said(self, item_id: str, text: str, *, final: bool) -> None:
        """A transcript, maybe late: it fills in the turn of its item, wherever the conversation is now."""
        turn = self.find(item_id) or self._open(TurnRole.CALLER, item_id)
        words = turn.part(0)
        words.text = text.strip() if final else words.text + text
        if final:
            self._untold.discard(item_id)
            turn.status = TurnStatus.COMPLETE
        self._touch(turn, now=final)

    def caller_unclear(self, item_id: str) -> None:
        self._untold.discard(item_id)
        turn = self.find(item_id) or self._open(TurnRole.CALLER, item_id)
        turn.status = TurnStatus.FAILED
        self._touch(turn, now=True)

    # --- the agent -------------------------------------------------------------------------------------------------

    def agent_began(self, item_id: str, *, response_id: str, previous_item_id: str | None, phase: str) -> Turn:
        turn = self.find(item_id)
        if turn is None:
            turn = self._open(TurnRole.AGENT, item_id)
            turn.response_id = response_id
        turn.previous_item_id = previous_item_id or turn.previous_item_id
        turn.phase = phase or turn.phase
        return turn

    def agent_wrote(self, item_id: str, content_index: int, text: str, *, response_id: str, final: bool) -> None:
        turn = self.find(item_id) or self.agent_began(item_id, response_id=response_id, previous_item_id=None, phase="")
        words = turn.part(content_index)
        words.text = text.strip() if final else words.text + text
        self._touch(turn)

    def agent_sounded(self, part: Part) -> None:
        """Audio of a part arrived; the first of a turn after the caller's speech gives the turn its latency."""
        turn = self.find(part.item_id) or self.agent_began(
            part.item_id, response_id=part.response_id, previous_item_id=None, phase=""
        )
        words = turn.part(part.content_index)
        words.generated_ms = part.received_ms
        if self._speech_ended_at is not None:
            turn.model_latency_ms = round(self.ctx.now - self._speech_ended_at)
            turn.answers_speech_of, self._speech_ended_at = self._speech_ended_at, None
            self._touch(turn)

    def agent_heard(self, part: Part) -> None:
        """A part is over: heard to its end, or cut. Closes the turn when it was the last open part."""
        turn = self._by_item[part.item_id]
        if turn.answers_speech_of is not None and part.play_at is not None:
            turn.turn_latency_ms = round(part.play_at - turn.answers_speech_of)
            turn.answers_speech_of = None
        words = turn.part(part.content_index)
        words.generated_ms, words.heard_ms, words.open = part.received_ms, part.heard_ms, False
        if part.cut:
            turn.status = TurnStatus.INTERRUPTED if turn.heard_ms else TurnStatus.UNHEARD
        elif turn.status is TurnStatus.OPEN and not any(w.open for w in turn.words.values()):
            turn.status = TurnStatus.COMPLETE
        if turn.status is not TurnStatus.OPEN:
            turn.ended_ms = self.ctx.call_ms
        self._touch(turn, now=True)

    def agent_measured(self, item_ids: list[str], *, spoken_ms: int) -> None:
        """How long the items of one response really are, shared by their words."""
        known = [turn for item_id in item_ids if (turn := self.find(item_id)) and turn.words]
        total = sum(words.generated_ms for turn in known for words in turn.words.values())
        for turn in known:
            for words in turn.words.values():
                if total:
                    share = spoken_ms * words.generated_ms // total
                    words.heard_ms = share if words.heard_ms >= words.generated_ms > 0 else min(words.heard_ms, share)
                    words.generated_ms = share
            self._touch(turn)

    def agent_truncated(self, item_id: str, content_index: int, heard_ms: int) -> None:
        """The server's own word on how much of an item the caller heard."""
        turn = self.find(item_id)
        if turn is None or turn.role is not TurnRole.AGENT or content_index not in turn.words:
            return
        words = turn.words[content_index]
        words.generated_ms = max(words.generated_ms, heard_ms)
        words.heard_ms, words.open = heard_ms, False
        turn.status = TurnStatus.INTERRUPTED if turn.heard_ms else TurnStatus.UNHEARD
        turn.ended_ms = turn.ended_ms or self.ctx.call_ms
        self._touch(turn, now=True)

    def agent_silent(self, item_id: str) -> None:
        """The item's response is over and it never had any audio."""
        turn = self.find(item_id)
        if turn and turn.words and turn.status is TurnStatus.OPEN:
            turn.status, turn.ended_ms = TurnStatus.UNHEARD, self.ctx.call_ms
            self._touch(turn, now=True)

    # --- writing ---------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Writes every turn that changed since it was written last."""
        self.ctx.cancel_timer("flush")
        for turn in self._dirty:
            if turn.sequence < 0:
                turn.sequence = self._next
                self._next += 1
            turn.revision += 1
            self.ctx.emit(self._record(turn))
        self._dirty.clear()

    def close(self) -> None:
        """The call is over for this session: nothing stays open."""
        for turn in self.order:
            if turn.status is TurnStatus.OPEN and (turn.sequence >= 0 or turn.words):
                if turn.role is TurnRole.AGENT:
                    turn.status = TurnStatus.INTERRUPTED if turn.heard_ms else TurnStatus.UNHEARD
                else:
                    turn.status = TurnStatus.COMPLETE if turn.generated else TurnStatus.FAILED
                turn.ended_ms = turn.ended_ms or self.ctx.call_ms
                self._touch(turn)
        self.flush()

    def _open(self, role: TurnRole, item_id: str) -> Turn:
        turn = Turn(
            role,
            item_id,
            self.ctx.call_ms,
            self.ctx.next_place(),
            agent=self.ctx.agent if role is TurnRole.AGENT else "",
        )
        self._by_item[item_id] = turn
        self.order.append(turn)
        return turn

    def _touch(self, turn: Turn, *, now: bool = False) -> None:
        if turn not in self._dirty:
            self._dirty.append(turn)
        if now:  # a turn boundary
            self.flush()
        elif "flush" not in self.ctx.timers:
            self.ctx.set_timer("flush", at_ms=self.ctx.now + FLUSH_MS)

    def _record(self, turn: Turn) -> do.RecordTurn:
        return do.RecordTurn(
            sequence=turn.sequence,
            revision=turn.revision,
            role=turn.role,
            status=turn.status,
            item_id=turn.item_id,
            previous_item_id=turn.previous_item_id,
            response_id=turn.response_id,
            agent=turn.agent,
            phase=turn.phase,
            generated=turn.generated,
            heard=turn.heard,
            generated_ms=turn.generated_ms,
            heard_ms=turn.heard_ms,
            started_ms=turn.started_ms,
            ended_ms=turn.ended_ms,
            model_latency_ms=turn.model_latency_ms,
            turn_latency_ms=turn.turn_latency_ms,
        )


def cut_text(text: str, heard_ms: int, generated_ms: int) -> str:
    """The share of the text that was heard, ending at a word (the vendor deletes its transcript on truncation, §4.5)."""
    if heard_ms <= 0 or generated_ms <= 0:
        return ""
    size = int(len(text) * min(heard_ms / generated_ms, 1.0))
    if size >= len(text) or text[size].isspace():
        return text[:size].rstrip()
    return text[:size].rpartition(" ")[0].rstrip()

"""The transcript as people read it: turns in conversation order, heard words apart from words that were never heard; computes only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from calls.models import Turn
from calls.vocabulary import TurnRole, TurnStatus


@dataclass(frozen=True, slots=True)
class Line:
    """One turn, split for the screen. `heard` + `unheard` is what was generated."""

    turn: Turn
    heard: str
    unheard: str

    @property
    def is_caller(self) -> bool:
        return self.turn.role == TurnRole.CALLER

    @property
    def from_ms(self) -> int:
        """When it was spoken on the line. A model writes faster than it is heard: an agent's turn begins before its sound."""
        if self.is_caller or self.turn.ended_ms is None:
            return self.turn.started_ms
        return max(self.turn.started_ms, self.turn.ended_ms - self.turn.heard_ms)

    @property
    def is_final(self) -> bool:
        return self.turn.status != TurnStatus.OPEN

    @property
    def is_commentary(self) -> bool:
        """Said on the way to the answer, e.g. while a tool runs (openai-realtime.md §4.3)."""
        return self.turn.phase == "commentary"

    @property
    def playout_ms(self) -> int | None:
        """From the model's first audio to the first audio played (vocabulary: playout_latency_ms)."""
        if self.turn.turn_latency_ms is None or self.turn.model_latency_ms is None:
            return None
        return max(self.turn.turn_latency_ms - self.turn.model_latency_ms, 0)


def read_transcript(turns: Iterable[Turn]) -> list[Line]:
    """All turns in the model's item order, ready to show."""
    return [split_turn(turn) for turn in order_turns(list(turns))]


def order_turns(turns: Sequence[Turn]) -> list[Turn]:
    """Each turn right after the item it names as its predecessor; where that is unknown, by sequence.

    Items that are no turns (tool calls) break the chain, and a rebuilt session starts a new one: such a piece stands where its
    first turn's sequence puts it.
    """
    by_sequence = sorted(turns, key=lambda turn: turn.sequence)
    known = {turn.item_id for turn in by_sequence}
    followers: dict[str, list[Turn]] = {}
    heads: list[Turn] = []
    for turn in by_sequence:
        previous = turn.previous_item_id
        if previous and previous in known and previous != turn.item_id:
            followers.setdefault(previous, []).append(turn)
        else:
            heads.append(turn)
    ordered: list[Turn] = []
    seen: set[int] = set()

    def walk(head: Turn) -> None:
        waiting = [head]
        while waiting:
            turn = waiting.pop()
            if turn.sequence in seen:
                continue
            seen.add(turn.sequence)
            ordered.append(turn)
            waiting.extend(reversed(followers.get(turn.item_id, ())))

    for head in heads:
        walk(head)
    for turn in by_sequence:  # two items that name each other: wrong input must not hide words
        if turn.sequence not in seen:
            walk(turn)
    return ordered


def split_turn(turn: Turn) -> Line:
    """What was heard is a beginning of what was generated; while an agent's turn is open, what is left may still be heard."""
    if turn.role == TurnRole.CALLER:
        return Line(turn, turn.heard or turn.generated, "")
    generated, heard = turn.generated.strip(), turn.heard.strip()
    if turn.status == TurnStatus.COMPLETE:
        return Line(turn, generated or heard, "")
    if generated.startswith(heard):
        return Line(turn, heard, generated[len(heard) :].strip())
    return Line(turn, heard, generated)

"""Which rung comes next: computed from a call's ladder as it stood at the start; writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from calls.vocabulary import Cause, Fault, Step


@dataclass(frozen=True, slots=True)
class Means:
    """What is there to run a rung with."""

    has_agent: bool
    can_sip: bool = False  # this installation has the model's SIP address and webhook secret
    person_e164: str = ""
    dialled: frozenset[str] = frozenset()  # persons who were tried already: trying again brings no progress


@dataclass(frozen=True, slots=True)
class Move:
    """To rung `index`; `skipped` are the rungs passed over, each with why. `step` is None below the last rung."""

    index: int
    step: Step | None
    skipped: tuple[tuple[Step, Cause, Fault], ...] = ()


def find_rung(ladder: Sequence[str], *, start: int, means: Means) -> Move:
    """The first rung from `start` on that can be run."""
    skipped: list[tuple[Step, Cause, Fault]] = []
    for index, step in _rungs(ladder, start):
        hindrance = _find_hindrance(step, means)
        if hindrance is None:
            return Move(index, step, tuple(skipped))
        skipped.append((step, *hindrance))
    return Move(len(ladder), None, tuple(skipped))


def index_of(ladder: Sequence[str], step: Step, *, default: int) -> int:
    """Where the ladder has this step; a step that was asked for without being a rung leaves the place as it is."""
    return ladder.index(step) if step in ladder else default


def _rungs(ladder: Sequence[str], start: int) -> Iterator[tuple[int, Step]]:
    for index in range(start, len(ladder)):
        yield index, Step.of(ladder[index])


def _find_hindrance(step: Step, means: Means) -> tuple[Cause, Fault] | None:
    if step in (Step.STREAMS, Step.SIP) and not means.has_agent:
        return Cause.NO_AGENT, Fault.US
    if step == Step.SIP:
        return None if means.can_sip else (Cause.NOT_SET_UP, Fault.US)
    if step == Step.PERSON and (not means.person_e164 or means.person_e164 in means.dialled):
        return (Cause.PERSON_FAILED, Fault.PERSON) if means.person_e164 else (Cause.NO_CONTACT, Fault.US)
    if step == Step.RELAY:
        return Cause.INTERNAL, Fault.US  # refused when routes are saved; an older row may still hold one
    return None

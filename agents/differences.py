"""What differs between two states of an agent, and how two people's changes to one draft come together; pure, decides nothing for them.

Values are the plain JSON of `agents.spec.to_builtins`. A place is a field (`realtime.voice`) or one entry of a list whose entries have
names (`contacts[Front desk]`): entries are compared as wholes, because half of one person's contact and half of another's is neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Plain = dict[str, Any]

ENTRY_NAMES: Final[Mapping[str, str]] = {
    "tools": "name",
    "contacts": "name",
    "collect": "name",
    "guardrails": "name",
    "hand_offs": "agent",
}  # list → the key that names an entry


class _Absent:
    """The entry does not exist on that side."""

    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class Change:
    """One place that differs. ABSENT on one side: the entry was added or removed."""

    place: str
    before: Any
    after: Any

    @property
    def is_added(self) -> bool:
        return self.before is ABSENT

    @property
    def is_removed(self) -> bool:
        return self.after is ABSENT


@dataclass(frozen=True, slots=True)
class Clash:
    """A place that two people changed in different ways."""

    place: str
    base: Any
    mine: Any
    theirs: Any


@dataclass(frozen=True, slots=True)
class Merge:
    """What both changed, apart: `mine` and `theirs` do not meet, `clashes` must be decided by a person."""

    mine: tuple[Change, ...]
    theirs: tuple[Change, ...]
    clashes: tuple[Clash, ...]


def list_changes(before: Plain, after: Plain) -> tuple[Change, ...]:
    """Every place that differs, in the order of the spec's fields; entries of lists first removed, then changed, then added."""
    old, new = flatten(before), flatten(after)
    places = [*old, *(place for place in new if place not in old)]
    return tuple(
        Change(place, old.get(place, ABSENT), new.get(place, ABSENT))
        for place in places
        if old.get(place, ABSENT) != new.get(place, ABSENT)
    )


def list_details(change: Change) -> tuple[Change, ...]:
    """A changed entry taken apart into its own fields; anything else as it is."""
    if isinstance(change.before, dict) and isinstance(change.after, dict):
        inner = list_changes(change.before, change.after)
        return tuple(Change(f"{change.place}.{each.place}", each.before, each.after) for each in inner)
    return (change,)


def compare_edits(base: Plain, *, mine: Plain, theirs: Plain) -> Merge:
    """Hold two people's changes to the same base against each other."""
    old = flatten(base)
    my_changes = {change.place: change for change in list_changes(base, mine)}
    their_changes = {change.place: change for change in list_changes(base, theirs)}
    both = [place for place in my_changes if place in their_changes]
    clashes = [
        Clash(place, old.get(place, ABSENT), my_changes[place].after, their_changes[place].after)
        for place in both
        if my_changes[place].after != their_changes[place].after
    ]
    return Merge(
        mine=tuple(change for place, change in my_changes.items() if place not in their_changes),
        theirs=tuple(their_changes.values()),
        clashes=tuple(clashes),
    )


def merge_edits(base: Plain, *, mine: Plain, theirs: Plain, keep_mine: Callable[[str], bool]) -> Plain:
    """`theirs` with my changes laid over it; where both changed a place, `keep_mine` decides."""
    merge = compare_edits(base, mine=mine, theirs=theirs)
    wanted = {change.place: change.after for change in merge.mine}
    wanted |= {clash.place: clash.mine for clash in merge.clashes if keep_mine(clash.place)}
    return apply_changes(theirs, wanted)


def apply_changes(spec: Plain, values: Mapping[str, Any]) -> Plain:
    """A copy of the spec with these places set; ABSENT removes an entry, an unknown entry is put at the end of its list."""
    done: Plain = _copy(spec)
    for place, value in values.items():
        name, bracket, entry = place.partition("[")
        if bracket:
            _set_entry(done[name], ENTRY_NAMES[name], entry.removesuffix("]"), value)
        else:
            _set_field(done, place.split("."), value)
    return done


def flatten(spec: Plain, prefix: str = "") -> dict[str, Any]:
    """Every place and its value. Structs are taken apart, named lists by entry; anything else is one value."""
    places: dict[str, Any] = {}
    for name, value in spec.items():
        if not prefix and name in ENTRY_NAMES and isinstance(value, list):
            for entry in value:
                places[f"{name}[{entry[ENTRY_NAMES[name]]}]"] = entry
        elif isinstance(value, dict) and name not in ("parameters", "headers"):  # those are one value to a person
            places |= flatten(value, f"{prefix}{name}.")
        else:
            places[f"{prefix}{name}"] = value
    return places


def _set_entry(entries: list[Any], key: str, name: str, value: Any) -> None:
    at = next((index for index, entry in enumerate(entries) if entry[key] == name), None)
    if value is ABSENT:
        if at is not None:
            del entries[at]
    elif at is None:
        entries.append(value)
    else:
        entries[at] = value


def _set_field(spec: Plain, steps: list[str], value: Any) -> None:
    for step in steps[:-1]:
        spec = spec.setdefault(step, {})
    spec[steps[-1]] = value


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(entry) for key, entry in value.items()}
    return [_copy(entry) for entry in value] if isinstance(value, list) else value

"""Two states of an agent held against each other, and two people's changes brought together."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agents.differences import ABSENT, Change, apply_changes, compare_edits, list_changes, list_details, merge_edits
from agents.spec import AgentSpec, Contact, Field, parse_agent, to_builtins


def make(**fields: Any) -> dict[str, Any]:
    return to_builtins(parse_agent({"name": "R", "instructions": "i", **fields}))


def test_a_change_is_named_by_its_field_and_by_its_entry() -> None:
    before = make(contacts=[{"name": "Desk", "e164": "+31201234567"}, {"name": "Old", "e164": "+31201234568"}])
    after = make(
        greeting="Hi",
        realtime={"voice": "cedar", "turn_detection": {"silence_duration_ms": 600}},
        contacts=[{"name": "Desk", "e164": "+31201234599"}, {"name": "New", "e164": "+31201234560"}],
    )
    found = {change.place: change for change in list_changes(before, after)}
    assert list(found) == [
        "greeting",
        "realtime.voice",
        "realtime.turn_detection.silence_duration_ms",
        "contacts[Desk]",
        "contacts[Old]",
        "contacts[New]",
    ]
    assert (found["realtime.voice"].before, found["realtime.voice"].after) == ("marin", "cedar")
    assert found["contacts[Old]"].is_removed
    assert found["contacts[New]"].is_added
    assert list_details(found["contacts[Desk]"]) == (Change("contacts[Desk].e164", "+31201234567", "+31201234599"),)


def test_changes_that_do_not_meet_are_both_kept() -> None:
    base = make()
    mine, theirs = make(greeting="Mine"), make(goodbye="Theirs", realtime={"voice": "ash"})
    assert compare_edits(base, mine=mine, theirs=theirs).clashes == ()
    merged = merge_edits(base, mine=mine, theirs=theirs, keep_mine=lambda place: False)
    assert merged == make(greeting="Mine", goodbye="Theirs", realtime={"voice": "ash"})


def test_where_two_people_changed_the_same_place_one_of_them_is_chosen() -> None:
    base = make(contacts=[{"name": "Desk", "e164": "+31201234567"}])
    mine = make(greeting="Mine", contacts=[])
    theirs = make(greeting="Theirs", contacts=[{"name": "Desk", "e164": "+31201234599"}])
    merge = compare_edits(base, mine=mine, theirs=theirs)
    assert [(clash.place, clash.mine is ABSENT) for clash in merge.clashes] == [
        ("greeting", False),
        ("contacts[Desk]", True),
    ]
    merged = merge_edits(base, mine=mine, theirs=theirs, keep_mine=lambda place: place == "contacts[Desk]")
    assert (merged["greeting"], merged["contacts"]) == ("Theirs", [])


def test_the_same_change_made_twice_is_no_clash() -> None:
    base, same = make(), make(greeting="Same")
    assert compare_edits(base, mine=same, theirs=same).clashes == ()
    assert merge_edits(base, mine=same, theirs=same, keep_mine=lambda place: True) == same


names = st.sampled_from(["a", "b", "c"])
specs = st.builds(
    AgentSpec,
    name=st.just("R"),
    instructions=st.sampled_from(["x", "y", "z"]),
    greeting=st.sampled_from(["", "hi", "hello"]),
    languages=st.sampled_from([("en",), ("en", "nl")]),
    max_duration_s=st.integers(60, 63),
    contacts=st.lists(names, unique=True).map(
        lambda found: tuple(Contact(name=name, e164="+31201234567") for name in found)
    ),
    collect=st.lists(st.tuples(names, st.booleans()), unique_by=lambda pair: pair[0]).map(
        lambda found: tuple(Field(name=name, required=need) for name, need in found)
    ),
).map(to_builtins)


def as_sets(spec: dict[str, Any]) -> dict[str, Any]:
    """Entries without their order: a merge may add mine behind theirs."""
    lists = ("contacts", "collect")
    return {**spec, **{name: sorted(spec[name], key=lambda entry: entry["name"]) for name in lists}}


@given(specs, specs)
def test_applying_all_changes_yields_the_other_state(before: dict[str, Any], after: dict[str, Any]) -> None:
    done = apply_changes(before, {change.place: change.after for change in list_changes(before, after)})
    assert as_sets(done) == as_sets(after)


@given(specs, specs, specs, st.booleans())
def test_a_merge_loses_nothing_that_either_changed_alone(
    base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any], keeps_mine: bool
) -> None:
    merge = compare_edits(base, mine=mine, theirs=theirs)
    merged = merge_edits(base, mine=mine, theirs=theirs, keep_mine=lambda place: keeps_mine)
    assert msgspec.convert(merged, AgentSpec)
    clashing = {clash.place for clash in merge.clashes}
    from_base = {change.place: change.after for change in list_changes(base, merged)}
    for change in (*merge.mine, *merge.theirs):
        if change.place not in clashing:
            assert from_base[change.place] == change.after
    for clash in merge.clashes:
        assert from_base.get(clash.place, clash.base) == (clash.mine if keeps_mine else clash.theirs)

"""The call page: everything that is on record, in a fixed number of queries."""

from __future__ import annotations

from django.test import Client
from pytest_django import DjangoAssertNumQueries

from calls.models import Turn
from tenants.scope import tenant_scope
from tests.dashboard.conftest import Cast
from tests.dashboard.scenes import (
    make_ended_call,
    make_recording,
    make_told_call,
    write_costs,
    write_events,
    write_turns,
)
from tests.factories import make_call


def test_page_shows_transcript_tools_costs_and_identifiers(alice: Client, cast: Cast) -> None:
    call = make_told_call(cast.tenant, has_sound=False)
    html = alice.get(f"/o/acme/calls/{call.pk}/").content.decode()
    for words in (
        "I would like to move my appointment",
        "find_appointment",
        "gpt-realtime-2.1:audio_out",
        call.carrier_sid,
        "Reception → Scheduling",
        "not heard",
        "The carrier has not priced the call yet",
    ):
        assert words in html


def test_page_costs_the_same_queries_however_long_the_call_was(
    alice: Client, cast: Cast, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    short = make_told_call(cast.tenant)
    long = make_told_call(cast.tenant)
    with tenant_scope(cast.tenant):
        make_recording(long, kind="voicemail", channels=1)
        for sequence in range(40, 80):
            Turn.objects.create(
                call=long, sequence=sequence, role="caller", status="complete", item_id=f"more_{sequence}", heard="yes"
            )
    alice.get("/o/acme/calls/")  # the first request notes that the session was seen
    for call in (short, long):
        # session, user, membership; call, turns, events, tool runs, recordings, costs, legs, after-steps
        with django_assert_num_queries(11):
            assert alice.get(f"/o/acme/calls/{call.pk}/").status_code == 200


def test_figures_of_a_live_call_are_counted_from_its_records(alice: Client, cast: Cast) -> None:
    """The call's own columns are written when it is over."""
    call = make_call(cast.tenant)
    with tenant_scope(cast.tenant):
        write_turns(call)
        write_events(call)
        write_costs(call)
    sheet = alice.get(f"/o/acme/calls/{call.pk}/").context["sheet"]
    assert (call.barge_in_count, call.turn_latency_p95_ms) == (0, None)
    assert (sheet.barge_in_count, sheet.p95_ms) == (1, 890)
    assert [currency for currency, _ in sheet.costs.totals] == ["USD"]


def test_speech_marks_and_tools_share_one_axis(alice: Client, cast: Cast) -> None:
    call = make_told_call(cast.tenant, has_sound=False)
    strip = alice.get(f"/o/acme/calls/{call.pk}/").context["sheet"].strip
    assert strip.total_ms == 29_000
    assert [bar.kind for bar in strip.agent].count("unheard") == 2
    for bar in (*strip.caller, *strip.agent, *strip.tools, *strip.marks):
        assert 0 <= float(bar.x) < 1000
        assert 0 < float(bar.width) <= 1000 - float(bar.x) + 0.11
    assert [tick.label for tick in strip.ticks] == ["0:00", "0:05", "0:10", "0:15", "0:20", "0:25"]


def test_call_that_never_spoke_has_a_page_too(alice: Client, cast: Cast) -> None:
    call = make_ended_call(
        cast.tenant, answered_at=None, outcome="no_answer", end_reason="never_started", fault="carrier"
    )
    html = alice.get(f"/o/acme/calls/{call.pk}/").content.decode()
    assert "Nothing was said on this call." in html
    assert "fault: Carrier" in html

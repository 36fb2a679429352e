"""The call page: everything that is on record, in a fixed number of queries."""

from __future__ import annotations

from django.test import Client
from pytest_django import DjangoAssertNumQueries

from calls.models import Turn
from tenants.scope import tenant_scope
from tests.dashboard.conftest import Cast
from tests.dashboard.scenes import make_recording, make_told_call


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
    for call in (short, long):
        # session, user, membership; call, turns, events, tool runs, recordings, costs, legs, after-steps
        with django_assert_num_queries(11):
            assert alice.get(f"/o/acme/calls/{call.pk}/").status_code == 200

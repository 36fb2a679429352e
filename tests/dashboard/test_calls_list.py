"""The calls list: filters in the address, keyset pages, honest counts, a bounded export."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import Any

import pytest
from django.http.response import StreamingHttpResponse
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from calls.models import Call
from calls.readouts import listing
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.dashboard.conftest import Cast
from tests.dashboard.scenes import make_ended_call, make_told_call
from tests.factories import make_agent, make_call, make_route


def shown(response: Any) -> list[str]:
    """The callers on the page, top to bottom."""
    return [call.from_number for call in response.context["page"].calls]


def test_empty_list_says_what_to_do_next(alice: Client) -> None:
    html = alice.get("/o/acme/calls/").content.decode()
    assert "Ring one of your numbers" in html
    assert "Export" not in html


def test_list_costs_the_same_queries_for_one_call_and_for_many(
    alice: Client, cast: Cast, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    route = make_route(cast.tenant)
    make_told_call(cast.tenant, route=route, has_sound=False)
    # session, user, membership; numbers, agents, calls, count
    with django_assert_num_queries(7):
        alice.get("/o/acme/calls/")
    for number in range(12):
        make_ended_call(cast.tenant, route=route, from_number=f"+1555765{number:04}")
    with django_assert_num_queries(7):
        alice.get("/o/acme/calls/")


def test_row_tells_outcome_fault_latency_tools_and_cost(alice: Client, cast: Cast) -> None:
    make_told_call(cast.tenant, has_sound=False, end_reason="carrier_failed", outcome="failed", fault="carrier")
    html = alice.get("/o/acme/calls/").content.decode()
    for words in ("Failed", "Carrier failed", "fault: Carrier", "890 ms", "$0.1104", "0:29", "Handed off", "v1"):
        assert words in html


def test_filters_narrow_and_combine(alice: Client, cast: Cast) -> None:
    route = make_route(cast.tenant)
    other = make_route(cast.tenant, agent=make_agent(cast.tenant, "Night desk"))
    make_call(cast.tenant, route=route, from_number="+15550000001")
    make_ended_call(cast.tenant, route=route, from_number="+15550000002", outcome="voicemail", flags=["voicemail"])
    make_ended_call(cast.tenant, route=other, from_number="+15550000003")
    assert shown(alice.get("/o/acme/calls/", {"state": "live"})) == ["+15550000001"]
    assert shown(alice.get("/o/acme/calls/", {"outcome": "voicemail"})) == ["+15550000002"]
    assert shown(alice.get("/o/acme/calls/", {"flag": "voicemail", "state": "ended"})) == ["+15550000002"]
    assert shown(alice.get("/o/acme/calls/", {"number": str(other.number_id)})) == ["+15550000003"]
    assert shown(alice.get("/o/acme/calls/", {"agent": str(other.agent_id)})) == ["+15550000003"]
    assert shown(alice.get("/o/acme/calls/", {"q": "555 000 0002"})) == ["+15550000002"]
    assert shown(alice.get("/o/acme/calls/", {"q": "anonymous"})) == []
    assert "No call fits these filters" in alice.get("/o/acme/calls/", {"q": "99999"}).content.decode()


def test_whole_call_sid_finds_its_call(alice: Client, cast: Cast) -> None:
    wanted = make_ended_call(cast.tenant, from_number="+15550000001")
    make_ended_call(cast.tenant, from_number="+15550000002")
    assert shown(alice.get("/o/acme/calls/", {"q": wanted.carrier_sid})) == ["+15550000001"]


def test_days_are_the_tenants(alice: Client, cast: Cast) -> None:
    """23:30 UTC on the last of May is already June in Amsterdam."""
    late = dt.datetime(2026, 5, 31, 23, 30, tzinfo=dt.UTC)
    make_ended_call(cast.tenant, created_at=late, from_number="+15550000001")
    assert shown(alice.get("/o/acme/calls/", {"since": "2026-06-01", "until": "2026-06-01"})) == ["+15550000001"]
    assert shown(alice.get("/o/acme/calls/", {"until": "2026-05-31"})) == []
    html = alice.get("/o/acme/calls/").content.decode()
    assert 'datetime="2026-05-31T23:30:00+00:00"' in html
    assert "2026-06-01 01:30:00 CEST · 2026-05-31 23:30:00 UTC" in html


def test_wrong_filter_is_explained_and_ignored(alice: Client, cast: Cast) -> None:
    make_ended_call(cast.tenant)
    response = alice.get("/o/acme/calls/", {"since": "2026-06-02", "until": "2026-06-01", "outcome": "nonsense"})
    assert "lies before the first one" in response.content.decode()
    assert len(shown(response)) == 1
    assert len(shown(alice.get("/o/acme/calls/", {"outcome": "nonsense"}))) == 1


def make_calls(tenant: Tenant, count: int) -> list[str]:
    """Calls with only three different times, so that pages must break ties; newest first as the list must show them."""
    route = make_route(tenant)
    start = timezone.now() - dt.timedelta(hours=1)
    calls = [
        make_ended_call(
            tenant, route=route, created_at=start + dt.timedelta(seconds=index % 3), from_number=f"+1555{index:06}"
        )
        for index in range(count)
    ]
    return [call.from_number for call in sorted(calls, key=lambda call: (call.created_at, call.pk), reverse=True)]


def test_pages_neither_skip_nor_repeat_a_call(alice: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing.list_calls, "__kwdefaults__", {"cursor": None, "size": 4})
    expected = make_calls(cast.tenant, 11)
    pages, response = [], alice.get("/o/acme/calls/")
    while True:
        pages.append(shown(response))
        older = response.context["page"].older
        if older is None:
            break
        response = alice.get("/o/acme/calls/", {"at": older.encode()})
    assert [number for page in pages for number in page] == expected
    newer = response.context["page"].newer
    assert shown(alice.get("/o/acme/calls/", {"at": newer.encode()})) == pages[-2]


@pytest.mark.parametrize("at", ["", "nonsense", "%%%", "bjE3fHg", "b3h8eA"])
def test_broken_page_link_shows_the_newest_calls(alice: Client, cast: Cast, at: str) -> None:
    make_ended_call(cast.tenant, from_number="+15550000001")
    assert shown(alice.get("/o/acme/calls/", {"at": at})) == ["+15550000001"]


def test_count_stops_at_its_limit(alice: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "COUNT_LIMIT", 3)
    make_calls(cast.tenant, 5)
    with tenant_scope(cast.tenant):
        assert listing.count_calls(listing.CallFilter()) == listing.Count(3, True)


def test_live_refresh_asks_for_the_results_alone(alice: Client, cast: Cast) -> None:
    make_call(cast.tenant)
    html = alice.get("/o/acme/calls/", headers={"HX-Request": "true"}).content.decode()
    assert html.lstrip().startswith('<div id="results"')
    assert "<html" not in html


def read_csv(response: Any) -> list[dict[str, str]]:
    assert isinstance(response, StreamingHttpResponse)
    return list(csv.DictReader(io.StringIO(response.getvalue().decode())))


def test_export_holds_the_filtered_calls_and_no_formula(alice: Client, cast: Cast) -> None:
    make_told_call(cast.tenant, has_sound=False, from_number="+15550000001")
    make_ended_call(cast.tenant, from_number='=HYPERLINK("http://x")', outcome="caller_left")
    response = alice.get("/o/acme/calls/export.csv")
    assert response["Content-Disposition"].startswith('attachment; filename="calls-acme-')
    rows = read_csv(response)
    assert {row["caller"] for row in rows} == {"+15550000001", '\'=HYPERLINK("http://x")'}
    assert next(row for row in rows if row["caller"] == "+15550000001")["cost"] == "0.110447000000"
    assert [row["outcome"] for row in read_csv(alice.get("/o/acme/calls/export.csv?outcome=caller_left"))] == [
        "caller_left"
    ]


def test_export_goes_on_over_batches_and_stops_at_its_limit(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "EXPORT_BATCH", 2)
    expected = make_calls(cast.tenant, 7)
    with tenant_scope(cast.tenant):
        batches = list(listing.export_calls(listing.CallFilter(), limit=5))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert [call.from_number for batch in batches for call in batch] == expected[:5]


def test_export_of_one_tenant_never_leaves_its_scope_behind(alice: Client, cast: Cast) -> None:
    make_ended_call(cast.tenant)
    pieces = alice.get("/o/acme/calls/export.csv").streaming_content
    next(iter(pieces))
    with pytest.raises(Exception, match="scope"):
        Call.objects.count()

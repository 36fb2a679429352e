"""The calls list: filters in the address, keyset pages, honest counts, a bounded export."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from typing import Any

import pytest
from django.db import connection
from django.http.response import StreamingHttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from calls.models import Call, CallExport
from calls.readouts import listing
from calls.services.exports import expire_exports, run_export
from calls.services.indexing import index_words
from tenants.models import AuditEntry, Tenant
from tenants.scope import tenant_scope
from tests.dashboard.conftest import Cast
from tests.dashboard.scenes import make_ended_call, make_member, make_told_call
from tests.factories import make_agent, make_call, make_route, make_tenant


def shown(response: Any) -> list[str]:
    """The callers on the page, top to bottom."""
    return [call.from_number for call in response.context["page"].calls]


def test_empty_list_says_what_to_do_next(alice: Client) -> None:
    html = alice.get("/o/acme/calls/").content.decode()
    assert "Ring one of your numbers" in html
    assert "CSV, for spreadsheets" not in html


def count_queries(client: Client, query: dict[str, str]) -> int:
    """Of the list itself: the session's own book-keeping writes now and then."""
    with CaptureQueriesContext(connection) as captured:
        client.get("/o/acme/calls/", query)
    return sum("SAVEPOINT" not in one["sql"] and "usersession" not in one["sql"] for one in captured.captured_queries)


def test_list_costs_the_same_queries_for_one_call_and_for_many(alice: Client, cast: Cast) -> None:
    route = make_route(cast.tenant)
    make_told_call(cast.tenant, route=route, has_sound=False)
    matched = {"outcome": "resolved", "q": "appointment"}
    alice.get("/o/acme/calls/")
    few = count_queries(alice, {}), count_queries(alice, matched)
    for number in range(12):
        make_ended_call(cast.tenant, route=route, from_number=f"+1555765{number:04}")
    assert (count_queries(alice, {}), count_queries(alice, matched)) == few
    # session, user, membership, the role of the search; numbers, agents, tags, columns, views; matches, calls, count
    assert max(few) <= 14


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
    monkeypatch.setattr(listing.list_calls, "__kwdefaults__", {"order": "time", "cursor": None, "size": 4})
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
        assert listing.count_calls(cast.tenant, listing.CallFilter()) == listing.Count(3, True)


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
        batches = list(listing.export_calls(cast.tenant, listing.CallFilter(), limit=5))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert [call.from_number for batch in batches for call in batch] == expected[:5]


def test_export_of_one_tenant_never_leaves_its_scope_behind(alice: Client, cast: Cast) -> None:
    make_ended_call(cast.tenant)
    pieces = alice.get("/o/acme/calls/export.csv").streaming_content
    next(iter(pieces))
    with pytest.raises(Exception, match="scope"):
        Call.objects.count()


def test_words_last_digits_and_filters_find_a_call_in_any_combination(alice: Client, cast: Cast) -> None:
    told = make_told_call(cast.tenant, has_sound=False, from_number="+15557654321")
    make_ended_call(cast.tenant, from_number="+15550000002")
    with tenant_scope(cast.tenant):
        index_words(told)
    for words in ("appointment", "APPOINT", "appointment thursday", "vries", "4321", "555 765 4321", told.carrier_sid):
        assert shown(alice.get("/o/acme/calls/", {"q": words})) == ["+15557654321"], words
    for words in ("appointment saturday", "ppointment", "'; DROP TABLE", "%", "4322"):
        assert shown(alice.get("/o/acme/calls/", {"q": words})) == [], words
    assert shown(alice.get("/o/acme/calls/", {"q": "appointment", "flag": "handed_off", "outcome": "resolved"})) == [
        "+15557654321"
    ]
    assert shown(alice.get("/o/acme/calls/", {"q": "4321", "outcome": "failed"})) == []


def test_two_digits_are_too_few_and_say_so(alice: Client, cast: Cast) -> None:
    make_ended_call(cast.tenant)
    assert "Type at least 3 digits" in alice.get("/o/acme/calls/", {"q": "12"}).content.decode()


def test_filtered_pages_neither_skip_nor_repeat_a_call(
    alice: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing.list_calls, "__kwdefaults__", {"order": "time", "cursor": None, "size": 4})
    expected = make_calls(cast.tenant, 11)
    pages, response = [], alice.get("/o/acme/calls/", {"outcome": "resolved"})
    while (older := response.context["page"].older) is not None:
        pages.append(shown(response))
        response = alice.get("/o/acme/calls/", {"outcome": "resolved", "at": older.encode()})
    pages.append(shown(response))
    assert [number for page in pages for number in page] == expected
    newer = response.context["page"].newer
    assert shown(alice.get("/o/acme/calls/", {"outcome": "resolved", "at": newer.encode()})) == pages[-2]


@pytest.mark.parametrize("filters", [{}, {"outcome": "resolved"}])
def test_list_is_sorted_by_what_was_asked_over_its_pages(
    alice: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch, filters: dict[str, str]
) -> None:
    monkeypatch.setattr(listing.list_calls, "__kwdefaults__", {"order": "time", "cursor": None, "size": 2})
    for number, seconds in (("1", 30), ("2", 90), ("3", 60), ("4", 60), ("5", 10)):
        make_ended_call(cast.tenant, from_number=f"+1555000000{number}", duration_s=seconds)
    first = alice.get("/o/acme/calls/", {"sort": "duration", **filters})
    second = alice.get("/o/acme/calls/", {"sort": "duration", "at": first.context["page"].older.encode(), **filters})
    third = alice.get("/o/acme/calls/", {"sort": "duration", "at": second.context["page"].older.encode(), **filters})
    lasted = [call.duration_s for page in (first, second, third) for call in page.context["page"].calls]
    assert lasted == [90, 60, 60, 30, 10]


def test_columns_are_the_members_own_and_the_address_wins(alice: Client, cast: Cast) -> None:
    make_ended_call(cast.tenant)
    alice.post("/o/acme/calls/columns/", {"column": ["cost", "sid", "nonsense"]})
    assert [column.key for column in alice.get("/o/acme/calls/").context["columns"]] == [
        "time",
        "caller",
        "cost",
        "sid",
    ]
    page = alice.get("/o/acme/calls/", {"cols": "turns"})
    assert [column.key for column in page.context["columns"]] == ["time", "caller", "turns"]
    alice.post("/o/acme/calls/columns/", {"reset": "1"})
    assert "outcome" in [column.key for column in alice.get("/o/acme/calls/").context["columns"]]


def test_view_is_saved_shared_and_deleted_by_whom_it_belongs_to(alice: Client, cast: Cast, client: Client) -> None:
    alice.post("/o/acme/calls/views/", {"name": "Failed", "query": "outcome=failed&at=x&cols=cost", "shared": "1"})
    twice = alice.post("/o/acme/calls/views/", {"name": "failed", "query": ""}, follow=True)
    assert "choose another name" in twice.content.decode()
    bob = Client()
    bob.force_login(make_member(cast.tenant, "bob@example.com", role="viewer"))
    (view,) = bob.get("/o/acme/calls/").context["views"]
    assert (view.name, view.query) == ("Failed", "outcome=failed&cols=cost")
    assert bob.post(f"/o/acme/calls/views/{view.pk}/delete/").status_code == 404
    assert alice.post(f"/o/acme/calls/views/{view.pk}/delete/").status_code == 302
    assert bob.get("/o/acme/calls/").context["views"] == []


def test_bulk_act_is_done_told_found_and_undone(alice: Client, cast: Cast) -> None:
    calls = [make_ended_call(cast.tenant, from_number=f"+1555000000{number}") for number in range(3)]
    ids = [str(call.pk) for call in calls[:2]]
    done = alice.post(
        "/o/acme/calls/acts/",
        {"call": ids, "kind": "tag", "tag": " Call  back ", "back": "outcome=resolved"},
        follow=True,
    )
    assert "2 calls got the tag “Call back”" in done.content.decode()
    assert sorted(shown(alice.get("/o/acme/calls/", {"tag": "Call back"}))) == ["+15550000000", "+15550000001"]
    act = done.context["did"]
    back = alice.post(f"/o/acme/calls/acts/{act.pk}/undo/", follow=True)
    assert "Undone on 2 calls" in back.content.decode()
    assert shown(alice.get("/o/acme/calls/", {"tag": "Call back"})) == []
    alice.post("/o/acme/calls/acts/", {"call": ids[:1], "kind": "review", "reason": "listened to it"})
    assert shown(alice.get("/o/acme/calls/", {"reviewed": "yes"})) == ["+15550000000"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"kind": "tag", "tag": "x"}, "Tick the calls first"),
        ({"kind": "tag", "tag": "  ", "call": "her"}, "Write a tag first"),
        ({"kind": "tag", "tag": "x" * 41, "call": "her"}, "at most 40 characters"),
        ({"kind": "burn", "call": "her"}, "Choose what to do"),
    ],
)
def test_bulk_act_that_cannot_be_says_why(alice: Client, cast: Cast, data: dict[str, str], words: str) -> None:
    call = make_ended_call(cast.tenant)
    sent = {**data, **({"call": str(call.pk)} if "call" in data else {})}
    assert words in alice.post("/o/acme/calls/acts/", sent, follow=True).content.decode()


def test_acts_on_foreign_calls_change_nothing(alice: Client, cast: Cast) -> None:
    foreign = make_ended_call(make_tenant("third"))
    alice.post("/o/acme/calls/acts/", {"call": str(foreign.pk), "kind": "tag", "tag": "mine"})
    with tenant_scope(foreign.tenant):
        assert Call.objects.get(pk=foreign.pk).tags == []


def test_json_export_holds_the_same_calls(alice: Client, cast: Cast) -> None:
    make_ended_call(cast.tenant, from_number='=HYPERLINK("http://x")')
    make_ended_call(cast.tenant, from_number="+15550000001")
    rows = json.loads(alice.get("/o/acme/calls/export.json").getvalue())
    assert {row["caller"] for row in rows} == {'=HYPERLINK("http://x")', "+15550000001"}


def test_large_export_is_written_offered_and_expires(alice: Client, cast: Cast) -> None:
    make_ended_call(cast.tenant, from_number="+15550000001")
    make_ended_call(cast.tenant, from_number="+15550000002", outcome="failed")
    alice.post("/o/acme/calls/exports/", {"form": "csv", "outcome": "failed"})
    with tenant_scope(cast.tenant):
        export = CallExport.objects.get()
    assert "Being written" in alice.get("/o/acme/calls/exports/").content.decode()
    assert alice.get(f"/o/acme/calls/exports/{export.pk}/").status_code == 404
    assert run_export(cast.tenant, export.pk)
    assert not run_export(cast.tenant, export.pk)
    file = alice.get(f"/o/acme/calls/exports/{export.pk}/")
    assert [row["caller"] for row in read_csv(file)] == ["+15550000002"]
    with tenant_scope(cast.tenant):
        assert AuditEntry.objects.filter(action="export.fetched").exists()
    assert expire_exports(cast.tenant, [export.pk]) == 1
    assert alice.get(f"/o/acme/calls/exports/{export.pk}/").status_code == 404
    assert "Deleted" in alice.get("/o/acme/calls/exports/").content.decode()

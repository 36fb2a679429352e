"""The voice webhook: what is recorded, what is answered, and what a repeat gets."""

from __future__ import annotations

import threading

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from agents.spec import AgentSpec
from calls.models import Call, CallEvent, Lease, Leg, OperatorEvent, Route
from calls.services import addresses, processes
from calls.services.tickets import claim
from tenants.models import Number, Tenant
from tenants.scope import every_tenant, tenant_scope
from tests.carrier import TestCarrier, read_document, ticket_of, verbs
from tests.factories import make_account, make_agent, make_route, make_sid, make_tenant

pytestmark = pytest.mark.django_db

# Route with all it leads to; call, event, leg, lease in one transaction (SAVEPOINT and RELEASE only under a test's transaction).
MOST_QUERIES = 1 + 4 + 2


def count_calls() -> int:
    with every_tenant(reason="a test counts"):
        return Call.objects.count()


def test_a_call_is_connected_to_a_stream_and_recorded(tenant: Tenant, carrier: TestCarrier, route: Route) -> None:
    response = carrier.ring(route)
    document = read_document(response)
    stream = document.find("Connect/Stream")
    assert stream is not None
    with tenant_scope(tenant):
        call = Call.objects.get()
        assert (call.state, call.ladder, call.rung) == ("ringing", ["streams", "voicemail"], 0)
        assert (call.attestation, call.from_number) == ("TN-Validation-Passed-A", "+15557654321")
        assert list(Leg.objects.values_list("kind", "carrier_sid")) == [("caller", call.carrier_sid)]
        assert Lease.objects.get().token == 0
        assert CallEvent.objects.get().kind == "received"
        assert call.agent_version is not None
    ref = call.pk.hex
    assert stream.get("url") == addresses.media_url(processes.current_name(), ref)
    assert stream.get("statusCallback") == addresses.stream_status_url(ref)
    redirect = document.find("Redirect")
    assert redirect is not None
    assert (redirect.text, redirect.get("method")) == (addresses.resume_url(ref), "POST")


def test_every_address_but_the_socket_carries_the_connection_overrides(
    carrier: TestCarrier, route: Route, settings: Settings
) -> None:
    settings.PUBLIC_BASE_URL = "https://voice.example.com"
    settings.MEDIA_BASE_URL = "https://media.example.com"
    document = read_document(carrier.ring(route))
    stream, redirect = document.find("Connect/Stream"), document.find("Redirect")
    assert stream is not None
    assert redirect is not None
    assert stream.get("url", "").startswith("wss://media.example.com/media/")
    assert "#" not in stream.get("url", "")
    for url in (stream.get("statusCallback", ""), redirect.text or ""):
        assert url.startswith("https://voice.example.com/hooks/twilio/")
        assert url.endswith("/#ct=2000&rt=4000&rc=2&rp=all")


def test_the_answer_costs_one_short_transaction(carrier: TestCarrier, route: Route) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert carrier.ring(route).status_code == 200
    assert len(queries) <= MOST_QUERIES, [query["sql"][:80] for query in queries]


def test_a_repeat_gets_the_same_document_and_records_nothing(
    tenant: Tenant, carrier: TestCarrier, route: Route
) -> None:
    sid = make_sid("CA")
    first = carrier.ring(route, CallSid=sid, token="same")
    again = carrier.ring(route, CallSid=sid, token="same")
    without_token = carrier.ring(route, CallSid=sid)
    assert first.content == again.content == without_token.content
    assert count_calls() == 1
    with tenant_scope(tenant):
        assert (Leg.objects.count(), Lease.objects.count(), CallEvent.objects.count()) == (1, 1, 1)


def test_a_late_question_about_a_call_that_went_on_is_a_resume(carrier: TestCarrier, route: Route) -> None:
    sid = make_sid("CA")
    first = carrier.ring(route, CallSid=sid, token="one")
    claim(ticket_of(first), call_sid=sid, account_sid=carrier.account_sid, stream_sid=make_sid("MZ"))
    again = carrier.ring(route, CallSid=sid, token="one")
    assert again.content == first.content  # a delayed copy of what was answered already
    later = carrier.ring(route, CallSid=sid, token="two")
    assert verbs(later) == ["Connect", "Redirect"]
    assert ticket_of(later) != ticket_of(first)


def test_the_fallback_address_does_not_try_the_first_rung_again(
    tenant: Tenant, carrier: TestCarrier, route: Route
) -> None:
    sid = make_sid("CA")
    form = carrier.call_form(to=route.number.e164, call_sid=sid, ErrorCode="11200", ErrorUrl="https://x.example/")
    response = carrier.post(addresses.fallback_url(route.public_id), form)
    assert verbs(response) == ["Say", "Record", "Redirect"]
    with tenant_scope(tenant):
        event = CallEvent.objects.get(key="w:voice")
    assert (event.data["cause"], event.data["fault"], event.data["detail"]) == ("internal", "us", "11200")


def test_the_fallback_of_a_known_call_moves_it_down_its_ladder(carrier: TestCarrier, route: Route) -> None:
    sid = make_sid("CA")
    carrier.ring(route, CallSid=sid)
    form = carrier.call_form(to=route.number.e164, call_sid=sid, ErrorCode="12100")
    assert verbs(carrier.post(addresses.fallback_url(route.public_id), form)) == ["Say", "Record", "Redirect"]
    assert count_calls() == 1


def test_a_suspended_tenant_answers_politely_and_records_the_refusal(
    tenant: Tenant, carrier: TestCarrier, route: Route
) -> None:
    assert verbs(carrier.ring(route)) == ["Connect", "Redirect"]
    Tenant.objects.filter(pk=tenant.pk).update(state="suspended")
    assert verbs(carrier.ring(route)) == ["Say", "Hangup"]
    with tenant_scope(tenant):
        call = Call.objects.get(state="ended")
    assert (call.outcome, call.end_reason, call.fault) == ("refused", "tenant_suspended", "none")


def test_a_number_without_a_published_agent_goes_to_voicemail(tenant: Tenant, carrier: TestCarrier) -> None:
    draft = make_agent(tenant, publish=False)
    route = make_route(tenant, agent=draft)
    assert verbs(carrier.ring(route)) == ["Say", "Record", "Redirect"]
    with tenant_scope(tenant):
        event = CallEvent.objects.get(key="w:voice")
        assert event.data["skipped"] == [{"step": "streams", "cause": "no_agent", "fault": "us"}]


def test_a_number_with_nothing_to_answer_it_says_so(tenant: Tenant, carrier: TestCarrier) -> None:
    route = make_route(tenant, has_agent=False, ladder=["streams"])
    assert verbs(carrier.ring(route)) == ["Say", "Hangup"]
    with tenant_scope(tenant):
        call = Call.objects.get()
    assert (call.end_reason, call.outcome, call.fault) == ("no_agent", "no_answer", "us")


def test_a_ladder_may_begin_with_a_person(tenant: Tenant, carrier: TestCarrier) -> None:
    route = make_route(
        tenant, has_agent=False, ladder=["person", "voicemail"], person_name="Ada", person_e164="+15550009999"
    )
    response = carrier.ring(route)
    assert verbs(response) == ["Dial"]
    number = read_document(response).find("Dial/Number")
    assert number is not None
    assert number.text == "+15550009999"


def test_an_address_nobody_has_is_answered_politely_when_the_account_is_ours(carrier: TestCarrier) -> None:
    form = carrier.call_form(to="+15550001234")
    response = carrier.post(addresses.voice_url("a" * 26), form)
    assert verbs(response) == ["Say", "Hangup"]
    assert count_calls() == 0
    event = OperatorEvent.objects.get(kind="unknown_number")
    assert (event.data["to"], event.data["account_sid"]) == ("+15550001234", carrier.account_sid)


def test_an_address_nobody_has_is_refused_to_strangers(db: None) -> None:
    stranger = TestCarrier(make_sid("AC"))
    form = stranger.call_form(to="+15550001234")
    assert stranger.post(addresses.voice_url("a" * 26), form).status_code == 403
    assert count_calls() == 0


def test_a_released_number_is_no_longer_in_service(tenant: Tenant, carrier: TestCarrier, route: Route) -> None:
    assert verbs(carrier.ring(route)) == ["Connect", "Redirect"]
    with tenant_scope(tenant):
        Number.objects.update(state="released")
    assert verbs(carrier.ring(route)) == ["Say", "Hangup"]
    assert count_calls() == 1


def test_a_number_that_only_borrows_the_address_is_not_served(carrier: TestCarrier, route: Route) -> None:
    assert verbs(carrier.ring(route, To="+15558887777")) == ["Say", "Hangup"]
    assert verbs(carrier.ring(route, To="sip:desk@acme.sip.example.com")) == ["Connect", "Redirect"]


def test_a_hidden_caller_is_taken_as_the_carrier_names_him(tenant: Tenant, carrier: TestCarrier, route: Route) -> None:
    carrier.ring(route, From="anonymous", StirVerstat="")
    with tenant_scope(tenant):
        assert Call.objects.get().from_number == "anonymous"


def test_the_media_process_hears_of_the_call_while_it_is_answered(carrier: TestCarrier, route: Route) -> None:
    heard: list[tuple[str, AgentSpec, str]] = []
    processes.on_call_opened(lambda ref, agent, caller: heard.append((ref, agent, caller)))
    try:
        document = read_document(carrier.ring(route))
    finally:
        processes.on_call_opened(None)
    [(ref, agent, caller)] = heard
    stream = document.find("Connect/Stream")
    assert stream is not None
    assert stream.get("url", "").endswith(f"/{ref}/")
    assert (agent.name, caller) == ("Reception", "+15557654321")


def test_a_forwarded_call_says_from_where(tenant: Tenant, carrier: TestCarrier, route: Route) -> None:
    carrier.ring(route, ForwardedFrom="+15551112222")
    with tenant_scope(tenant):
        assert CallEvent.objects.get(key="w:voice").data["forwarded_from"] == "+15551112222"


def test_unknown_parameters_are_part_of_the_signature_and_welcome(carrier: TestCarrier, route: Route) -> None:
    assert carrier.ring(route, SomethingNew="ü & + %20", Empty="").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_two_copies_at_once_open_one_call_and_get_one_document() -> None:
    tenant = make_tenant()
    carrier = TestCarrier(make_account(tenant).account_sid)
    route = make_route(tenant)
    form = carrier.call_form(to=route.number.e164)
    start = threading.Barrier(2)
    answers: list[bytes] = []

    def ring() -> None:
        start.wait(5)
        try:
            answers.append(TestCarrier(carrier.account_sid).post(addresses.voice_url(route.public_id), form).content)
        finally:
            connection.close()

    threads = [threading.Thread(target=ring) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(answers) == 2
    assert answers[0] == answers[1]
    assert count_calls() == 1


def test_every_line_about_a_request_names_its_tenant_and_call(
    carrier: TestCarrier, route: Route, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    form = carrier.call_form(to=route.number.e164)
    carrier.post(addresses.voice_url(route.public_id), form)
    carrier.post(addresses.number_status_url(route.public_id), {**form, "CallStatus": "completed"})
    with tenant_scope(route.tenant):
        call = Call.objects.get()
    ends = [r.msg for r in caplog.records if isinstance(r.msg, dict) and r.msg["event"] == "request_finished"]
    assert [(end["tenant_id"], end["call_id"]) for end in ends] == [(str(route.tenant_id), str(call.pk))] * 2

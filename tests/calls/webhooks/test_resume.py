"""What runs after `<Connect>`: the caller's next step, by the word the last session left, or by what is known without one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from calls.models import AfterStep, Call, CallEvent, Leg, Process, Route, ToolRun, Turn
from calls.services import addresses, processes
from calls.services.disposition import save_disposition
from calls.services.leases import hold_process_lock
from calls.services.live import session_finished
from calls.services.tickets import ClaimedCall, claim
from calls.session.commands import Leave
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.carrier import TestCarrier, read_document, ticket_of, verbs
from tests.factories import make_account, make_agent, make_call, make_route, make_sid, make_tenant
from tests.racing import race


def leave(live: ClaimedCall, word: Leave) -> None:
    with tenant_scope(live.tenant):
        assert save_disposition(live.call.pk, word, token=live.token)


def reload(live: ClaimedCall) -> Call:
    with tenant_scope(live.tenant):
        return Call.objects.get(pk=live.call.pk)


def ask(live: ClaimedCall, carrier: TestCarrier, *, token: str = "", **extra: str):
    return carrier.post(addresses.resume_url(live.ref), carrier.about(live.call, **extra), token=token)


def claim_again(live: ClaimedCall, carrier: TestCarrier, ticket: str) -> ClaimedCall:
    return claim(ticket, call_sid=live.call.carrier_sid, account_sid=carrier.account_sid, stream_sid=make_sid("MZ"))


def steps_of(live: ClaimedCall) -> set[str]:
    with tenant_scope(live.tenant):
        return set(AfterStep.objects.values_list("step", flat=True))


def test_hang_up_says_goodbye_and_closes_the_call(live: ClaimedCall, carrier: TestCarrier) -> None:
    leave(live, Leave(next="hang_up", reason="agent_ended", say="Goodbye."))
    response = ask(live, carrier)
    assert verbs(response) == ["Say", "Hangup"]
    call = reload(live)
    assert (call.state, call.end_reason, call.outcome, call.fault) == ("ended", "agent_ended", "resolved", "none")
    assert {"totals", "carrier_cost"} <= steps_of(live)


def test_a_message_taken_decides_the_outcome(live: ClaimedCall, carrier: TestCarrier) -> None:
    with tenant_scope(live.tenant):
        CallEvent.objects.create(call=live.call, key="s:4", kind="message_taken", at=timezone.now())
    leave(live, Leave(next="hang_up", reason="agent_ended"))
    assert verbs(ask(live, carrier)) == ["Hangup"]
    assert reload(live).outcome == "message_taken"


def test_a_lost_stream_is_connected_again_with_a_new_ticket(live: ClaimedCall, carrier: TestCarrier) -> None:
    hold_process_lock(processes.current_id())
    response = ask(live, carrier)
    assert verbs(response) == ["Connect", "Redirect"]
    again = claim_again(live, carrier, ticket_of(response))
    assert again.token > live.token
    assert again.plan.resume is not None
    assert (again.plan.resume.cause, again.plan.resume.attempt) == ("stream_lost", 1)
    with tenant_scope(live.tenant):
        assert not save_disposition(live.call.pk, Leave(next="voicemail"), token=live.token)
        assert CallEvent.objects.filter(kind="recovery").count() == 1


def test_a_dead_process_is_named_as_the_cause(live: ClaimedCall, carrier: TestCarrier) -> None:
    Process.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=6))
    again = claim_again(live, carrier, ticket_of(ask(live, carrier)))
    assert again.plan.resume is not None
    assert again.plan.resume.cause == "process_lost"


def test_a_resumed_session_knows_what_was_said_and_done(live: ClaimedCall, carrier: TestCarrier) -> None:
    with tenant_scope(live.tenant):
        common = {"call": live.call, "status": "complete"}
        Turn.objects.create(
            **common,
            sequence=0,
            role="agent",
            item_id="a",
            generated="Good morning, Acme.",
            heard="Good morning",
            started_ms=100,
        )
        Turn.objects.create(
            **common, sequence=1, role="caller", item_id="b", generated="My order?", heard="My order?", started_ms=2_000
        )
        Turn.objects.create(**common, sequence=2, role="agent", item_id="c", generated="Never heard.", started_ms=9_000)
        tool = {"call": live.call, "name": "lookup_order", "agent": "Reception", "arguments": "{}"}
        ToolRun.objects.create(
            **tool, sequence=0, tool_call_id="t1", status="succeeded", output="sent", started_ms=3_000
        )
        ToolRun.objects.create(**tool, sequence=1, tool_call_id="t2", status="started", revision=1, started_ms=9_500)
        ToolRun.objects.create(**tool, sequence=2, tool_call_id="t3", status="unknown", revision=2, started_ms=9_600)
        CallEvent.objects.create(call=live.call, key="s:7", kind="disclosure_heard", at=timezone.now())
    resume = claim_again(live, carrier, ticket_of(ask(live, carrier))).plan.resume
    assert resume is not None
    assert [(item.kind, item.text or item.call_id) for item in resume.history] == [
        ("agent", "Good morning"),
        ("caller", "My order?"),
        ("tool", "t1"),
    ]
    # Neither the one that still ran nor the one whose session could not wait was ever answered.
    assert [(item.call_id, item.sequence, item.revision) for item in resume.open_tools] == [("t2", 1, 1), ("t3", 2, 2)]
    assert resume.disclosed
    assert not resume.recording
    # Beyond whatever the last session's spool may still hold.
    assert resume.next_turn > 2
    assert resume.next_event > 7
    assert resume.next_tool_run > 1
    assert resume.next_usage == 0


def test_the_agent_handed_to_last_goes_on(tenant: Tenant, carrier: TestCarrier) -> None:
    make_agent(tenant, "Billing", contacts=[{"name": "Ada", "e164": "+15550001111"}])
    front = make_agent(tenant, "Front", hand_offs=[{"agent": "Billing"}])
    route = make_route(tenant, agent=front)
    sid = make_sid("CA")
    first = claim(
        ticket_of(carrier.ring(route, CallSid=sid)),
        call_sid=sid,
        account_sid=carrier.account_sid,
        stream_sid=make_sid("MZ"),
    )
    assert set(first.plan.agents) == {"Front", "Billing"}
    with tenant_scope(tenant):
        CallEvent.objects.create(
            call=first.call,
            key="s:3",
            kind="hand_off",
            at=timezone.now(),
            data={"source": "Front", "target": "Billing"},
        )
    again = claim_again(first, carrier, ticket_of(ask(first, carrier)))
    assert again.plan.resume is not None
    assert again.plan.resume.agent == "Billing"
    leave(again, Leave(next="transfer", contact="Ada"))  # a contact of the agent in charge, not of the first
    number = read_document(ask(again, carrier)).find("Dial/Number")
    assert number is not None
    assert number.text == "+15550001111"


def test_after_three_resumes_in_a_minute_the_next_rung_is_tried(live: ClaimedCall, carrier: TestCarrier) -> None:
    for _ in range(3):
        response = ask(live, carrier)
        assert verbs(response) == ["Connect", "Redirect"]
        claim_again(live, carrier, ticket_of(response))
    assert verbs(ask(live, carrier)) == ["Say", "Say", "Record", "Redirect"]
    with tenant_scope(live.tenant):
        step = CallEvent.objects.get(kind="step")
    assert (step.data["step"], step.data["fault"]) == ("voicemail", "us")


def test_resumes_of_an_earlier_minute_do_not_count(live: ClaimedCall, carrier: TestCarrier) -> None:
    for _ in range(3):
        claim_again(live, carrier, ticket_of(ask(live, carrier)))
    with tenant_scope(live.tenant):
        CallEvent.objects.filter(kind="recovery").update(at=timezone.now() - timedelta(seconds=61))
    assert verbs(ask(live, carrier)) == ["Connect", "Redirect"]


def test_a_stream_that_never_came_is_not_tried_again(carrier: TestCarrier, route: Route, tenant: Tenant) -> None:
    sid = make_sid("CA")
    carrier.ring(route, CallSid=sid)
    with tenant_scope(tenant):
        call = Call.objects.get()
    response = carrier.post(addresses.resume_url(call.pk.hex), carrier.about(call))
    assert verbs(response) == ["Say", "Say", "Record", "Redirect"]
    with tenant_scope(tenant):
        step = CallEvent.objects.get(kind="step")
    assert (step.data["cause"], step.data["fault"]) == ("stream_missing", "carrier")


def test_a_stream_sent_to_a_process_that_died_is_tried_on_another(
    carrier: TestCarrier, route: Route, tenant: Tenant
) -> None:
    sid = make_sid("CA")
    carrier.ring(route, CallSid=sid)
    processes.start_anew()
    with tenant_scope(tenant):
        call = Call.objects.get()
    assert verbs(carrier.post(addresses.resume_url(call.pk.hex), carrier.about(call))) == ["Connect", "Redirect"]


def test_a_stream_that_a_stopping_process_would_not_take_is_tried_again(
    carrier: TestCarrier, route: Route, tenant: Tenant
) -> None:
    carrier.ring(route)
    processes.adopt(processes.current_id(), processes.current_name(), is_stopping=lambda: True)
    with tenant_scope(tenant):
        call = Call.objects.get()
    assert verbs(carrier.post(addresses.resume_url(call.pk.hex), carrier.about(call))) == ["Connect", "Redirect"]


def test_streams_that_never_come_anywhere_end_at_the_next_rung(
    carrier: TestCarrier, route: Route, tenant: Tenant
) -> None:
    carrier.ring(route)
    with tenant_scope(tenant):
        call = Call.objects.get()
    for _ in range(3):
        processes.start_anew()
        assert verbs(carrier.post(addresses.resume_url(call.pk.hex), carrier.about(call))) == ["Connect", "Redirect"]
    processes.start_anew()
    assert "Record" in verbs(carrier.post(addresses.resume_url(call.pk.hex), carrier.about(call)))


def test_transfer_dials_the_named_contact_with_limits(tenant: Tenant, carrier: TestCarrier) -> None:
    agent = make_agent(tenant, contacts=[{"name": "Front desk", "e164": "+15550002222"}])
    route = make_route(tenant, agent=agent)
    sid = make_sid("CA")
    live = claim(
        ticket_of(carrier.ring(route, CallSid=sid)),
        call_sid=sid,
        account_sid=carrier.account_sid,
        stream_sid=make_sid("MZ"),
    )
    leave(live, Leave(next="transfer", contact="front desk", say="I will connect you."))
    document = read_document(ask(live, carrier))
    dial = document.find("Dial")
    number = document.find("Dial/Number")
    assert dial is not None
    assert number is not None
    assert dial.attrib == {
        "action": addresses.dial_url(live.ref),
        "method": "POST",
        "timeLimit": "14400",
        "timeout": "20",
        "callerId": route.number.e164,
    }
    assert number.text == "+15550002222"
    assert number.get("statusCallback") == addresses.leg_status_url(live.ref)
    assert reload(live).state == "moving"


def test_a_contact_nobody_knows_leads_to_the_next_rung(live: ClaimedCall, carrier: TestCarrier) -> None:
    leave(live, Leave(next="transfer", contact="Nobody", say="One moment."))
    assert verbs(ask(live, carrier)) == ["Say", "Say", "Record", "Redirect"]
    with tenant_scope(live.tenant):
        assert CallEvent.objects.get(kind="step").data["cause"] == "no_contact"


def test_a_model_fault_moves_down_the_ladder_and_is_on_record(live: ClaimedCall, carrier: TestCarrier) -> None:
    leave(live, Leave(next="ladder", cause="model_quota", fault="model", say="I am sorry, one moment."))
    response = ask(live, carrier)
    assert verbs(response) == ["Say", "Say", "Record", "Redirect"]
    with tenant_scope(live.tenant):
        event = CallEvent.objects.get(kind="step")
    assert {key: event.data[key] for key in ("step", "rung", "cause", "fault")} == {
        "step": "voicemail",
        "rung": 1,
        "cause": "model_quota",
        "fault": "model",
    }


def test_below_the_last_rung_the_caller_hears_a_sentence(tenant: Tenant, carrier: TestCarrier) -> None:
    route = make_route(tenant, ladder=["streams"])
    sid = make_sid("CA")
    live = claim(
        ticket_of(carrier.ring(route, CallSid=sid)),
        call_sid=sid,
        account_sid=carrier.account_sid,
        stream_sid=make_sid("MZ"),
    )
    leave(live, Leave(next="ladder", cause="model_refused", fault="model"))
    assert verbs(ask(live, carrier)) == ["Say", "Hangup"]
    call = reload(live)
    assert (call.end_reason, call.outcome, call.fault) == ("ladder_exhausted", "failed", "model")


def test_the_person_rung_is_not_dialled_twice(tenant: Tenant, carrier: TestCarrier) -> None:
    route = make_route(tenant, ladder=["streams", "person", "voicemail"], person_name="Ada", person_e164="+15550003333")
    sid = make_sid("CA")
    live = claim(
        ticket_of(carrier.ring(route, CallSid=sid)),
        call_sid=sid,
        account_sid=carrier.account_sid,
        stream_sid=make_sid("MZ"),
    )
    leave(live, Leave(next="transfer", contact="Ada"))
    assert verbs(ask(live, carrier)) == ["Dial"]
    response = carrier.post(
        addresses.dial_url(live.ref),
        carrier.about(live.call, DialCallStatus="no-answer", DialCallSid=make_sid("CA"), DialCallDuration="0"),
    )
    assert verbs(response) == ["Say", "Record", "Redirect"]
    with tenant_scope(tenant):
        event = CallEvent.objects.get(kind="step")
    assert [entry["step"] for entry in event.data["skipped"]] == ["person"]
    assert event.data["cause"] == "person_no_answer"


def test_the_same_webhook_again_gets_the_same_document(live: ClaimedCall, carrier: TestCarrier) -> None:
    first = ask(live, carrier, token="token-1")
    again = ask(live, carrier, token="token-1")
    assert again.content == first.content
    assert reload(live).ticket_serial == 2
    other = ask(live, carrier, token="token-2")
    assert other.content != first.content


def test_a_caller_who_hung_up_ends_the_call(live: ClaimedCall, carrier: TestCarrier) -> None:
    response = ask(live, carrier, CallStatus="completed")
    assert verbs(response) == ["Hangup"]
    call = reload(live)
    assert (call.end_reason, call.outcome) == ("caller_hung_up", "caller_left")


def test_a_call_that_is_over_gets_an_empty_end(live: ClaimedCall, carrier: TestCarrier) -> None:
    leave(live, Leave(next="hang_up", reason="silence"))
    ask(live, carrier)
    assert verbs(ask(live, carrier)) == ["Hangup"]
    assert reload(live).end_reason == "silence"


def test_a_session_that_finished_by_a_stop_closes_the_call(live: ClaimedCall) -> None:
    with tenant_scope(live.tenant):
        assert session_finished(live.call.pk, token=live.token, is_over=True, reason="caller_hung_up")
        assert not session_finished(live.call.pk, token=live.token, is_over=True)
    call = reload(live)
    assert (call.state, call.end_reason, call.outcome) == ("ended", "caller_hung_up", "caller_left")
    with tenant_scope(live.tenant):
        assert Leg.objects.get(kind="stream").ended_at is not None


def test_a_session_of_yesterday_ends_nothing(live: ClaimedCall, carrier: TestCarrier) -> None:
    claim_again(live, carrier, ticket_of(ask(live, carrier)))
    with tenant_scope(live.tenant):
        assert not session_finished(live.call.pk, token=live.token, is_over=True, reason="caller_hung_up")
    assert reload(live).state == "live"


def test_a_caller_who_is_still_there_is_not_hung_up_on(live: ClaimedCall, carrier: TestCarrier) -> None:
    """A `stop` also comes when the running document was replaced (twilio.md §1.6)."""
    with tenant_scope(live.tenant):
        session_finished(live.call.pk, token=live.token, is_over=True, reason="caller_hung_up")
    assert reload(live).state == "ended"
    response = ask(live, carrier)
    assert verbs(response) == ["Connect", "Redirect"]
    claim_again(live, carrier, ticket_of(response))
    call = reload(live)
    assert (call.state, call.ended_at, call.end_reason, call.outcome) == ("live", None, "", "")
    with tenant_scope(live.tenant):
        assert CallEvent.objects.get(kind="peer_error").data["peer"] == "carrier"
        assert not CallEvent.objects.filter(kind="ended").exists()
        assert not AfterStep.objects.filter(step="totals").exists()
    # The real end is recorded as any other.
    assert verbs(ask(live, carrier, CallStatus="completed")) == ["Hangup"]
    assert reload(live).end_reason == "caller_hung_up"
    assert {"totals", "carrier_cost"} <= steps_of(live)


def test_a_late_question_after_the_carriers_own_end_reopens_nothing(live: ClaimedCall, carrier: TestCarrier) -> None:
    with tenant_scope(live.tenant):
        session_finished(live.call.pk, token=live.token, is_over=True, reason="caller_hung_up")
        route = live.call.number.route
    carrier.post(addresses.number_status_url(route.public_id), carrier.about(live.call, "completed", CallDuration="9"))
    assert verbs(ask(live, carrier)) == ["Hangup"]
    assert reload(live).state == "ended"


def test_a_session_that_moved_is_taken_up_by_whoever_is_asked(live: ClaimedCall, carrier: TestCarrier) -> None:
    leave(live, Leave(next="resume", cause="deploy", fault="us"))
    heard: list[tuple[str, str]] = []
    processes.on_call_opened(lambda ref, agent, caller: heard.append((ref, agent.name)))
    try:
        again = claim_again(live, carrier, ticket_of(ask(live, carrier)))
    finally:
        processes.on_call_opened(None)
    assert again.plan.resume is not None
    assert again.plan.resume.cause == "deploy"
    assert heard == [(live.ref, "Reception")]  # its model session is being prepared


@pytest.mark.parametrize("reason", ["silence", "max_duration", "supervisor_ended"])
def test_every_reason_of_the_session_ends_the_call_under_its_name(
    live: ClaimedCall, carrier: TestCarrier, reason: str
) -> None:
    leave(live, Leave(next="hang_up", reason=reason))
    ask(live, carrier)
    assert reload(live).end_reason == reason


@pytest.mark.django_db(transaction=True)
def test_two_copies_of_a_resume_at_once_get_one_answer() -> None:
    tenant = make_tenant()
    carrier = TestCarrier(make_account(tenant).account_sid)
    call = make_call(tenant)
    form = carrier.about(call)

    def ask_once() -> bytes:
        own = TestCarrier(carrier.account_sid)
        return own.post(addresses.resume_url(call.pk.hex), form, token="same").content

    first, second = race(ask_once, ask_once)
    assert isinstance(first, bytes)
    assert first == second
    with tenant_scope(tenant):
        assert (Call.objects.get().ticket_serial, CallEvent.objects.filter(kind="recovery").count()) == (2, 1)


def test_carriers_words_are_spoken_in_the_agents_language(tenant: Tenant, carrier: TestCarrier) -> None:
    agent = make_agent(tenant, languages=["nl", "en"])
    route = make_route(tenant, agent=agent)
    sid = make_sid("CA")
    live = claim(
        ticket_of(carrier.ring(route, CallSid=sid)),
        call_sid=sid,
        account_sid=carrier.account_sid,
        stream_sid=make_sid("MZ"),
    )
    leave(live, Leave(next="hang_up", reason="agent_ended", say="Tot ziens."))
    say = read_document(ask(live, carrier)).find("Say")
    assert say is not None
    assert (say.text, say.get("language")) == ("Tot ziens.", "nl-NL")

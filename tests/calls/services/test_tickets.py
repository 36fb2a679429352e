"""Tickets: good once, for one call, for a short time."""

from __future__ import annotations

import time

import pytest
from pytest_django.fixtures import Settings

from calls.models import Call, CallEvent, Lease, Leg
from calls.services import processes, tickets
from calls.services.disposition import save_disposition
from calls.services.tickets import ClaimedCall, TicketError, claim, make_ticket
from calls.session.commands import Leave
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.factories import make_agent, make_call, make_route, make_sid, make_tenant
from tests.racing import race

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant(db: None) -> Tenant:
    return make_tenant()


@pytest.fixture
def call(tenant: Tenant) -> Call:
    return make_call(tenant, state="ringing")


def ticket_for(call: Call, *, serial: int = 1, age_s: int = 0) -> str:
    return make_ticket(call.pk.hex, serial=serial, issued_at=int(time.time()) - age_s)


def use(call: Call, ticket: str, **changes: str) -> ClaimedCall:
    names = {"call_sid": call.carrier_sid, "account_sid": call.account_sid, "stream_sid": make_sid("MZ")}
    return claim(ticket, **{**names, **changes})


def refusal(call: Call, ticket: str, **changes: str) -> str:
    with pytest.raises(TicketError) as refused:
        use(call, ticket, **changes)
    with tenant_scope(call.tenant):
        assert not Leg.objects.filter(kind="stream").exists()
    return refused.value.reason


def test_a_ticket_brings_the_call_its_lease_and_its_plan(tenant: Tenant, call: Call) -> None:
    claimed = use(call, ticket_for(call))
    assert (claimed.tenant, claimed.ref, claimed.token) == (tenant, call.pk.hex, 1)
    assert (claimed.plan.agent, claimed.plan.resume, claimed.plan.generation) == ("Reception", None, 1)
    with tenant_scope(tenant):
        fresh = Call.objects.get()
        assert (fresh.state, fresh.ticket_used_serial) == ("live", 1)
        assert fresh.answered_at is not None
        lease = Lease.objects.get()
        assert (lease.process_id, lease.token, lease.released_at) == (processes.current_id(), 1, None)
        assert Leg.objects.filter(kind="stream").count() == 1
        assert CallEvent.objects.get().data["state"] == "claimed"


def test_a_ticket_is_good_once(call: Call) -> None:
    ticket = ticket_for(call)
    use(call, ticket)
    with pytest.raises(TicketError) as refused:
        use(call, ticket)
    assert refused.value.reason == "replayed"


def test_an_expired_ticket_is_none(call: Call, settings: Settings) -> None:
    limit: int = settings.TICKET_SECONDS
    assert refusal(call, ticket_for(call, age_s=limit + 2)) == "expired"
    assert refusal(call, ticket_for(call, age_s=-60)) == "expired"
    use(call, ticket_for(call, age_s=limit - 2))


def test_a_ticket_of_a_call_that_got_a_newer_one_is_none(call: Call, tenant: Tenant) -> None:
    with tenant_scope(tenant):
        Call.objects.update(ticket_serial=2)
    assert refusal(call, ticket_for(call, serial=1)) == "replayed"
    use(call, ticket_for(call, serial=2))


@pytest.mark.parametrize("changes", [{"call_sid": make_sid("CA")}, {"account_sid": make_sid("AC")}])
def test_a_ticket_in_another_calls_stream_is_none(call: Call, changes: dict[str, str]) -> None:
    ticket = ticket_for(call)
    assert refusal(call, ticket, **changes) == "foreign"
    use(call, ticket)


def test_a_stranger_cannot_use_it_for_his_own_call(call: Call) -> None:
    other = make_call(make_tenant(), state="ringing")
    assert refusal(call, ticket_for(call), call_sid=other.carrier_sid, account_sid=other.account_sid) == "foreign"


def test_a_ticket_made_without_our_key_is_none(call: Call) -> None:
    good = ticket_for(call)
    assert refusal(call, good[:-1] + ("A" if good[-1] != "A" else "B")) == "forged"
    assert refusal(call, good.replace(".1.", ".2.", 1)) == "forged"
    assert refusal(call, "") == "forged"
    assert refusal(call, "x" * 201) == "malformed"
    assert refusal(call, "é") == "malformed"
    assert refusal(call, tickets._signer.sign("a.b")) == "malformed"
    assert refusal(call, tickets._signer.sign("zz.1.1")) == "malformed"


def test_a_ticket_of_a_call_that_is_gone_is_none(call: Call) -> None:
    ticket = make_ticket("0" * 32, serial=1, issued_at=int(time.time()))
    assert refusal(call, ticket) == "unknown_call"


def test_a_call_that_ended_takes_no_stream(tenant: Tenant) -> None:
    call = make_call(tenant, state="ringing")
    with tenant_scope(tenant):
        Call.objects.update(state="ended", end_reason="caller_hung_up", ended_at=call.created_at)
    assert refusal(call, ticket_for(call)) == "ended"


def test_an_agent_within_reach_comes_along_however_far(tenant: Tenant) -> None:
    make_agent(tenant, "Last")
    make_agent(tenant, "Middle", hand_offs=[{"agent": "Last"}, {"agent": "First"}])
    first = make_agent(tenant, "First", hand_offs=[{"agent": "Middle"}, {"agent": "Nobody"}])
    make_agent(tenant, "Aside")
    call = make_call(tenant, route=make_route(tenant, agent=first), state="ringing")
    assert set(use(call, ticket_for(call)).plan.agents) == {"First", "Middle", "Last"}


def test_the_plans_limits_are_the_settings(call: Call, settings: Settings) -> None:
    settings.PLAYBACK_LEAD_MS = 777
    settings.MODEL_WATCHDOG_MS = 3_333
    limits = use(call, ticket_for(call)).plan.limits
    assert (limits.lead_ms, limits.watchdog_ms) == (777, 3_333)


def test_the_carriers_limit_covers_the_longest_agent_in_reach(tenant: Tenant) -> None:
    make_agent(tenant, "Long", max_duration_s=3_000)
    first = make_agent(tenant, "Short", max_duration_s=600, hand_offs=[{"agent": "Long"}])
    call = make_call(tenant, route=make_route(tenant, agent=first), state="ringing")
    use(call, ticket_for(call))
    with tenant_scope(tenant):
        assert call.after_steps.get().step == "time_limit:3060"


@pytest.mark.django_db(transaction=True)
def test_two_streams_with_one_ticket_only_one_gets_the_call() -> None:
    call = make_call(make_tenant(), state="ringing")
    ticket = ticket_for(call)
    results = race(lambda: use(call, ticket), lambda: use(call, ticket))
    winners = [result for result in results if isinstance(result, ClaimedCall)]
    losers = [result for result in results if isinstance(result, TicketError)]
    assert (len(winners), [loser.reason for loser in losers]) == (1, ["replayed"]), results
    with tenant_scope(call.tenant):
        assert (Lease.objects.get().token, Leg.objects.filter(kind="stream").count()) == (1, 1)


def test_only_the_present_holder_says_where_the_call_goes(call: Call, tenant: Tenant) -> None:
    claimed = use(call, ticket_for(call))
    with tenant_scope(tenant):
        assert not save_disposition(call.pk, Leave(next="voicemail"), token=claimed.token - 1)
        assert not save_disposition(call.pk, Leave(next="voicemail"), token=claimed.token + 1)
        assert Call.objects.get().disposition == {}
        assert save_disposition(call.pk, Leave(next="hang_up", reason="agent_ended"), token=claimed.token)
        assert Call.objects.get().disposition["next"] == "hang_up"

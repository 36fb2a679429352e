"""What runs after `<Connect>`: the caller's next step, by the word the last session left, or by what is known without one."""

from __future__ import annotations

from calls.models import Call, CallEvent
from calls.services import addresses
from calls.services.disposition import save_disposition
from calls.services.tickets import ClaimedCall, claim
from calls.session.commands import Leave
from tenants.scope import tenant_scope
from tests.carrier import TestCarrier, ticket_of, verbs
from tests.factories import make_sid


def leave(live: ClaimedCall, word: Leave) -> None:
    with tenant_scope(live.tenant):
        assert save_disposition(live.call.pk, word, token=live.token)


def reload(live: ClaimedCall) -> Call:
    with tenant_scope(live.tenant):
        return Call.objects.get(pk=live.call.pk)


def test_hang_up_says_goodbye_and_closes_the_call(live: ClaimedCall, carrier: TestCarrier) -> None:
    leave(live, Leave(next="hang_up", reason="agent_ended", say="Goodbye."))
    response = carrier.post(addresses.resume_url(live.ref), carrier.about(live.call))
    assert verbs(response) == ["Say", "Hangup"]
    call = reload(live)
    assert (call.state, call.end_reason, call.outcome) == ("ended", "agent_ended", "resolved")


def test_a_lost_stream_is_connected_again_with_a_new_ticket(live: ClaimedCall, carrier: TestCarrier) -> None:
    response = carrier.post(addresses.resume_url(live.ref), carrier.about(live.call))
    assert verbs(response) == ["Connect", "Redirect"]
    again = claim(
        ticket_of(response),
        call_sid=live.call.carrier_sid,
        account_sid=carrier.account_sid,
        stream_sid=make_sid("MZ"),
    )
    assert again.token > live.token
    assert again.plan.resume is not None
    assert (again.plan.resume.cause, again.plan.resume.attempt) == ("stream_lost", 1)
    with tenant_scope(live.tenant):
        assert not save_disposition(live.call.pk, Leave(next="voicemail"), token=live.token)
        assert CallEvent.objects.filter(kind="recovery").count() == 1

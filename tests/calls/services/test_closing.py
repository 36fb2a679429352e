"""The end of a call: one winner, its outcome, and what is queued with it."""

from __future__ import annotations

import asyncio

import pytest
from channels.layers import get_channel_layer
from django.utils import timezone

from calls.models import AfterStep, Call, CallEvent, Leg, Recording
from calls.services.announce import Herald, announce_call, call_group, herald, live_group
from calls.services.closing import close_call, derive_end, find_outcome
from calls.vocabulary import EndReason, Fault, Outcome
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.factories import make_call, make_sid, make_tenant
from tests.racing import race


@pytest.fixture
def tenant(db: None) -> Tenant:
    return make_tenant()


@pytest.fixture
def call(tenant: Tenant) -> Call:
    return make_call(tenant)


@pytest.mark.django_db(transaction=True)
def test_two_ends_at_once_have_one_winner() -> None:
    tenant = make_tenant()
    call = make_call(tenant)

    def end(reason: EndReason) -> bool:
        with tenant_scope(tenant):
            return close_call(Call.objects.select_related("tenant").get(pk=call.pk), end_reason=reason)

    results = race(lambda: end(EndReason.AGENT_ENDED), lambda: end(EndReason.CALLER_HUNG_UP))
    assert sorted(results, key=str) == [False, True]
    with tenant_scope(tenant):
        ended = Call.objects.get()
        assert ended.end_reason == (EndReason.AGENT_ENDED if results[0] else EndReason.CALLER_HUNG_UP)
        assert CallEvent.objects.filter(kind="ended").count() == 1
        assert sorted(AfterStep.objects.values_list("step", flat=True)) == ["carrier_cost", "totals"]


@pytest.mark.parametrize("reason", list(EndReason))
def test_every_end_reason_has_an_outcome(call: Call, tenant: Tenant, reason: EndReason) -> None:
    with tenant_scope(tenant):
        assert close_call(call, end_reason=reason)
        stored = Call.objects.get()
    assert stored.end_reason == reason
    assert Outcome.of(stored.outcome) in Outcome
    assert stored.ended_at is not None


@pytest.mark.parametrize(
    ("reason", "is_answered", "has_message", "outcome"),
    [
        (EndReason.CALLER_HUNG_UP, True, False, Outcome.CALLER_LEFT),
        (EndReason.CALLER_HUNG_UP, False, False, Outcome.NO_ANSWER),
        (EndReason.CALLER_HUNG_UP, True, True, Outcome.MESSAGE_TAKEN),
        (EndReason.AGENT_ENDED, True, False, Outcome.RESOLVED),
        (EndReason.AGENT_ENDED, True, True, Outcome.MESSAGE_TAKEN),
        (EndReason.TRANSFERRED, True, True, Outcome.TRANSFERRED),
        (EndReason.VOICEMAIL_LEFT, True, False, Outcome.VOICEMAIL),
        (EndReason.SILENCE, True, False, Outcome.CALLER_LEFT),
        (EndReason.REAPED, False, False, Outcome.NO_ANSWER),
        (EndReason.LADDER_EXHAUSTED, True, True, Outcome.FAILED),
    ],
)
def test_outcomes_say_what_was_achieved(
    call: Call, tenant: Tenant, reason: EndReason, is_answered: bool, has_message: bool, outcome: Outcome
) -> None:
    with tenant_scope(tenant):
        call.answered_at = timezone.now() if is_answered else None
        if has_message:
            CallEvent.objects.create(call=call, key="s:1", kind="message_taken", at=timezone.now())
        assert find_outcome(call, reason) == outcome


def test_what_the_agent_decided_outlives_the_carriers_word(call: Call, tenant: Tenant) -> None:
    with tenant_scope(tenant):
        call.disposition = {"next": "hang_up", "reason": "max_duration"}
        assert derive_end(call, "completed") == (EndReason.MAX_DURATION, Fault.NONE)
        assert derive_end(call, "failed") == (EndReason.CARRIER_FAILED, Fault.CARRIER)
        call.disposition = {}
        assert derive_end(call, "completed") == (EndReason.CALLER_HUNG_UP, Fault.NONE)


def test_our_end_leaves_the_callers_leg_to_the_carrier(call: Call, tenant: Tenant) -> None:
    with tenant_scope(tenant):
        Leg.objects.create(call=call, kind="stream", carrier_sid=make_sid("MZ"), started_at=timezone.now())
        close_call(call, end_reason=EndReason.AGENT_ENDED)
        assert set(Leg.objects.filter(ended_at=None).values_list("kind", flat=True)) == {"caller"}


def test_recordings_still_under_way_are_looked_for_later(call: Call, tenant: Tenant) -> None:
    with tenant_scope(tenant):
        running = Recording.objects.create(call=call, carrier_sid=make_sid("RE"))
        Recording.objects.create(call=call, carrier_sid=make_sid("RE"), state="absent")
        close_call(call, end_reason=EndReason.AGENT_ENDED)
        step = AfterStep.objects.get(step=f"recording:{running.pk}")
        assert step.due_at > timezone.now()
        assert AfterStep.objects.filter(step__startswith="recording:").count() == 1


# --- hints ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_an_end_is_announced_to_the_tenants_groups_after_commit(redis_url: str) -> None:
    tenant = make_tenant()
    call = make_call(tenant)

    async def listen() -> list[dict[str, object]]:
        layer = get_channel_layer()
        heard = []
        channels = []
        for group in (live_group(tenant.pk), call_group(tenant.pk, call.pk)):
            channel = await layer.new_channel()
            await layer.group_add(group, channel)
            channels.append(channel)

        def end() -> None:
            with tenant_scope(tenant):
                close_call(Call.objects.select_related("tenant").get(pk=call.pk), end_reason=EndReason.AGENT_ENDED)

        await asyncio.to_thread(race, end)
        async with asyncio.timeout(10):
            for channel in channels:
                heard.append(await layer.receive(channel))
        await layer.flush()
        return heard

    messages = asyncio.run(listen())
    assert [message["type"] for message in messages] == ["call.changed"] * 2
    assert {message["call_id"] for message in messages} == {str(call.pk)}
    assert {message["state"] for message in messages} == {"ended"}


def test_nothing_is_announced_of_what_was_rolled_back(
    call: Call, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: object
) -> None:
    sent: list[object] = []
    monkeypatch.setattr(herald, "put", sent.append)
    announce_call(call)  # the test's own transaction never commits
    assert sent == []


def test_a_full_queue_loses_hints_and_never_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calls.services.announce.QUEUE_LENGTH", 2)
    crier = Herald()
    gate = asyncio.Event()
    crier.put(lambda loop: loop.run_until_complete(asyncio.wait_for(gate.wait(), 5)))
    for _ in range(10):
        crier.put(lambda _loop: None)
    assert crier.lost >= 7
    crier._queue.queue.clear()


def test_a_hint_that_fails_is_counted_and_the_next_is_sent() -> None:
    crier = Herald()
    sent: list[int] = []

    def fail(_loop: object) -> None:
        raise ConnectionError("Redis is gone")

    crier.put(fail)
    crier.put(lambda _loop: sent.append(1))
    crier.wait_until_sent()
    assert (crier.lost, sent) == (1, [1])

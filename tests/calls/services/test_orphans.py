"""What a dead session left open: the words are estimated by the call's clock, runs are unknown, and totals follow late records."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from calls.models import AfterStep, Call, CallEvent, ToolRun, Turn
from calls.services.orphans import end_orphans
from calls.transports.records import Fact
from calls.transports.totals_hook import refresh_totals
from calls.vocabulary import CallState, EventKind, ToolStatus, TurnRole, TurnStatus
from tenants.ids import new_id
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.factories import make_call, make_tenant

pytestmark = pytest.mark.django_db

WORDS = "one two three four five six seven eight nine ten"  # 4,900 ms below: 100 ms a character


@pytest.fixture
def tenant() -> Tenant:
    return make_tenant()


def make_open(call: Call, **fields: Any) -> Turn:
    values = {
        "role": TurnRole.AGENT,
        "status": TurnStatus.OPEN,
        "item_id": "item_1",
        "generated": WORDS,
        "generated_ms": len(WORDS) * 100,
        "started_ms": 1_000,
        "revision": 3,
    }
    turn: Turn = Turn.objects.create(call=call, sequence=0, **{**values, **fields})
    return turn


def end(call: Call, after_ms: int) -> None:
    start = timezone.now() - timedelta(minutes=1)
    ended_at = start + timedelta(milliseconds=after_ms)
    Call.objects.filter(pk=call.pk).update(
        state=CallState.ENDED, end_reason="caller_hung_up", answered_at=start, ended_at=ended_at
    )
    call.refresh_from_db()


def test_the_words_until_the_next_session_came_count_as_heard(tenant: Tenant) -> None:
    call = make_call(tenant)
    with tenant_scope(tenant):
        turn = make_open(call)
        for key, at_ms in (("s:0", 0), ("s:300", 2_400)):
            CallEvent.objects.create(call=call, key=key, kind=EventKind.STREAM_STARTED, at=timezone.now(), at_ms=at_ms)
        end(call, 60_000)
        end_orphans(call)
        turn.refresh_from_db()
    assert (turn.status, turn.heard, turn.heard_ms, turn.revision) == (
        TurnStatus.INTERRUPTED,
        "one two three",
        1_400,
        3,
    )


@pytest.mark.parametrize(
    ("after_ms", "status", "heard"),
    [
        (1_000, TurnStatus.UNHEARD, ""),
        (1_900, TurnStatus.INTERRUPTED, "one two"),
        (90_000, TurnStatus.INTERRUPTED, WORDS),
    ],
)
def test_without_a_next_session_the_end_of_the_call_counts(
    tenant: Tenant, after_ms: int, status: TurnStatus, heard: str
) -> None:
    call = make_call(tenant)
    with tenant_scope(tenant):
        turn = make_open(call)
        end(call, after_ms)
        end_orphans(call)
        turn.refresh_from_db()
    assert (turn.status, turn.heard) == (status, heard)


def test_what_the_caller_said_stays_and_a_run_without_an_end_is_unknown(tenant: Tenant) -> None:
    call = make_call(tenant)
    with tenant_scope(tenant):
        turn = make_open(call, role=TurnRole.CALLER, generated_ms=0)
        run = ToolRun.objects.create(
            call=call, sequence=0, tool_call_id="call_1", name="look_up", status=ToolStatus.STARTED
        )
        end(call, 5_000)
        end_orphans(call)
        turn.refresh_from_db()
        run.refresh_from_db()
    assert (turn.status, turn.generated, run.status) == (TurnStatus.COMPLETE, WORDS, ToolStatus.UNKNOWN)


def test_a_call_that_lives_is_left_alone(tenant: Tenant) -> None:
    call = make_call(tenant)
    with tenant_scope(tenant):
        turn = make_open(call)
        end_orphans(call)
        turn.refresh_from_db()
    assert turn.status == TurnStatus.OPEN


@pytest.mark.parametrize(("table", "state"), [("turn", AfterStep.State.DUE), ("flight", AfterStep.State.DONE)])
def test_records_that_come_late_have_the_totals_made_again(tenant: Tenant, table: str, state: str) -> None:
    call = make_call(tenant)
    with tenant_scope(tenant):
        now = timezone.now()
        step = AfterStep.objects.create(call=call, step="totals", due_at=now, done_at=now, state=AfterStep.State.DONE)
    fact = Fact(table=table, id=new_id(), tenant=tenant.pk, call=call.pk, at=timezone.now(), body={})
    refresh_totals([fact])
    with tenant_scope(tenant):
        step.refresh_from_db()
    assert step.state == state

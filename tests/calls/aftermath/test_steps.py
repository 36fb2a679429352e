"""Steps after a call are rows: claimed once, safe to repeat, retried with back-off, parked with a reason (decision 9)."""

import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from celery.schedules import crontab
from django.db import connection
from django.utils import timezone

from calls.aftermath import carrier, steps, totals
from calls.ledger.cards import forget_cards
from calls.models import AfterStep, Call, CallEvent, LedgerEntry, Leg, ToolRun, Turn, UsageRecord
from calls.services.after_steps import add_steps
from calls.tasks import sweep_after_steps
from config.celery import app
from gateways.errors import GatewayError
from tenants.scope import tenant_scope
from tenants.task import TenantTask
from tests.factories import make_call, make_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    forget_cards()
    return make_tenant()


@pytest.fixture
def call(tenant) -> Call:
    return make_call(tenant)


@pytest.fixture
def work(monkeypatch):
    """A step kind of this test's own: `work.do` is what it does, `work.runs` how often it was done."""

    class Work:
        runs = 0

        def do(self) -> None:
            pass

        def __call__(self, step: AfterStep) -> None:
            self.runs += 1
            self.do()

    work = Work()
    monkeypatch.setitem(steps._workers, "work", work)
    return work


def make_step(call: Call, name: str = "work") -> AfterStep:
    add_steps(call, [name])
    return AfterStep.objects.get(call=call, step=name)


def test_a_step_is_done_once(tenant, call, work):
    with tenant_scope(tenant):
        step = make_step(call)
        assert steps.run_step(str(step.pk))
        assert not steps.run_step(str(step.pk))
        step.refresh_from_db()
    assert (step.state, step.attempt, work.runs) == ("done", 1, 1)


def test_adding_a_step_again_changes_nothing(tenant, call, work):
    with tenant_scope(tenant):
        steps.run_step(str(make_step(call).pk))
        assert make_step(call).state == "done"


def test_a_passing_failure_is_tried_again_later_and_a_lasting_one_is_parked(tenant, call, work):
    with tenant_scope(tenant):
        step = make_step(call)
        work.do = lambda: (_ for _ in ()).throw(GatewayError("busy", permanent=False))
        steps.run_step(str(step.pk))
        step.refresh_from_db()
        assert (step.state, step.attempt, step.error) == ("due", 1, "busy")
        assert step.due_at > timezone.now() + timedelta(seconds=4)

        AfterStep.objects.filter(pk=step.pk).update(due_at=timezone.now())
        work.do = lambda: (_ for _ in ()).throw(GatewayError("gone", permanent=True))
        steps.run_step(str(step.pk))
        step.refresh_from_db()
        assert (step.state, step.error) == ("parked", "gone")

        steps.retry_step(step)
        work.do = lambda: None
        steps.run_step(str(step.pk))
        step.refresh_from_db()
        assert (step.state, step.error) == ("done", "")


@pytest.mark.parametrize("error", [ZeroDivisionError("boom")])
def test_a_fault_of_ours_is_parked_after_its_attempts(tenant, call, work, error, caplog):
    def fail() -> None:
        raise error

    work.do = fail
    with tenant_scope(tenant):
        step = make_step(call)
        for _ in range(steps.ATTEMPTS):
            AfterStep.objects.filter(pk=step.pk).update(due_at=timezone.now())
            steps.run_step(str(step.pk))
        step.refresh_from_db()
    assert (step.state, step.attempt, work.runs) == ("parked", steps.ATTEMPTS, steps.ATTEMPTS)
    assert "ZeroDivisionError: boom" in step.error
    told = [record.msg for record in caplog.records if record.name == "calls.aftermath.steps"]
    assert told[-1]["event"] == "after_step_parked"
    assert {(line["tenant_id"], line["call_id"]) for line in told} == {(str(tenant.pk), str(call.pk))}


def test_waiting_costs_no_attempt(tenant, call, work):
    def wait() -> None:
        raise steps.StepLater("not yet", seconds=30)

    work.do = wait
    with tenant_scope(tenant):
        step = make_step(call)
        steps.run_step(str(step.pk))
        step.refresh_from_db()
    assert (step.state, step.attempt, step.error) == ("due", 0, "not yet")


def test_the_sweeper_finds_due_steps_and_those_of_dead_workers_and_no_others(tenant, call, work, monkeypatch):
    sent = []
    monkeypatch.setattr("calls.tasks.run_after_step.delay", sent.append)
    now = timezone.now()
    with tenant_scope(tenant):
        due, claimed, dead, later = (make_step(call, f"work:{name}") for name in "abcd")
        AfterStep.objects.filter(pk=claimed.pk).update(claimed_until=now + timedelta(minutes=1))
        AfterStep.objects.filter(pk=dead.pk).update(claimed_until=now - timedelta(seconds=1))
        AfterStep.objects.filter(pk=later.pk).update(due_at=now + timedelta(minutes=1))

    sweep_after_steps()
    assert set(sent) == {str(due.pk), str(dead.pk)}


@pytest.mark.django_db(transaction=True)
def test_of_two_workers_one_wins_the_claim(tenant, call, work):
    with tenant_scope(tenant):
        step = make_step(call)
    together = threading.Barrier(2)
    won = []

    def race() -> None:
        with tenant_scope(tenant):
            together.wait(timeout=10)
            won.append(steps.run_step(str(step.pk)))
        connection.close()

    threads = [threading.Thread(target=race) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert sorted(won) == [False, True]
    assert work.runs == 1


def test_totals_are_the_figures_of_the_records(tenant, call):
    with tenant_scope(tenant):
        for sequence, latency in enumerate([400, 900, None]):
            Turn.objects.create(
                call=call,
                sequence=sequence,
                role="agent",
                status="complete",
                item_id=f"item_{sequence}",
                turn_latency_ms=latency,
            )
        ToolRun.objects.create(call=call, sequence=0, tool_call_id="a", name="x", status="succeeded")
        ToolRun.objects.create(call=call, sequence=1, tool_call_id="b", name="x", status="timed_out")
        CallEvent.objects.create(call=call, key="s:1", kind="barge_in", at=timezone.now())
        totals.compute_totals(AfterStep(call=call, step="totals"))
        call.refresh_from_db()
    assert (call.turn_count, call.tool_ok_count, call.tool_failed_count, call.barge_in_count) == (3, 1, 1, 1)
    assert call.turn_latency_p95_ms == 900
    assert call.flags == ["tool_failed"]
    assert call.cost is None


def test_usage_that_was_never_priced_is_priced_after_the_call_and_only_once(tenant, call):
    usage = {"output_token_details": {"audio_tokens": 100}}
    with tenant_scope(tenant):
        for sequence, source in enumerate(["resp_1", "resp_2"]):
            UsageRecord.objects.create(
                call=call,
                sequence=sequence,
                kind="response",
                source_id=source,
                model="gpt-realtime-2.1",
                status="completed",
                usage=usage,
            )
        for _ in range(2):
            totals.compute_totals(AfterStep(call=call, step="totals"))
        call.refresh_from_db()
        assert LedgerEntry.objects.filter(call=call).count() == 2
    assert call.cost == Decimal("0.0128")


def test_carrier_minutes_are_estimated_once_a_leg_and_flow_into_the_calls_cost(tenant, call):
    now = timezone.now()
    with tenant_scope(tenant):
        Leg.objects.filter(call=call).update(duration_s=61, ended_at=now)
        Leg.objects.create(
            call=call, kind="stream", carrier_sid="MZ1", started_at=now - timedelta(seconds=59), ended_at=now
        )
        for _ in range(2):
            carrier.estimate_carrier_cost(AfterStep(call=call, step="carrier_cost"))
        lines = {entry.item: (entry.quantity, entry.amount) for entry in LedgerEntry.objects.filter(call=call)}
        call.refresh_from_db()
    assert lines == {
        "voice_inbound_local": (Decimal(2), Decimal("0.017")),
        "media_stream": (Decimal(1), Decimal("0.004")),
    }
    assert (call.cost, call.currency) == (Decimal("0.021"), "USD")


def test_a_leg_that_still_runs_is_waited_for(tenant, call):
    with tenant_scope(tenant), pytest.raises(steps.StepLater):
        carrier.estimate_carrier_cost(AfterStep(call=call, step="carrier_cost"))


SENT_BY_SERVICES = {"calls.tasks.run_export"}  # it takes the scope anew for each batch


def test_every_task_that_nobody_else_sends_has_its_beat(settings):
    app.loader.import_default_modules()
    beats = {entry["task"]: entry for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    watchmen = {
        name
        for name, task in app.tasks.items()
        if name.startswith(("calls.", "tenants.")) and not isinstance(task, TenantTask)
    }
    assert beats.keys() == watchmen - SENT_BY_SERVICES
    # A beat that no worker took in time is void, or a worker that comes back would find a heap of them.
    assert all(entry["options"]["expires"] <= max(2, _seconds_of(entry["schedule"])) for entry in beats.values())


def _seconds_of(schedule: float | crontab) -> float:
    """How long until the next beat at the least; a crontab of ours is daily."""
    return 86_400.0 if isinstance(schedule, crontab) else schedule

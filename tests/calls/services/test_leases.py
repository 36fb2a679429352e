"""Leases: one holder, a token that only grows, and what counts as dead (decision 5)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from calls.models import Call, Lease, Process
from calls.services import leases, processes
from tenants.ids import new_id
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tests.factories import make_call, make_tenant
from tests.racing import race

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant(db: None) -> Tenant:
    return make_tenant()


@pytest.fixture
def call(tenant: Tenant) -> Call:
    return make_call(tenant, state="ringing")


def make_process(**fields: object) -> Process:
    process_id = new_id()
    return Process.objects.create(id=process_id, name=process_id.hex[-12:], kind="media", **fields)


def test_a_claim_raises_the_token_and_a_release_keeps_it(tenant: Tenant, call: Call) -> None:
    process = make_process()
    with tenant_scope(tenant):
        assert leases.claim_lease(call, process_id=process.pk, token=0) == 1
        assert leases.claim_lease(call, process_id=process.pk, token=0) is None
        assert leases.holds_lease(call.pk, token=1)
        assert not leases.release_lease(call.pk, token=0)
        assert leases.release_lease(call.pk, token=1)
        assert not leases.release_lease(call.pk, token=1)
        assert not leases.holds_lease(call.pk, token=1)
        assert leases.claim_lease(call, process_id=process.pk, token=1) == 2


def test_a_fence_voids_the_token_of_whoever_holds_it(tenant: Tenant, call: Call) -> None:
    process = make_process()
    with tenant_scope(tenant):
        leases.claim_lease(call, process_id=process.pk, token=0)
        leases.fence_lease(call.pk)
        assert not leases.holds_lease(call.pk, token=1)
        lease = Lease.objects.get()
        assert (lease.token, lease.process_id) == (2, None)


def test_leases_of_another_tenant_do_not_exist(tenant: Tenant, call: Call) -> None:
    with tenant_scope(make_tenant()):
        assert leases.claim_lease(call, process_id=make_process().pk, token=0) is None
        leases.fence_lease(call.pk)
    with tenant_scope(tenant):
        assert Lease.objects.get().token == 0
        assert leases.claim_lease(call, process_id=make_process().pk, token=0) == 1


@pytest.mark.django_db(transaction=True)
def test_two_claims_at_once_have_one_winner() -> None:
    tenant = make_tenant()
    call = make_call(tenant, state="ringing")
    first, second = make_process(), make_process()

    def take(process: Process) -> int | None:
        with tenant_scope(tenant):
            return leases.claim_lease(call, process_id=process.pk, token=0)

    assert sorted(race(lambda: take(first), lambda: take(second)), key=str) == [1, None]


def test_a_process_lives_by_its_heartbeat_and_its_lock() -> None:
    process = make_process()
    assert leases.is_process_dead(process)  # nobody holds its lock
    assert leases.hold_process_lock(process.pk)
    assert leases.is_process_lock_held(process.pk)
    assert not leases.is_process_dead(process)
    Process.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=leases.DEAD_AFTER_S + 1))
    assert leases.is_process_dead(process)
    assert processes.heartbeat(process.pk)
    assert not leases.is_process_dead(process)
    processes.mark_stopping(process.pk)
    assert not leases.is_process_dead(process)
    processes.mark_stopped(process.pk)
    assert leases.is_process_dead(process)
    assert leases.is_process_dead(None)


@pytest.mark.django_db(transaction=True)
def test_the_lock_drops_with_the_connection() -> None:
    process = make_process()

    def hold_and_die() -> bool:
        held = leases.hold_process_lock(process.pk)
        assert connection.connection is not None
        connection.connection.close()  # for good: closing Django's only hands it back to the pool
        return held

    def look() -> bool:
        return leases.is_process_lock_held(process.pk)

    assert race(hold_and_die) == [True]
    assert race(look) == [False]


def test_every_lock_key_is_found_again() -> None:
    for _ in range(20):  # negative keys and zero halves included, by chance of the ids
        process_id = new_id()
        assert leases.hold_process_lock(process_id)
        assert leases.is_process_lock_held(process_id)
        assert not leases.is_process_lock_held(new_id())


def test_a_process_without_a_row_is_told_to_register() -> None:
    assert not processes.heartbeat(new_id())
    own = processes.current_id()
    assert processes.heartbeat(own)
    assert Process.objects.get(pk=own).name == processes.current_name()
    assert Process.objects.filter(pk=own, heartbeat_at__lte=Now()).exists()

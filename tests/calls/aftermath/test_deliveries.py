"""Webhooks out: signed, sent until taken, for 72 hours at most; never inside the fence, never doubled, every try on record."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings
from standardwebhooks import Webhook, WebhookVerificationError

from calls.aftermath import deliveries, totals
from calls.aftermath.deliveries import PAUSES_S, deliver
from calls.models import AfterStep, Call, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from calls.services import outbox
from calls.services.after_steps import add_steps
from calls.tasks import deliver_webhook, sweep_deliveries
from calls.vocabulary import HookEvent
from tenants.ids import new_id
from tenants.models import AuditEntry, Tenant
from tenants.scope import tenant_scope
from tests.dashboard.scenes import make_told_call
from tests.factories import make_tenant

pytestmark = pytest.mark.django_db


class Receiver:
    """A real HTTP server of the tenant's: keeps what it was sent, answers as told."""

    def __init__(self) -> None:
        self.seen: list[tuple[dict[str, str], str]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                receiver.seen.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status, headers, answer = receiver.answers.pop(0) if receiver.answers else (204, {}, b"")
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


@pytest.fixture
def receiver(settings: Settings) -> Iterator[Receiver]:
    receiver = Receiver()
    settings.TOOL_EGRESS_ALLOW = [f"127.0.0.1:{receiver.server.server_port}"]
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.01,))
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    tenant = make_tenant("acme")
    with tenant_scope(tenant):
        yield tenant


@pytest.fixture
def endpoint(tenant: Tenant, receiver: Receiver) -> WebhookEndpoint:
    return outbox.save_endpoint(None, url=receiver.url, events=["call.ended"])


def tell(data: dict[str, object] | None = None) -> WebhookDelivery:
    outbox.tell(HookEvent.CALL_ENDED, new_id(), data or {"call_id": "c-1"})
    return WebhookDelivery.objects.latest("created_at")


def try_again(delivery: WebhookDelivery) -> WebhookDelivery:
    """The next try, whenever it would be due."""
    WebhookDelivery.objects.filter(pk=delivery.pk).update(due_at=timezone.now())
    assert deliver(str(delivery.pk))
    delivery.refresh_from_db()
    return delivery


def test_an_event_reaches_its_endpoint_signed_by_the_standard(endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    delivery = try_again(tell({"call_id": "c-1", "name": "Zoë"}))
    ((headers, body),) = receiver.seen
    read = Webhook(endpoint.secret).verify(body, headers)
    assert (read["type"], read["data"]) == ("call.ended", {"call_id": "c-1", "name": "Zoë"})
    assert headers["webhook-id"] == delivery.message_id
    assert delivery.state == "delivered"
    assert WebhookAttempt.objects.get(delivery=delivery).status == 204
    with pytest.raises(WebhookVerificationError):
        Webhook(outbox.make_secret()).verify(body, headers)


def test_only_endpoints_that_want_the_event_and_are_on_are_told(endpoint: WebhookEndpoint) -> None:
    outbox.save_endpoint(None, url="https://example.com/other", events=["recording.stored"])
    off = outbox.save_endpoint(None, url="https://example.com/off", events=["call.ended"], is_active=False)
    assert outbox.tell(HookEvent.CALL_ENDED, new_id(), {}) == 1
    assert WebhookDelivery.objects.get().endpoint == endpoint
    assert off.deliveries.count() == 0


def test_another_tenants_endpoint_hears_nothing(endpoint: WebhookEndpoint) -> None:
    with tenant_scope(make_tenant("other")):
        assert outbox.tell(HookEvent.CALL_ENDED, new_id(), {}) == 0
    assert outbox.tell(HookEvent.CALL_ENDED, new_id(), {}) == 1


def test_the_same_fact_is_told_once(endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    subject = new_id()
    outbox.tell(HookEvent.CALL_ENDED, subject, {"n": 1})
    outbox.tell(HookEvent.CALL_ENDED, subject, {"n": 2})
    delivery = WebhookDelivery.objects.get()
    assert deliver(str(delivery.pk))
    assert not deliver(str(delivery.pk))
    assert len(receiver.seen) == 1


def test_a_receiver_that_fails_is_asked_again_and_again_for_three_days_at_most(
    endpoint: WebhookEndpoint, receiver: Receiver
) -> None:
    assert sum(PAUSES_S) <= 72 * 3600
    receiver.answers = [(500, {}, b"broken")] * (len(PAUSES_S) + 1)
    delivery = tell()
    for pause_s in PAUSES_S:
        before = timezone.now()
        try_again(delivery)
        waits_s = (delivery.due_at - before).total_seconds()
        assert delivery.state == "due"
        assert 0.79 * pause_s <= waits_s <= pause_s + 60
    assert try_again(delivery).state == "failed"
    assert len({headers["webhook-id"] for headers, _ in receiver.seen}) == 1
    assert WebhookAttempt.objects.filter(delivery=delivery, status=500, answer="broken").count() == len(PAUSES_S) + 1


def test_a_receiver_that_asks_for_time_gets_it(endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    receiver.answers = [(429, {"Retry-After": "900"}, b"")]
    before = timezone.now()
    delivery = try_again(tell())
    assert timedelta(seconds=899) < delivery.due_at - before < timedelta(seconds=960)


def test_a_receiver_that_is_gone_is_left_alone(endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    receiver.answers = [(410, {}, b"")]
    assert try_again(tell()).state == "failed"
    endpoint.refresh_from_db()
    assert (endpoint.is_active, "410" in endpoint.stopped_because) == (False, True)
    assert outbox.tell(HookEvent.CALL_ENDED, new_id(), {}) == 0


def test_a_redirect_is_a_failure_and_nobody_else_gets_the_body(endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    receiver.answers = [(307, {"Location": receiver.url + "/elsewhere"}, b"")]
    delivery = try_again(tell())
    assert (delivery.state, len(receiver.seen)) == ("due", 1)
    assert "redirects are not followed" in delivery.error


def test_an_address_that_turns_inward_is_refused_at_the_fence(
    endpoint: WebhookEndpoint, receiver: Receiver, settings: Settings
) -> None:
    assert try_again(tell()).state == "delivered"
    settings.TOOL_EGRESS_ALLOW = []
    refused = try_again(tell())
    assert refused.state == "failed"
    assert "loopback" in refused.error
    assert len(receiver.seen) == 1


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/hook", "https://"),
        ("ftp://example.com/hook", "http"),
        ("https://user:secret@example.com/", "user name"),
        ("nonsense", "http"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_with_its_reason(tenant: Tenant, url: str, why: str) -> None:
    assert outbox.save_endpoint(None, url="https://example.com/hook", events=["call.ended"]).pk
    with pytest.raises(ValidationError, match=why) as refusal:
        outbox.save_endpoint(None, url=url, events=["call.ended"])
    assert list(refusal.value.message_dict) == ["url"]


def test_the_same_address_twice_and_no_event_at_all_are_refused(endpoint: WebhookEndpoint) -> None:
    with pytest.raises(ValidationError, match="on the list"):
        outbox.save_endpoint(None, url=endpoint.url, events=["call.ended"])
    with pytest.raises(ValidationError, match="at least one"):
        outbox.save_endpoint(None, url="https://example.com/b", events=["webhook.test"])


def test_both_secrets_sign_for_a_day_after_a_rotation(endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    old = endpoint.secret
    new = outbox.rotate_secret(endpoint)
    try_again(tell())
    for secret in (old, new):
        Webhook(secret).verify(receiver.seen[0][1], receiver.seen[0][0])
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(previous_until=timezone.now() - timedelta(seconds=1))
    try_again(tell())
    Webhook(new).verify(receiver.seen[1][1], receiver.seen[1][0])
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(receiver.seen[1][1], receiver.seen[1][0])


def test_a_replay_goes_out_with_the_same_id(endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    delivery = try_again(tell())
    assert outbox.replay(delivery)
    assert not outbox.replay(delivery)  # it is waiting already
    try_again(delivery)
    ids = [headers["webhook-id"] for headers, _ in receiver.seen]
    assert ids == [delivery.message_id] * 2


def test_what_waits_for_a_removed_address_is_given_up(endpoint: WebhookEndpoint, receiver: Receiver) -> None:
    delivery = tell()
    outbox.remove_endpoint(endpoint)
    delivery.refresh_from_db()
    assert delivery.state == "failed"
    assert not deliver(str(delivery.pk))
    assert not outbox.replay(WebhookDelivery.objects.select_related("endpoint").get())
    assert receiver.seen == []


def test_a_worker_that_died_leaves_its_work_to_the_sweeper(
    endpoint: WebhookEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(deliver_webhook, "delay", sent.append)
    delivery = tell()
    WebhookDelivery.objects.filter(pk=delivery.pk).update(claimed_until=timezone.now() + timedelta(seconds=9))
    sweep_deliveries.run()
    assert sent == []
    WebhookDelivery.objects.filter(pk=delivery.pk).update(claimed_until=timezone.now() - timedelta(seconds=1))
    sweep_deliveries.run()
    assert sent == [str(delivery.pk)]


def test_changes_are_in_the_audit_log_without_secrets(endpoint: WebhookEndpoint) -> None:
    outbox.save_endpoint(endpoint, url=endpoint.url, events=["call.ended", "recording.stored"])
    outbox.rotate_secret(endpoint)
    entries = list(AuditEntry.objects.order_by("at"))
    assert [entry.action for entry in entries] == ["webhook.added", "webhook.changed", "webhook.secret_rotated"]
    assert entries[1].after == {"events": ["call.ended", "recording.stored"]}
    assert not any("whsec_" in f"{entry.before}{entry.after}" for entry in entries)


def test_the_end_of_a_call_is_told_once_with_transcript_outcome_and_cost(
    endpoint: WebhookEndpoint, tenant: Tenant, receiver: Receiver
) -> None:
    call = make_told_call(tenant)
    AfterStep.objects.filter(call=call).delete()
    add_steps(call, ["totals"])
    step = AfterStep.objects.get(call=call)
    totals.compute_totals(step)
    totals.compute_totals(step)
    try_again(WebhookDelivery.objects.get(call=call))
    data = Webhook(endpoint.secret).verify(receiver.seen[0][1], receiver.seen[0][0])["data"]
    told = Call.objects.get(pk=call.pk)
    assert (data["call_id"], data["outcome"], data["turns"]) == (str(call.pk), told.outcome, told.turn_count)
    assert data["cost"]["amount"] == f"{told.cost:f}"
    cut = next(line for line in data["transcript"] if line["not_heard"])
    assert cut["heard"]
    assert "I can offer you Friday" in cut["not_heard"]


@pytest.mark.django_db(transaction=True)
def test_two_workers_send_it_once(receiver: Receiver) -> None:
    tenant = make_tenant("twice")
    with tenant_scope(tenant):
        outbox.save_endpoint(None, url=receiver.url, events=["call.ended"])
        delivery = tell()

    def work() -> None:
        with tenant_scope(tenant):
            deliver(str(delivery.pk))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receiver.seen) == 1


def test_no_answer_in_time_is_on_record(endpoint: WebhookEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    assert try_again(tell()).state == "delivered"
    monkeypatch.setattr(deliveries, "TIMEOUT_S", 0.000_001)
    late = try_again(tell())
    assert (late.state, WebhookAttempt.objects.get(delivery=late).status) == ("due", None)
    assert "No answer" in late.error

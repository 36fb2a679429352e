"""The doctor against both vendors' doubles and a real server: a healthy house, and one line with its mend for each thing that is not."""

from __future__ import annotations

import asyncio
import http.server
import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import pytest
import uvicorn
from django.core.management import call_command
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.template import Engine
from pytest_django.fixtures import Settings

from calls.models import Route
from calls.services.addresses import fallback_url, number_status_url, voice_url
from calls.transports.house import close_house
from calls.transports.process import current_process
from config.celery import app
from config.doctor import inside, loopback, outside
from config.doctor.result import Check, Finding, Verdict
from config.management.commands import doctor
from config.management.commands.run_media import make_config
from config.postgres.roles import prepare_roles
from emulators.openai.config import DoubleConfig, Timing
from emulators.openai.threaded import ThreadedDouble, run_double
from gateways.voice_model import ModelInfo
from tenants.models import Number
from tenants.scope import every_tenant
from tests.carrier_double import DoubleThread, running_double
from tests.factories import AUTH_TOKEN, make_account, make_agent, make_route, make_tenant

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "sk-emulator"
QUICK = Timing(handshake_ms=0, session_updated_ms=1, response_created_ms=1, first_delta_ms=2, speech_factor=200)


@dataclass(frozen=True, slots=True)
class House:
    """A number that is answered, its carrier, and the model's vendor."""

    route: Route
    carrier: DoubleThread
    model: ThreadedDouble

    @property
    def number(self) -> Number:
        number: Number = self.route.number
        return number


@contextmanager
def serving() -> Iterator[str]:
    """The whole application as `run_media` serves it, on a loop of its own; its address."""
    from config.asgi import application  # noqa: PLC0415 # importing it sets Django up

    config = make_config(host="127.0.0.1", port=0)
    config.app = application
    server = uvicorn.Server(config)
    up = threading.Event()

    async def serve() -> None:
        process = current_process()
        process.start(kind="media")
        task = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 # uvicorn tells nobody
            await asyncio.sleep(0.005)
        up.set()
        await task
        await process.drain(timeout_s=0.1)
        await close_house()
        await process.stop()

    thread = threading.Thread(target=asyncio.run, args=[serve()], name="media")
    thread.start()
    assert up.wait(20)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def vendors() -> Iterator[tuple[DoubleThread, ThreadedDouble]]:
    with running_double(speed=1.0) as carrier, run_double(DoubleConfig(timing=QUICK, api_keys=(KEY,))) as model:
        yield carrier, model


@pytest.fixture
def house(
    vendors: tuple[DoubleThread, ThreadedDouble], transactional_db: None, redis_url: str, settings: Settings
) -> Iterator[House]:
    carrier, model = vendors
    settings.TWILIO_API_BASE_URL = carrier.double.base_url
    settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY = model.api_base_url, KEY
    tenant = make_tenant("acme")
    make_agent(tenant, greeting="Good morning.", realtime={"model": "gpt-realtime-2.1"})
    route = make_route(tenant)
    with serving() as address:
        settings.PUBLIC_BASE_URL = settings.MEDIA_BASE_URL = address
        carrier.double.add_account(sid=make_account(tenant).account_sid, auth_token=AUTH_TOKEN)
        carrier.double.add_number(
            route.number.e164,
            sid=route.number.carrier_sid,
            account=route.number.account.account_sid,
            voice_url=voice_url(route.public_id),
            voice_fallback_url=fallback_url(route.public_id),
            status_callback=number_status_url(route.public_id),
        )
        yield House(route, carrier, model)


@pytest.fixture
def plain_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in production: pytest-django puts an object there that Django's own checks refuse."""
    monkeypatch.setattr(Engine.get_default(), "string_if_invalid", "")


@pytest.fixture
def a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that answers; real ones are processes of their own (the demo has one)."""
    monkeypatch.setattr(app.control, "ping", lambda timeout: [{"celery@here": {"ok": "pong"}}])


def examine(*arguments: str) -> tuple[int, list[str]]:
    """Exit status and report of `manage.py doctor`."""
    out = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=out)
    except SystemExit as done:
        return int(done.code or 0), out.getvalue().splitlines()
    return 0, out.getvalue().splitlines()


def complaints(check: Check) -> list[Finding]:
    """What a check finds wrong; each must say what to do."""
    found = [finding for finding in check() if finding.verdict is not Verdict.OK]
    assert all(finding.mend for finding in found)
    return found


def told(found: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(finding.verdict.value, finding.name) for finding in found]


def test_a_healthy_house_gets_one_good_line_a_check_and_status_zero(
    house: House, a_worker: None, plain_templates: None
) -> None:
    status, lines = examine()
    assert status == 0
    assert [line for line in lines if not line.startswith("ok ")] == []
    assert {line[8:].partition(":")[0] for line in lines} == {
        "settings",
        "database",
        "migrations",
        "second wall",
        "redis",
        "channel layer",
        "worker",
        "public URL",
        "media URL",
        "webhook signature",
        "forged signature",
        "socket upgrade",
        "model key",
        "model name",
        "carrier account acme",
        f"number {house.number.e164}",
    }


def test_one_failure_is_one_line_with_its_mend_and_status_one(house: House, plain_templates: None) -> None:
    status, lines = examine()  # nobody started a worker
    assert status == 1
    at = next(place for place, line in enumerate(lines) if not line.startswith("ok "))
    assert lines[at] == "failed  worker: none answers"
    assert lines[at + 1].strip() == "mend: run celery -A config worker, and celery -A config beat once"
    assert all(line.startswith("ok ") for line in lines[at + 2 :])


def test_a_loopback_call_times_each_hop(house: House) -> None:
    found = list(loopback.place_call(house.number.e164))
    assert [(finding.verdict, finding.name) for finding in found] == [
        (Verdict.OK, "call: webhook answered"),
        (Verdict.OK, "call: stream up"),
        (Verdict.OK, "call: agent heard"),
    ]
    assert all("ms after ringing" in finding.detail for finding in found)


def test_a_call_that_is_never_answered_is_told_hop_by_hop(
    house: House, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback, "PATIENCE_SECONDS", 1.0)
    settings.PUBLIC_BASE_URL = "http://127.0.0.1:1"
    found = complaints(partial(loopback.place_call, house.number.e164))
    assert told(found) == [
        ("failed", "call: webhook answered"),
        ("failed", "call: stream up"),
        ("failed", "call: agent heard"),
    ]


def test_a_loopback_call_needs_a_number() -> None:
    assert told(complaints(partial(loopback.place_call, "+15550009999"))) == [("failed", "call")]


def test_a_key_that_the_vendor_refuses_is_named(house: House, settings: Settings) -> None:
    settings.OPENAI_API_KEY = "sk-wrong"
    (finding,) = complaints(outside.check_model)
    assert told([finding]) == [("failed", "model key")]
    assert "sk-wrong" not in str(finding)
    settings.OPENAI_API_KEY = ""
    assert told(complaints(outside.check_model)) == [("failed", "model key")]


def test_a_model_that_is_not_offered_is_named_before_a_caller_finds_out(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "list_models", lambda: [ModelInfo("gpt-realtime-2")])
    (finding,) = complaints(outside.check_model)
    assert told([finding]) == [("failed", "model name")]
    assert "gpt-realtime-2.1 is not offered" in finding.detail


def test_a_model_with_an_end_is_a_warning_that_names_the_day(
    house: House, a_worker: None, plain_templates: None
) -> None:
    make_agent(house.route.tenant, "Old", realtime={"model": "gpt-realtime"})
    (finding,) = complaints(outside.check_model)
    assert told([finding]) == [("warning", "model name")]
    assert "gpt-realtime shuts down on 2027-01-20" in finding.detail
    assert examine()[0] == 0  # a warning is no failure


def test_a_token_that_the_carrier_refuses_is_named_and_its_numbers_are_not_asked_about(house: House) -> None:
    account = house.number.account
    account.auth_token = "f" * 32
    with every_tenant(reason="a test changes an account"):
        account.save()
    (finding,) = complaints(outside.check_carrier)
    assert told([finding]) == [("failed", "carrier account acme")]
    assert "f" * 32 not in str(finding)


@pytest.mark.parametrize("field", ["voice_url", "voice_fallback_url", "status_callback"])
def test_a_number_that_points_elsewhere_is_drift_and_the_mend_holds_the_address(house: House, field: str) -> None:
    setattr(house.carrier.double.exchange.numbers[house.number.e164], field, "https://elsewhere.example/")
    (finding,) = complaints(outside.check_carrier)
    assert told([finding]) == [("failed", f"number {house.number.e164}")]
    assert finding.detail == f"{field} differs at the carrier"
    assert house.route.public_id in finding.mend


def test_migrations_that_wait_are_counted(transactional_db: None) -> None:
    applied = MigrationRecorder(connection)
    (last,) = MigrationLoader(None).graph.leaf_nodes("calls")
    applied.record_unapplied(*last)
    try:
        (finding,) = complaints(inside.check_database)
    finally:
        applied.record_applied(*last)
    assert told([finding]) == [("failed", "migrations")]
    assert finding.mend == "run manage.py migrate"


def test_the_second_wall_stands_for_the_applications_own_login() -> None:
    (finding,) = inside.check_wall()
    assert (finding.verdict, finding.detail.split()[0]) == (Verdict.OK, "switchboard_app")


def test_a_login_that_could_look_over_the_wall_is_named_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    database = connections["default"]
    with database.as_owner():
        (owner,) = complaints(inside.check_wall)
    assert owner.detail == "switchboard works as the owner of the tables"
    for login, verdict, detail in (
        ("postgres", Verdict.FAILED, "postgres is a superuser or goes around row-level security"),
        ("switchboard", Verdict.WARNING, "stands, but switchboard may step back up to the owner"),
    ):
        database.close()
        database.close_pool()
        with monkeypatch.context() as only_login:  # the only one there is: it steps down when it connects
            only_login.setitem(database.settings_dict, "USER", login)
            only_login.setitem(database.settings_dict, "OWNER", {"USER": login, "ROLE_MAKER": "postgres"})
            with database.as_owner():
                prepare_roles(database)
            (finding,) = inside.check_wall()
            database.close()
            database.close_pool()
        assert (finding.verdict, finding.detail) == (verdict, detail)
        assert "DATABASE_OWNER_URL" in finding.mend


def test_checks_that_need_rows_say_so_when_the_tables_are_missing(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "CHECKS", {"carrier account": outside.check_carrier})
    with connection.as_owner(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE tenants_carrieraccount RENAME TO elsewhere")
        try:
            status, lines = examine()
        finally:
            cursor.execute("ALTER TABLE elsewhere RENAME TO tenants_carrieraccount")
    assert status == 1
    assert lines[0].startswith("failed  carrier account: not checked: relation")
    assert lines[1].strip().startswith("mend: ")


def test_a_redis_that_is_away_is_named_twice_because_the_worker_needs_it_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert told(complaints(inside.check_redis)) == [("failed", "redis")]


def test_a_public_address_that_nobody_answers_is_named(settings: Settings, transactional_db: None) -> None:
    settings.PUBLIC_BASE_URL = settings.MEDIA_BASE_URL = "http://127.0.0.1:1"
    make_route(make_tenant())
    assert told(complaints(outside.check_public_url)) == [("failed", "public URL"), ("failed", "media URL")]
    assert told(complaints(outside.check_webhooks)) == [("failed", "webhook signature"), ("failed", "forged signature")]
    assert told(complaints(outside.check_socket)) == [("failed", "socket upgrade")]


class _Stranger(http.server.BaseHTTPRequestHandler):
    """Somebody else's server: everything is fine there, whoever asks."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.send_header("Connection", "close")
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quietly."""


@pytest.fixture
def stranger(settings: Settings) -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Stranger)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    settings.PUBLIC_BASE_URL = settings.MEDIA_BASE_URL = f"http://127.0.0.1:{server.server_port}"
    yield settings.PUBLIC_BASE_URL
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_takes_a_forged_signature_is_not_ours(stranger: str, transactional_db: None) -> None:
    make_route(make_tenant())
    (finding,) = complaints(outside.check_webhooks)
    assert told([finding]) == [("failed", "forged signature")]
    assert finding.detail == "answered 204 instead of 403"


def test_a_proxy_that_does_not_upgrade_is_told_from_our_own_refusal(stranger: str, transactional_db: None) -> None:
    make_route(make_tenant())
    (finding,) = complaints(outside.check_socket)
    assert told([finding]) == [("failed", "socket upgrade")]
    assert "answered 200" in finding.detail


def test_a_forged_handshake_that_is_accepted_is_a_failure(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_route(make_tenant())
    monkeypatch.setattr(outside, "connect", lambda *_, **__: SimpleNamespace(close=lambda: None))
    (finding,) = complaints(outside.check_socket)
    assert told([finding]) == [("failed", "socket upgrade")]
    assert "accepted a forged handshake" in finding.detail

"""The hops on our side: settings, database, Redis, channel layer, workers. Reads and pings only; changes nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import redis
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.apps import apps
from django.conf import settings
from django.core.checks import WARNING, run_checks
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from config.celery import app
from config.doctor.result import Finding, failed, ok, warning
from tenants.base import TenantModel

PING_SECONDS = 3.0  # an idle worker answers in milliseconds


def check_settings() -> Iterator[Finding]:
    """Django's own system and deployment checks, and what they cannot know."""
    is_public = urlsplit(settings.PUBLIC_BASE_URL).hostname not in ("127.0.0.1", "localhost")
    found = [message for message in run_checks(include_deployment_checks=is_public) if message.level >= WARNING]
    for message in found:
        yield failed(
            "settings", f"{message.id}: {message.msg}", mend=message.hint or "see Django's system check reference"
        )
    if is_public and not settings.PUBLIC_BASE_URL.startswith("https://"):
        yield failed("settings", "PUBLIC_BASE_URL is not https", mend="put a TLS proxy in front and write https://…")
    if not found:
        yield ok("settings", f"public at {settings.PUBLIC_BASE_URL}, media at {settings.MEDIA_BASE_URL}")


def check_database() -> Iterator[Finding]:
    began = time.perf_counter()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            version = cursor.fetchone()[0]
    except OperationalError as error:
        reason = " ".join(str(error).split())
        yield failed("database", reason, mend="start PostgreSQL, or correct DATABASE_URL")
        return
    yield ok("database", f"PostgreSQL {version} in {(time.perf_counter() - began) * 1000:.0f} ms")
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if waiting:
        yield failed("migrations", f"{len(waiting)} not applied, first {waiting[0][0]}", mend="run manage.py migrate")
    else:
        yield ok("migrations", "all applied")


def check_wall() -> Iterator[Finding]:
    """The second wall stands: whom this process works as, and whether every tenant-owned table is behind it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolname, rolname = session_user, rolsuper OR rolbypassrls FROM pg_roles"
            " WHERE rolname IN (session_user, current_user) ORDER BY 2"
        )
        *_, (login, _, is_mighty) = found = cursor.fetchall()
        tables = sorted(model._meta.db_table for model in apps.get_models() if issubclass(model, TenantModel))
        cursor.execute(
            "SELECT relname, relrowsecurity AND relforcerowsecurity, pg_has_role(current_user, relowner, 'USAGE') FROM pg_class"
            " WHERE relname = ANY(%s) AND relnamespace = current_schema()::regnamespace",
            [tables],
        )
        state = {table: (is_walled, is_owner) for table, is_walled, is_owner in cursor.fetchall()}
    mend = "set DATABASE_OWNER_URL to this login and DATABASE_URL to one of its own, then run manage.py database_roles"
    if not state:
        yield failed("second wall", "there are no tables", mend="run manage.py migrate")
    elif is_mighty or any(mighty for *_, mighty in found):
        yield failed("second wall", f"{login} is a superuser or goes around row-level security", mend=mend)
    elif any(is_owner for _, is_owner in state.values()):
        yield failed("second wall", f"{login} works as the owner of the tables", mend=mend)
    elif open_tables := [table for table in tables if table in state and not state[table][0]]:
        yield failed("second wall", f"no row-level security on {', '.join(open_tables)}", mend="run manage.py migrate")
    elif len(found) > 1:
        yield warning("second wall", f"stands, but {login} may step back up to the owner", mend=mend)
    else:
        yield ok("second wall", f"{login} sees one tenant's rows in {len(tables)} tables")


def check_redis() -> Iterator[Finding]:
    began = time.perf_counter()
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=PING_SECONDS) as client:
            client.ping()
    except redis.RedisError as error:
        yield failed("redis", str(error), mend="start Redis, or correct REDIS_URL")
        return
    yield ok("redis", f"answers in {(time.perf_counter() - began) * 1000:.0f} ms")
    began = time.perf_counter()
    try:
        async_to_sync(_echo)()
    except TimeoutError:
        yield failed("channel layer", "a message did not come back", mend="look at CHANNEL_LAYERS and Redis' memory")
    else:
        yield ok("channel layer", f"round trip in {(time.perf_counter() - began) * 1000:.0f} ms")


def check_workers() -> Iterator[Finding]:
    """At least one worker answers: without one, costs, recordings and totals stay undone."""
    try:
        answers = app.control.ping(timeout=PING_SECONDS)
    except Exception as error:  # kombu's transports raise errors of many families
        yield failed("worker", f"{type(error).__name__}: {error}", mend="start Redis, or correct REDIS_URL")
        return
    if answers:
        yield ok("worker", f"{len(answers)} answering")
    else:
        yield failed("worker", "none answers", mend="run celery -A config worker, and celery -A config beat once")


async def _echo() -> None:
    """Raises TimeoutError when the message does not come back."""
    layer = get_channel_layer()
    async with asyncio.timeout(PING_SECONDS):
        name = await layer.new_channel()
        await layer.send(name, {"type": "doctor.echo"})
        await layer.receive(name)

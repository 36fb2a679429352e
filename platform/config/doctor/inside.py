"""The hops on our side: settings, database, Redis, channel layer, workers. Reads and pings only; changes nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import redis
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.conf import settings
from django.core.checks import WARNING, run_checks
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from config.celery import app
from config.doctor.result import Finding, failed, ok

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

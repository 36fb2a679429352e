"""Health for balancers and restart policies: alive says the process turns, ready that it may be sent calls. Tells strangers nothing."""

from __future__ import annotations

import redis
import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse

from calls.services import processes

log = structlog.get_logger(__name__)

STORE_TIMEOUT_S = 1.0  # a balancer asks every few seconds; a store that is slower than this is not ready


def alive(request: HttpRequest) -> JsonResponse:
    """200 as long as this process answers at all; a restart would mend nothing else."""
    return JsonResponse({"status": "alive"})


def ready(request: HttpRequest) -> JsonResponse:
    """200 when new calls may come here: both stores answer and the process is not stopping; else 503 with what is missing."""
    checks = {"database": _database_answers(), "redis": _redis_answers(), "taking_calls": not processes.is_stopping()}
    is_ready = all(checks.values())
    return JsonResponse({"status": "ready" if is_ready else "not ready", **checks}, status=200 if is_ready else 503)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone() == (1,))
    except DatabaseError as error:
        log.warning("not_ready", store="database", error=type(error).__name__)
        return False


def _redis_answers() -> bool:
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=STORE_TIMEOUT_S, socket_connect_timeout=STORE_TIMEOUT_S
        ) as client:
            return bool(client.ping())
    except redis.RedisError as error:
        log.warning("not_ready", store="redis", error=type(error).__name__)
        return False

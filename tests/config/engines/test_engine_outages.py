"""The outages that fault tests use are real, end, and touch nobody else."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import psycopg
import pytest
import redis
from django.db import OperationalError, connection

from config.engines.urls import EnginePlan
from tests.engines_plugin import OwnRedis


def test_an_outage_cuts_this_database_and_ends(
    database_outage: Callable[[], AbstractContextManager[None]], engines: EnginePlan
) -> None:
    host = str(engines.places.sockets)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    with database_outage():
        with pytest.raises(OperationalError), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
            psycopg.connect(host=host, user="switchboard", dbname=str(connection.settings_dict["NAME"]))
        with psycopg.connect(host=host, user="switchboard", dbname="switchboard") as other:
            assert other.execute("SELECT 1").fetchone() == (1,)
    connection.close()
    connection.close_pool()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_a_redis_of_ones_own_stops_hangs_and_comes_back_empty(own_redis: OwnRedis) -> None:
    with redis.Redis.from_url(own_redis.url, socket_timeout=0.3, retry=None) as client:
        client.set("nudge", "1")
        own_redis.pause()
        with pytest.raises(redis.TimeoutError):
            client.get("nudge")
        own_redis.resume()
        assert client.get("nudge") == b"1"
        own_redis.stop()
        with pytest.raises(redis.ConnectionError):
            client.get("nudge")
        own_redis.start()
        assert client.get("nudge") is None


def test_the_first_query_after_an_outage_succeeds_because_the_pool_looks_before_it_lends(
    database_outage: Callable[[], AbstractContextManager[None]],
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    connection.close()  # back to the pool, where the outage finds it
    with database_outage():
        pass
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)

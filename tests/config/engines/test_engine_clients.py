"""Every client library reaches the embedded engines through the addresses that settings give it."""

import asyncio

import kombu
import pytest
import redis
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.db import connection

from config.engines import urls


@pytest.mark.django_db
def test_database_is_postgres_in_utf8_and_utc() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding'), "
            "current_setting('TimeZone'), rolsuper FROM pg_roles WHERE rolname = current_user"
        )
        assert cursor.fetchone() == (18, "UTF8", "UTC", False)


def test_redis_py_speaks_to_the_database_of_this_worker(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("caller", "heard")
        assert client.get("caller") == b"heard"
        assert client.client_info()["db"] == int(redis_url.rpartition("=")[2])


async def test_channel_layer_carries_a_group_message(redis_url: str) -> None:
    layer = RedisPubSubChannelLayer(hosts=[redis_url])
    channel = await layer.new_channel()
    await layer.group_add("tenant.1", channel)
    await layer.group_send("tenant.1", {"type": "call.started"})
    assert await asyncio.wait_for(layer.receive(channel), timeout=5) == {"type": "call.started"}
    await layer.flush()


@pytest.mark.parametrize("db", [0, 60])
def test_celerys_transport_queues_in_the_database_it_was_given(redis_url: str, db: int) -> None:
    address = urls.with_redis_db(redis_url, db=db)
    with redis.Redis.from_url(address) as client:
        client.delete("steps")
        with kombu.Connection(urls.celery_broker_url(address)) as broker, broker.SimpleQueue("steps") as queue:
            queue.put({"step": "cost"})
            assert client.llen("steps") == 1
            message = queue.get(timeout=5)
            message.ack()
        assert message.payload == {"step": "cost"}
        client.delete("steps")

"""Fixtures that start the tests' PostgreSQL and Redis when the first test needs one; pure tests never wait for them.

- `db`, `transactional_db`, `@pytest.mark.django_db(transaction=True)`: pytest-django's own, one database per xdist worker.
- `redis_url`: a Redis database of this worker, emptied before each test, in the form `redis.Redis.from_url` and channels_redis read;
  `config.engines.urls.celery_broker_url(redis_url)` is Celery's spelling. `settings.REDIS_URL` is the same address.
- `engines`: the plan, for tests that start processes of their own (they inherit the environment and share the engines).
"""

import pytest
import redis
from django.conf import settings

from config.engines.attach import attach_engines
from config.engines.urls import EnginePlan


@pytest.fixture(scope="session")
def engines() -> EnginePlan:
    plan: EnginePlan = settings.ENGINES
    attach_engines(plan)
    return plan


@pytest.fixture(scope="session")
def django_db_modify_db_settings(engines: EnginePlan, django_db_modify_db_settings_parallel_suffix: None) -> None:
    """pytest-django's hook before the first connection (django_db_setup asks for it)."""


@pytest.fixture
def redis_url(engines: EnginePlan) -> str:
    url: str = settings.REDIS_URL
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url

"""Fixtures that start the tests' PostgreSQL and Redis when the first test needs one; pure tests never wait for them.

- `db`, `transactional_db`, `@pytest.mark.django_db(transaction=True)`: pytest-django's own, one database per xdist worker.
- `redis_url`: a Redis database of this worker, emptied before each test, in the form `redis.Redis.from_url` and channels_redis read;
  `config.engines.urls.celery_broker_url(redis_url)` is Celery's spelling. `settings.REDIS_URL` is the same address.
- `engines`: the plan, for tests that start processes of their own (they inherit the environment and share the engines).
- `database_outage`: `with database_outage():` cuts every session of this worker's database and refuses new ones; other workers go on.
- `own_redis`: a Redis of this test alone with `.url`, `.stop()`, `.start()` (comes back empty), `.pause()`, `.resume()`.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest
import redis
from django.conf import settings
from django.db import connections
from psycopg import sql

from config.deathsignal import end_with_parent
from config.engines.accounts import Owner, make_private_dir
from config.engines.attach import attach_engines
from config.engines.places import Places
from config.engines.programs import find_redis
from config.engines.redis import Redis
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


@pytest.fixture
def database_outage(
    engines: EnginePlan, transactional_db: None
) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    if not engines.wants_postgres:
        pytest.skip("an outage needs the rights of a superuser, and DATABASE_URL names somebody else's server")
    name = str(connections["default"].settings_dict["NAME"])

    def allow(answer: bool) -> sql.Composed:
        return sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(sql.Identifier(name), sql.Literal(answer))

    @contextmanager
    def outage() -> Iterator[None]:
        with psycopg.connect(
            host=str(engines.places.sockets), user="postgres", dbname="postgres", autocommit=True
        ) as superuser:
            superuser.execute(allow(False))
            try:
                superuser.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name]
                )
                yield
            finally:
                superuser.execute(allow(True))

    yield outage
    for connection in connections.all():
        connection.close()  # a session that was cut is no use to pytest-django's clean-up
        if hasattr(connection, "close_pool"):
            connection.close_pool()


class OwnRedis:
    """A server of one test: it may be killed without anybody else noticing."""

    def __init__(self, engine: Redis) -> None:
        self._engine = engine
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{engine.places.redis_socket}?db=0"

    def start(self) -> None:
        self._engine.prepare()
        with self._engine.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._engine.command, stdout=log, stderr=log, preexec_fn=end_with_parent(signal.SIGKILL)
            )
        deadline = time.monotonic() + 10
        while not self._engine.is_answering():
            assert time.monotonic() < deadline, self._engine.log.read_text()
            time.sleep(0.01)  # polls a socket that is about to appear

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()  # also ends one that is paused
            self._process.wait(10)
            self._process = None
            self._engine.places.redis_socket.unlink(missing_ok=True)

    def pause(self) -> None:
        """It hangs: connections stay open and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@pytest.fixture
def own_redis() -> Iterator[OwnRedis]:
    folder = Path(tempfile.mkdtemp(prefix="redis-"))  # not tmp_path: a socket's path must be short
    places = Places(data_dir=folder, home=folder)
    owner = Owner(os.geteuid(), os.getegid())
    places.logs.mkdir()
    make_private_dir(places.sockets, owner=owner)
    server = OwnRedis(Redis(places=places, owner=owner, program=find_redis(owner, copies=places.binaries)))
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)

"""Addresses of the database and of Redis, external or embedded, for settings; reads the environment and starts nothing.

In settings.py::

    ENGINES = urls.read_plan(env, BASE_DIR)
    DATABASES = {"default": {**urls.database_settings(env, BASE_DIR), "CONN_MAX_AGE": 0, …}}
    REDIS_URL = urls.redis_url(env, BASE_DIR)                       # redis-py, channels_redis
    CELERY_BROKER_URL = urls.celery_broker_url(REDIS_URL)           # kombu spells Unix sockets its own way
"""

import builtins
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from config.engines.places import POSTGRES_PORT, Places, find_places

DATABASE_NAME = "switchboard"
DATABASE_OWNER = "switchboard"
DATABASE_APP = (
    "switchboard_app"  # tenants.wall.APP_ROLE; written twice, because these modules import nothing of Django (tested)
)
ENGINE = "config.postgres"


class Environment(Protocol):
    """The part of `environ.Env` (django-environ, which ships no types) that is used here."""

    def str(self, var: builtins.str, default: builtins.str = ...) -> builtins.str: ...
    def int(self, var: builtins.str, default: builtins.int = ...) -> builtins.int: ...
    def bool(self, var: builtins.str, default: builtins.bool = ...) -> builtins.bool: ...
    def db_url_config(self, url: builtins.str) -> dict[builtins.str, object]: ...


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """Which engines are ours to start, and where; `settings.ENGINES` holds the one of this process."""

    places: Places
    wants_postgres: bool
    wants_redis: bool
    is_throwaway: bool  # a test instance: speed before durability

    @property
    def is_needed(self) -> bool:
        return self.wants_postgres or self.wants_redis


def find_data_dir(env: Environment, base_dir: Path) -> Path:
    return base_dir / env.str("SWITCHBOARD_DATA_DIR", default=".data")


def read_plan(env: Environment, base_dir: Path) -> EnginePlan:
    return EnginePlan(
        places=find_places(find_data_dir(env, base_dir)),
        wants_postgres=not env.str("DATABASE_URL", default=""),
        wants_redis=not env.str("REDIS_URL", default=""),
        is_throwaway=env.bool("SWITCHBOARD_ENGINES_THROWAWAY", default=False),
    )


def database_settings(env: Environment, base_dir: Path) -> dict[str, object]:
    """The connection part of Django's DATABASES["default"]: engine, name, user, password, host, port, options; OWNER, who migrates.

    Without DATABASE_OWNER_URL the one external login does both, and steps down to the application's role (config.postgres).
    """
    external = env.str("DATABASE_URL", default="")
    if external:
        owner_url = env.str("DATABASE_OWNER_URL", default="")
        owner = env.db_url_config(owner_url) if owner_url else {}
        login = {key: owner[key] for key in ("USER", "PASSWORD", "HOST", "PORT") if key in owner}
        return {**env.db_url_config(external), "ENGINE": ENGINE, "OWNER": login}
    return {
        "ENGINE": ENGINE,
        "NAME": DATABASE_NAME,
        "USER": DATABASE_APP,
        # libpq: a host that begins with a slash is the directory of a Unix socket.
        "HOST": str(find_places(find_data_dir(env, base_dir)).sockets),
        "PORT": str(POSTGRES_PORT),
        # Who may enter the sockets' directory may be anybody (_HBA): the cluster's superuser makes the roles.
        "OWNER": {"USER": DATABASE_OWNER, "ROLE_MAKER": "postgres"},
    }


def redis_url(env: Environment, base_dir: Path) -> str:
    """In the form that redis-py and channels_redis read."""
    external = env.str("REDIS_URL", default="")
    if external:
        return external
    socket = find_places(find_data_dir(env, base_dir)).redis_socket
    return f"unix://{quote(str(socket))}?db={env.int('SWITCHBOARD_REDIS_DB', default=0)}"


def celery_broker_url(redis_url: str) -> str:
    """The same Redis as kombu spells it; redis:// passes through, rediss:// says that certificates are checked."""
    parts = urlsplit(redis_url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "unix":
        # kombu.transport.redis: "redis+socket:///path?virtual_host=N" selects the database of a Unix socket.
        return f"redis+socket://{parts.path}?{urlencode({'virtual_host': query.get('db', '0')})}"
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in query:
        # celery.backends.redis refuses a rediss:// URL that leaves it open.
        return urlunsplit(parts._replace(query=urlencode({**query, "ssl_cert_reqs": "required"})))
    return redis_url


def with_redis_db(redis_url: str, *, db: int) -> str:
    """The same server, another of its databases: how parallel test workers keep out of each other's keys."""
    parts = urlsplit(redis_url)
    if parts.scheme == "unix":
        # By hand: urlunsplit drops the empty authority ("unix:/path"), and redis-py insists on "unix://".
        return f"unix://{parts.path}?{urlencode({**dict(parse_qsl(parts.query)), 'db': str(db)})}"
    return urlunsplit(parts._replace(path=f"/{db}"))


def redis_socket_path(redis_url: str) -> Path | None:
    parts = urlsplit(redis_url)
    return Path(unquote(parts.path)) if parts.scheme == "unix" else None

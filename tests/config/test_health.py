"""Liveness and readiness as a balancer sees them."""

import pytest
from django.db import DatabaseError
from django.test import Client
from pytest_django.fixtures import Settings

from calls.services import processes
from config import health


def test_alive_needs_no_store(client: Client) -> None:
    assert client.get("/healthz").status_code == 200


@pytest.mark.django_db
def test_ready_when_both_stores_answer(client: Client, redis_url: str) -> None:
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"status": "ready", "database": True, "redis": True, "taking_calls": True}


@pytest.mark.django_db
def test_a_stopping_process_is_not_ready_but_alive(client: Client, redis_url: str) -> None:
    processes.adopt(processes.current_id(), "leaving", is_stopping=lambda: True)
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


@pytest.mark.django_db
def test_not_ready_without_redis(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["redis"] is False


def test_not_ready_without_a_database(client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def cursor(self) -> None:
            raise DatabaseError("gone")

    monkeypatch.setattr(health, "connection", Away())
    response = client.get("/readyz")
    assert (response.status_code, response.json()["database"]) == (503, False)

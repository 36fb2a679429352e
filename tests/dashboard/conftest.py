"""The cast of the screens' tests: Alice owns a business, Charlie owns another one and is a stranger to hers."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from django.test import Client
from pytest_django import Settings

from tenants.models import Tenant, User
from tests.dashboard.scenes import make_member
from tests.factories import make_tenant


class Cast(NamedTuple):
    tenant: Tenant
    alice: User
    charlie: User


@pytest.fixture
def fast_passwords(settings: Settings) -> None:
    """The real hasher takes a third of a second for each member of the cast, on purpose."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def cast(db: None, fast_passwords: None) -> Cast:
    tenant = make_tenant("acme", name="Acme Dental", timezone="Europe/Amsterdam")
    other = make_tenant("rival", name="Rival Salon", timezone="Asia/Tokyo")
    return Cast(tenant, make_member(tenant, "alice@example.com"), make_member(other, "charlie@example.com"))


@pytest.fixture
def alice(cast: Cast, client: Client) -> Client:
    client.force_login(cast.alice)
    return client


@pytest.fixture(autouse=True)
def private_storage(settings: Settings, tmp_path: Path) -> Path:
    """Sounds of a test go where nobody keeps them."""
    settings.MEDIA_ROOT = str(tmp_path / "storage")
    return tmp_path / "storage"

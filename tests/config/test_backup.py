"""A backup restored elsewhere is the same house: rows, secrets and recordings (round trip through real servers)."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from django.conf import settings

ROOT: Path = settings.BASE_DIR
KEY = "the same key on both sides, long enough to be one"
SEED = """
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from agents.services import save_secret
from tenants.scope import tenant_scope
from tenants.services import save_tenant
with tenant_scope(save_tenant("alice", name="Alice", timezone="UTC")):
    save_secret("key", value="correct horse")
default_storage.save("recordings/a.wav", ContentFile(b"RIFF"))
"""
LOOK = """
import json
from agents.models import Secret
from calls.models import Rate
from django.core.files.storage import default_storage
from tenants.models import Tenant
from tenants.scope import tenant_scope
with tenant_scope(Tenant.objects.get(slug="alice")):
    secret = Secret.objects.get(name="key").value
print(json.dumps([secret, default_storage.open("recordings/a.wav").read().decode(), Rate.objects.count()]))
"""


class House:
    """A product of its own: own data directory, own embedded servers, that stop with the last command."""

    def __init__(self, folder: Path, *, secret_key: str = KEY) -> None:
        self.environment = {
            **os.environ,
            "SWITCHBOARD_DATA_DIR": str(folder),
            "SECRET_KEY": secret_key,
            "SWITCHBOARD_ENGINES_THROWAWAY": "1",
            "SWITCHBOARD_REDIS_DB": "0",
        }

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=False)

    def run(self, *arguments: str) -> str:
        done = self.manage(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    house = House(tmp_path_factory.mktemp("first") / "data")
    target = tmp_path_factory.mktemp("shelf") / "backup.tar"
    house.run("migrate", "-v0")
    house.run("shell", "-v0", "-c", SEED)
    house.run("backup", str(target))
    return target


def test_a_backup_restores_rows_secrets_and_recordings(backup: Path, tmp_path: Path) -> None:
    house = House(tmp_path / "data")
    house.run("restore", str(backup))

    secret, sound, rates = json.loads(house.run("shell", "-v0", "-c", LOOK))
    assert (secret, sound) == ("correct horse", "RIFF")
    assert rates > 0

    again = house.manage("restore", str(backup))
    assert again.returncode == 1
    assert "the database is not empty" in again.stderr


def test_a_backup_holds_no_key_and_is_for_its_owner_alone(backup: Path) -> None:
    assert backup.stat().st_mode & 0o077 == 0
    with tarfile.open(backup) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        assert "long enough" not in manifest.read().decode()
    assert b"correct horse" not in backup.read_bytes()


def test_a_backup_whose_secrets_cannot_be_opened_is_refused_before_anything_is_written(
    backup: Path, tmp_path: Path
) -> None:
    house = House(tmp_path / "data", secret_key="another key altogether, equally long as the first")
    refused = house.manage("restore", str(backup))

    assert refused.returncode == 1
    assert "ENCRYPTION_KEYS" in refused.stderr
    house.environment["SECRET_KEY"] = KEY
    house.run("restore", str(backup))

"""A backup restored elsewhere is the same house: rows, secrets and recordings (round trip through real servers)."""

import contextlib
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
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


HOLD = """
import sys
from config.engines.attach import attach_engines
attach_engines()
sys.stdin.read()
"""


class House:
    """A product of its own: own data directory, own embedded servers. A client holds them from the first command to `close`,
    because a throwaway instance goes with its last client."""

    def __init__(self, folder: Path) -> None:
        self.environment = {
            **os.environ,
            "SWITCHBOARD_DATA_DIR": str(folder),
            "SECRET_KEY": KEY,
            "SWITCHBOARD_ENGINES_THROWAWAY": "1",
            "SWITCHBOARD_REDIS_DB": "0",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "platform")]),
        }
        self._holder = subprocess.Popen([sys.executable, "-c", HOLD], env=self.environment, stdin=subprocess.PIPE)

    def close(self) -> None:
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait(timeout=30)

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=False)

    def run(self, *arguments: str) -> str:
        done = self.manage(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("shelf") / "backup.tar"
    with contextlib.closing(House(tmp_path_factory.mktemp("first") / "data")) as house:
        house.run("migrate", "-v0")
        house.run("shell", "-v0", "-c", SEED)
        house.run("backup", str(target))
    return target


@pytest.fixture
def other(tmp_path: Path) -> Iterator[House]:
    """Another machine: an empty database, the same keys."""
    with contextlib.closing(House(tmp_path / "data")) as house:
        yield house


def test_a_backup_restores_rows_secrets_and_recordings(backup: Path, other: House) -> None:
    other.run("restore", str(backup))

    secret, sound, rates = json.loads(other.run("shell", "-v0", "-c", LOOK))
    assert (secret, sound) == ("correct horse", "RIFF")
    assert rates > 0

    again = other.manage("restore", str(backup))
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
    backup: Path, other: House
) -> None:
    other.environment["SECRET_KEY"] = "another key altogether, equally long as the first"
    refused = other.manage("restore", str(backup))

    assert refused.returncode == 1
    assert "ENCRYPTION_KEYS" in refused.stderr
    other.environment["SECRET_KEY"] = KEY
    other.run("restore", str(backup))

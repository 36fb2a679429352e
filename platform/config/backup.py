"""One file that holds everything the product must not lose: the database and the stored recordings. Keys are never in it.

A plain tar: manifest.json, database.dump (PostgreSQL's custom format), storage/…. Made and read by the programs of the embedded
engine's wheel, which also speak with an external server.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.db import DEFAULT_DB_ALIAS, connection, connections

from config.engines.programs import find_client
from config.postgres.base import DatabaseWrapper
from config.postgres.roles import RolesError, grant_tables, prepare_roles

FORMAT = 1
DATABASE = "database.dump"
MANIFEST = "manifest.json"
STORAGE = "storage"


class BackupError(Exception):
    """What could not be saved or restored, and the mend. Nothing was half-written."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the file says of itself. `keys` tells, without revealing them, which encryption keys open its secrets."""

    format: int
    made_at: str
    keys: list[str]
    recordings: int


def save(target: Path) -> Manifest:
    """Write the backup; the file appears whole or not at all. Raises BackupError."""
    if target.exists():
        raise BackupError(f"{target} exists: name another file")
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        dump = Path(folder) / DATABASE
        # As the owner, for whom the wall's policies show every row; without the option pg_dump refuses to look through policies.
        with _as_owner() as database:
            _run(
                database,
                "pg_dump",
                "--format=custom",
                "--no-owner",
                "--no-privileges",
                "--enable-row-security",
                f"--file={dump}",
            )
        files = _stored_files()
        manifest = Manifest(FORMAT, datetime.now(tz=UTC).isoformat(), _fingerprints(), len(files))
        draft = Path(folder) / "draft.tar"
        with tarfile.open(draft, "w") as tar:
            _add_text(tar, MANIFEST, json.dumps(asdict(manifest)))
            tar.add(dump, DATABASE)
            for name, path in files.items():
                tar.add(path, f"{STORAGE}/{name}")
        draft.chmod(0o600)  # it holds what people said
        draft.rename(target)
    return manifest


def load(source: Path) -> Manifest:
    """Restore into an empty database and add the recordings. Raises BackupError before anything is written when it cannot."""
    if _has_tables():
        raise BackupError("the database is not empty: restore into a fresh one")
    with tempfile.TemporaryDirectory() as folder:
        try:
            with tarfile.open(source) as tar:
                tar.extractall(folder, filter="data")
            manifest = Manifest(**json.loads((Path(folder) / MANIFEST).read_text()))
        except (OSError, tarfile.TarError, ValueError, TypeError) as error:
            raise BackupError(f"{source} is no backup: {error}") from error
        if manifest.format != FORMAT:
            raise BackupError(f"{source} has format {manifest.format}; this version reads {FORMAT}")
        if not set(manifest.keys) & set(_fingerprints()):
            raise BackupError(
                "none of ENCRYPTION_KEYS opens this backup's secrets: set the keys (or SECRET_KEY) it was made with"
            )
        with _as_owner() as database:
            _run(
                database,
                "pg_restore",
                "--no-owner",
                "--no-privileges",
                "--exit-on-error",
                "--single-transaction",
                "--dbname={name}",
                str(Path(folder) / DATABASE),
            )
            grant_tables(database)
        stored = Path(folder) / STORAGE
        if stored.is_dir():
            shutil.copytree(stored, _storage_root(), dirs_exist_ok=True)
    return manifest


@contextmanager
def _as_owner() -> Iterator[DatabaseWrapper]:
    """With the roles that the policies in a dump name, and the owner's right to see every row. Raises BackupError."""
    database = connections[DEFAULT_DB_ALIAS]
    assert isinstance(database, DatabaseWrapper)  # noqa: S101 # the only engine there is
    with database.as_owner():
        try:
            prepare_roles(database)
        except RolesError as error:
            raise BackupError(str(error)) from error
        yield database


def _run(database: DatabaseWrapper, program: str, *arguments: str) -> None:
    """The programs take the connection from the environment: a password on a command line is everybody's."""
    login, name = database.owner_login, str(database.settings_dict["NAME"])
    environment = {
        **os.environ,
        "PGHOST": str(login["HOST"] or "localhost"),
        "PGPORT": str(login["PORT"] or 5432),
        "PGUSER": str(login["USER"]),
        "PGPASSWORD": str(login["PASSWORD"] or ""),
        "PGDATABASE": name,
    }
    command = [
        str(find_client(program)),
        *[argument.replace("{name}", name) for argument in arguments],
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 # our own command line
    if done.returncode:
        raise BackupError(f"{program}: {done.stderr.strip()[-2000:]}")


def _stored_files() -> dict[str, Path]:
    if not isinstance(storages["default"], FileSystemStorage):
        return {}  # a bucket has its own backups
    root = _storage_root()
    return {str(path.relative_to(root)): path for path in sorted(root.rglob("*")) if path.is_file()}


def _storage_root() -> Path:
    return Path(settings.MEDIA_ROOT)


def _fingerprints() -> list[str]:
    return [hashlib.sha256(f"backup:{key}".encode()).hexdigest()[:16] for key in settings.ENCRYPTION_KEYS]


def _has_tables() -> bool:
    return bool(connection.introspection.table_names())


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode()
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))

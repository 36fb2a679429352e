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
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.db import connection

from config.engines.programs import find_client

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
        _run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={dump}")
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
        _run(
            "pg_restore",
            "--no-owner",
            "--no-privileges",
            "--exit-on-error",
            "--single-transaction",
            "--dbname={name}",
            str(Path(folder) / DATABASE),
        )
        stored = Path(folder) / STORAGE
        if stored.is_dir():
            shutil.copytree(stored, _storage_root(), dirs_exist_ok=True)
    return manifest


def _run(program: str, *arguments: str) -> None:
    """The programs take the connection from the environment: a password on a command line is everybody's."""
    database: Mapping[str, Any] = connection.settings_dict
    environment = {
        **os.environ,
        "PGHOST": str(database["HOST"] or "localhost"),
        "PGPORT": str(database["PORT"] or 5432),
        "PGUSER": str(database["USER"]),
        "PGPASSWORD": str(database["PASSWORD"] or ""),
        "PGDATABASE": str(database["NAME"]),
    }
    command = [
        str(find_client(program)),
        *[argument.replace("{name}", str(database["NAME"])) for argument in arguments],
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

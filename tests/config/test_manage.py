"""The command line starts the engines for commands that use them, and for no others."""

import pytest

import manage


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

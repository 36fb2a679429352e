"""The targets that people and CI use are there and say what they do."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run_make(*arguments: str) -> str:
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments],  # noqa: S607 # the make of the machine is what is used
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return done.stdout


def test_help_explains_every_target_of_the_specification() -> None:
    explained = set(re.findall(r"^([a-z-]+) +\S", run_make("help"), re.M))
    assert explained >= {"help", "install", "lint", "test", "demo", "dev", "bench"}


@pytest.mark.parametrize("target", ["install", "lint", "format", "test", "demo", "dev", "bench", "clean"])
def test_every_target_has_a_recipe_that_make_understands(target: str) -> None:
    assert run_make("--dry-run", target)


def test_arguments_reach_the_tests() -> None:
    assert "pytest -n 2 tests/calls -k hang_up" in run_make("--dry-run", "test", "ARGS=tests/calls -k hang_up")


def test_a_sentence_with_quotes_and_dollars_reaches_the_demo_unharmed() -> None:
    sentence = """Where's my "$(order)" of $5?"""
    assert run_make("--eval", 'show:;@printf %s "$$SAY"', "show", f"SAY={sentence}") == sentence
    recipe = run_make("--dry-run", "demo", f"SAY={sentence}")
    assert '${SAY:+--say "$SAY"}' in recipe
    assert "order" not in recipe

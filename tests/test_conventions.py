"""The house's own rules that no linter knows, held as checks on the code itself."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from django.conf import settings

ROOT: Path = settings.BASE_DIR
ROOMS = ("platform", "tenants", "agents", "calls")
LONGEST_FILE = 400
POLL_SECONDS = 0.2  # rows and process tables tell nobody: a look now and then, below a deadline


def find_code(*rooms: str) -> list[Path]:
    folders = [ROOT / room for room in rooms or ROOMS]
    return [path for folder in folders for path in sorted(folder.rglob("*.py")) if "migrations" not in path.parts]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def test_no_file_is_longer_than_a_person_reads_at_once():
    too_long = {
        name_of(path): lines for path in find_code() if (lines := len(path.read_text().splitlines())) > LONGEST_FILE
    }

    assert too_long == {}


def test_every_module_says_what_it_is_for():
    silent = [name_of(path) for path in find_code() if path.stat().st_size and ast.get_docstring(parse(path)) is None]

    assert silent == []


def test_packages_hide_nothing_in_their_init():
    spoken = [
        name_of(path)
        for path in find_code()
        if path.name == "__init__.py" and path.stat().st_size and not name_of(path).endswith("/models/__init__.py")
    ]

    assert spoken == []


def test_the_environment_is_read_in_settings_alone():
    allowed = {"platform/config/settings.py"}
    writers = {
        name_of(path)
        for path in find_code()
        if re.search(r"os\.environ\[|os\.environ\.get|os\.getenv", path.read_text())
    }

    assert {name for name in writers if not name.startswith("platform/emulators/")} - allowed <= ENVIRONMENT_READERS


# Processes that are started with settings of their own hand the environment on.
ENVIRONMENT_READERS = {
    "platform/config/processes.py",
    "platform/config/engines/attach.py",
    "platform/config/engines/supervisor.py",
    "platform/config/management/commands/bench.py",
}


def test_models_hold_no_signals_and_no_side_effects():
    for path in find_code("tenants", "agents", "calls"):
        assert "django.db.models.signals" not in path.read_text(), name_of(path)


def test_the_ledger_knows_no_floats():
    for path in find_code("calls/ledger"):
        for node in ast.walk(parse(path)):
            is_float_call = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "float"
            is_money_literal = (
                isinstance(node, ast.Constant) and isinstance(node.value, float) and path.name != "cards.py"
            )
            assert not is_float_call, f"{name_of(path)}:{node.lineno}"
            assert not is_money_literal, f"{name_of(path)}:{node.lineno}"


def test_no_task_is_put_off_by_the_broker():
    """Redis redelivers what waits longer than its visibility timeout: rows with `due_at` wait instead (decision 9)."""
    for path in find_code():
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.keyword):
                assert node.arg not in ("countdown", "eta"), f"{name_of(path)}:{node.value.lineno}"


def imported_names(path: Path) -> Iterator[str]:
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_no_celery_canvas():
    """A chained task is sent after the scope has ended and loses its tenant (style: each step queues the next)."""
    for path in find_code():
        canvas = {f"celery.{name}" for name in ("chain", "group", "chord", "signature")} & set(imported_names(path))
        assert not canvas, name_of(path)


def test_templates_hold_no_inline_style_handler_or_unescaped_text():
    for path in sorted((ROOT / "templates").rglob("*.html")):
        text = path.read_text()
        for pattern in (
            r"\sstyle=",
            r"\son[a-z]+=",
            r"hx-on",
            r"\|\s*safe\b",
            r"autoescape off",
            r"https?://[^\"']*(cdn|unpkg|jsdelivr)",
        ):
            assert not re.search(pattern, text), f"{name_of(path)}: {pattern}"


def walk_own(function: ast.AST) -> Iterator[ast.AST]:
    """The function's own code, without the doubles it defines inside."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from walk_own(child)


def test_tests_wait_for_events_and_never_sleep():
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for function in ast.walk(parse(path)):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name.startswith("test_"):
                sleeps = [
                    node.lineno
                    for node in walk_own(function)
                    if isinstance(node, ast.Call)
                    and ast.unparse(node.func) in ("time.sleep", "asyncio.sleep")
                    and not (isinstance(node.args[0], ast.Constant) and node.args[0].value <= POLL_SECONDS)
                ]
                assert not sleeps, f"{name_of(path)}:{sleeps}"

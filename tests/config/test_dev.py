"""`manage.py dev` restarts the product when code changes, keeps the doubles, and leaves nothing behind."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from config import provision
from config.demo import stage
from config.management.commands import dev
from config.processes import Program, python, when_saying

WAIT = "import os, signal; print('up', os.getpid(), flush=True); signal.pause()"


class Told(io.StringIO):
    """What the command said; `react` is called with each line, from a thread beside the command's."""

    def __init__(self, react: Callable[[str], None]) -> None:
        super().__init__()
        self._react = react

    def write(self, text: str) -> int:
        if text.strip():
            threading.Timer(0.0, self._react, [text]).start()
        return super().write(text)


def program(name: str) -> Program:
    return Program(name=name, command=python("-c", WAIT), is_ready=when_saying("up"))


def test_a_change_restarts_the_product_and_not_the_doubles(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.BASE_DIR, settings.DATA_DIR = tmp_path, tmp_path / "data"
    code = tmp_path / "calls" / "code.py"
    code.parent.mkdir()
    code.write_text("one = 1\n")
    monkeypatch.setattr(dev, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(dev, "call_command", lambda *_, **__: None)
    monkeypatch.setattr(provision, "apply", lambda _: [])
    monkeypatch.setattr(stage, "doubles", lambda *_, **__: [program("vendor")])
    monkeypatch.setattr(stage, "product", lambda *_, **__: [program("product")])
    monkeypatch.setattr(os, "environ", os.environ.copy())
    pids: list[tuple[str, ...]] = []

    def read_pid(name: str) -> str:
        return (tmp_path / "data" / "logs" / f"{name}.log").read_text().split()[1]

    def react(line: str) -> None:
        if not line.startswith("Serving"):
            return
        pids.append((read_pid("vendor"), read_pid("product")))
        if len(pids) == 1:
            code.write_text("one = 2  # and a change of size\n")
        else:
            os.kill(os.getpid(), signal.SIGINT)

    out = Told(react)
    errors: Any = io.StringIO()
    call_command("dev", stdout=out, stderr=errors)
    said = [line for line in out.getvalue().splitlines() if not line.startswith("Serving")]
    assert said == ["Something changed: restarting.", "Stopped."]
    (vendor, first), (same_vendor, second) = pids
    assert vendor == same_vendor
    assert first != second
    assert not any(psutil.pid_exists(int(pid)) for pid in (vendor, first, second))

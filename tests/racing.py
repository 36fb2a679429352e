"""Two connections at once: the same work in two threads, started together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from django.db import connection

T = TypeVar("T")


def race(*runners: Callable[[], T]) -> list[T | Exception]:
    """Each runner's result or exception, in their order. Needs a test with real transactions."""
    start = threading.Barrier(len(runners))
    results: list[T | Exception] = [RuntimeError("did not run")] * len(runners)

    def run(index: int, runner: Callable[[], T]) -> None:
        try:
            connection.ensure_connection()
            start.wait(10)
            results[index] = runner()
        except Exception as error:  # the loser's refusal is what the test looks at
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=entry) for entry in enumerate(runners)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return results

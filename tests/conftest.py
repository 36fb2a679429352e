"""What every test may use."""

from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["tests.engines_plugin"]

# Tests whose peers keep wire time (20 ms frames, real sockets, processes, a browser): on a busy machine one of thousands may miss a
# deadline that has nothing to do with what it asserts. They get one more chance, which the summary counts. Pure code gets none.
REAL_TIME = (
    "agents/tools",
    "browser",
    "calls/transports",
    "calls/webhooks",
    "config",
    "dashboard",
    "emulators",
    "faults",
)
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        place = item.path.relative_to(_HERE).as_posix() if item.path.is_relative_to(_HERE) else ""
        if place.startswith(REAL_TIME):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(autouse=True)
def process_of_its_own(request: pytest.FixtureRequest) -> None:
    """The rows of this process and of the rate cards vanish with each test's database; the next test is a new process."""
    uses_rows = {"db", "transactional_db"} & set(request.fixturenames)
    if uses_rows or request.node.get_closest_marker("django_db"):
        from calls.ledger import cards  # Django is set up by now
        from calls.services import processes

        processes.start_anew()
        cards.forget_cards()


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    """A real hash costs half a second by design; tests that make people are not about that."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

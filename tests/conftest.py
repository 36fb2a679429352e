"""What every test may use."""

from typing import Any

import pytest

pytest_plugins = ["tests.engines_plugin"]


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

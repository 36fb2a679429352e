"""What every test may use."""

from typing import Any

import pytest

pytest_plugins = ["tests.engines_plugin"]


@pytest.fixture(autouse=True)
def process_of_its_own(request: pytest.FixtureRequest) -> None:
    """The row of this process vanishes with each test's database; the next test is a new process."""
    uses_rows = {"db", "transactional_db"} & set(request.fixturenames)
    if uses_rows or request.node.get_closest_marker("django_db"):
        from calls.services import processes  # Django is set up by now

        processes.start_anew()


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Any) -> None:
    """A real hash costs half a second by design; tests that make people are not about that."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

"""What every test may use."""

import pytest

pytest_plugins = ["tests.engines_plugin"]


@pytest.fixture(autouse=True)
def process_of_its_own(request: pytest.FixtureRequest) -> None:
    """The row of this process vanishes with each test's database; the next test is a new process."""
    if "db" in request.fixturenames or "transactional_db" in request.fixturenames:
        from calls.services import processes  # Django is set up by now

        processes.start_anew()

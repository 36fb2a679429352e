"""Makes and drops test databases; waits for a pool whose connections are still closing in threads of their own."""

from __future__ import annotations

from django.db.backends.postgresql.creation import DatabaseCreation as PostgresCreation
from django.db.utils import OperationalError

TRIES = 6  # the server itself waits 5 s for others to leave before it refuses


class DatabaseCreation(PostgresCreation):
    """Asks again while somebody is still connected."""

    def _destroy_test_db(self, test_database_name: str, verbosity: int) -> None:
        for tries_left in reversed(range(TRIES)):
            try:
                super()._destroy_test_db(test_database_name, verbosity)  # type: ignore[misc]  # the stubs leave it out
            except OperationalError:
                if not tries_left:
                    raise
            else:
                return

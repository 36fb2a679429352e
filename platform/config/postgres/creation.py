"""Makes and drops test databases; a pool's or a thread's last connection does not keep one alive."""

from __future__ import annotations

from django.db.backends.postgresql.creation import DatabaseCreation as PostgresCreation


class DatabaseCreation(PostgresCreation):
    """Drops with whoever is still connected: a pool of connections closes in threads of its own."""

    def _destroy_test_db(self, test_database_name: str, verbosity: int) -> None:
        name = self.connection.ops.quote_name(test_database_name)
        with self._nodb_cursor() as cursor:  # type: ignore[attr-defined]  # the stubs leave it out
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")

"""`manage.py flush`: Django's own, as the owner of the tables: emptying a table goes around row-level security, so only the owner may."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import flush
from django.db import connections

from config.postgres.base import DatabaseWrapper


class Command(flush.Command):
    """Django finds it first, because `config` stands in INSTALLED_APPS."""

    def handle(self, **options: Any) -> None:
        database = connections[options["database"]]
        assert isinstance(database, DatabaseWrapper)  # noqa: S101 # the only engine there is
        with database.as_owner():
            super().handle(**options)

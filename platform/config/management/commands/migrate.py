"""`manage.py migrate`: Django's own, as the owner of the tables, with the second wall's roles before and their grants after."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import connections

from config.postgres.base import DatabaseWrapper
from config.postgres.roles import RolesError, grant_tables, prepare_roles


class Command(migrate.Command):
    """Django finds it first, because `config` stands in INSTALLED_APPS."""

    def handle(self, *args: Any, **options: Any) -> None:
        database = connections[options["database"]]
        assert isinstance(database, DatabaseWrapper)  # noqa: S101 # the only engine there is
        with database.as_owner():
            try:
                prepare_roles(database)
            except RolesError as error:
                raise CommandError(str(error)) from error
            super().handle(*args, **options)
            grant_tables(database)

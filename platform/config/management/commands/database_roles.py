"""`manage.py database_roles`: makes the database's roles and grants, as the owner (DATABASE_OWNER_URL); `migrate` does the same unasked."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections

from config.postgres.base import DatabaseWrapper
from config.postgres.roles import RolesError, grant_tables, prepare_roles, set_password


class Command(BaseCommand):
    help = "Make the roles of the second wall, give the application's login the password of DATABASE_URL, grant it the tables."
    requires_system_checks: list[str] = []  # noqa: RUF012 # Django's own declaration; a check could need the roles

    def handle(self, *args: Any, **options: Any) -> None:
        database = connections[DEFAULT_DB_ALIAS]
        assert isinstance(database, DatabaseWrapper)  # noqa: S101 # the only engine there is
        with database.as_owner():
            try:
                done = prepare_roles(database)
            except RolesError as error:
                raise CommandError(str(error)) from error
            if set_password(database):
                done.append(f"password of {database.settings_dict['USER']} set as in DATABASE_URL")
            grant_tables(database)
        for line in done or ["all roles were there; tables granted"]:
            self.stdout.write(line)

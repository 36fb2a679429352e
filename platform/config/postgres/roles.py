"""Makes the roles that the second wall stands on, and grants them the tables; changes nothing that is right already.

Three roles: the owner migrates; the application's login works as `switchboard_app`, which owns nothing; `every_tenant` switches to
`switchboard_every`. A login of another name (DATABASE_URL) is made a member of `switchboard_app`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from config.postgres.base import DatabaseWrapper
from tenants.wall import APP_ROLE, EVERY_ROLE

OLDEST_SERVER = 16  # GRANT … WITH INHERIT
_ROLE_LOCK = 7_305_001  # roles belong to the whole server: test workers must not make them at once

_IS_ROLE = "SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = %s)"
_IS_MEMBER = """
SELECT EXISTS (SELECT 1 FROM pg_auth_members link JOIN pg_roles role ON role.oid = link.roleid JOIN pg_roles who ON who.oid = link.member
               WHERE role.rolname = %s AND who.rolname = %s AND link.inherit_option = %s AND link.set_option)
"""


class RolesError(Exception):
    """The roles are not there and cannot be made with the rights at hand; the message ends with what a superuser must run."""

    permanent = True


@dataclass(frozen=True, slots=True)
class _Wish:
    """Something that must be so: how to ask, and how to bring it about."""

    question: str
    values: tuple[object, ...]
    statement: sql.Composed

    def is_granted(self, cursor: Any) -> bool:
        cursor.execute(self.question, self.values)
        return bool(cursor.fetchone()[0])


def prepare_roles(database: DatabaseWrapper) -> list[str]:
    """Make what is missing. Returns what was run, without passwords. Raises RolesError. Call it inside `as_owner`."""
    with database.cursor() as cursor:
        version = database.get_database_version()[0]
        if version < OLDEST_SERVER:
            raise RolesError(f"PostgreSQL {version} is too old: the second wall needs {OLDEST_SERVER} or newer")
        wishes = _make_wishes(database, cursor)
        missing = [wish for wish in wishes if not wish.is_granted(cursor)]
    done: list[str] = []
    if missing:
        try:
            with _open_maker(database) as maker:
                maker.execute("SELECT pg_advisory_lock(%s)", [_ROLE_LOCK])
                for wish in missing:
                    if not wish.is_granted(maker):  # another worker may have been faster
                        maker.execute(wish.statement)
                        done.append(_show(wish.statement, maker))
        except psycopg.errors.InsufficientPrivilege as error:
            with database.cursor() as cursor:
                wanted = "".join(f"\n  {_show(wish.statement, cursor.cursor)};" for wish in missing)
            raise RolesError(f"{str(error).splitlines()[0]}. Let a superuser of the server run:{wanted}") from error
    return done


def set_password(database: DatabaseWrapper) -> bool:
    """Give the application's login the password of DATABASE_URL. False when it has none, or is the owner's own."""
    login, password = database.settings_dict["USER"], database.settings_dict["PASSWORD"]
    if not password or database.steps_down:
        return False
    with _open_maker(database) as maker:
        maker.execute(sql.SQL("ALTER ROLE {} ").format(sql.Identifier(login)) + _password(maker, login, password))
    return True


def grant_tables(database: DatabaseWrapper) -> None:
    """Rows yes, tables no: the application's roles may neither define, empty nor own them. Call it inside `as_owner`."""
    to = f"{APP_ROLE}, {EVERY_ROLE}"
    with database.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_schema())")
        schema = cursor.fetchone()[0]
        cursor.execute(f"GRANT USAGE ON SCHEMA {schema} TO {to}")
        cursor.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {to}")
        cursor.execute(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {to}")


def _make_wishes(database: DatabaseWrapper, cursor: Any) -> list[_Wish]:
    """In the order in which they can be fulfilled."""
    cursor.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user")
    owner, owner_is_superuser = cursor.fetchone()
    password = database.settings_dict["PASSWORD"]
    login = owner if database.steps_down else database.settings_dict["USER"]
    wishes = [_role(EVERY_ROLE)]
    if login != APP_ROLE:
        wishes.append(_role(APP_ROLE))
    wishes.append(_role(login, _password(cursor.cursor, login, password) if password else sql.SQL("")))
    # Not inherited: the application sees every tenant's rows only after it has said SET ROLE.
    wishes.append(_member(APP_ROLE, of=EVERY_ROLE, inherits=False))
    if not owner_is_superuser:  # who may do everything may also do this
        wishes.append(_member(owner, of=EVERY_ROLE, inherits=True))
    if login not in (owner, APP_ROLE):
        wishes.append(_member(login, of=APP_ROLE, inherits=True))
    elif login == owner and not owner_is_superuser:
        wishes.append(_member(owner, of=APP_ROLE, inherits=False))
    return wishes


def _role(name: str, password: sql.Composable | None = None) -> _Wish:
    kind = sql.SQL("NOLOGIN") if password is None else sql.SQL("LOGIN ") + password
    return _Wish(_IS_ROLE, (name,), sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(name), kind))


def _member(who: str, *, of: str, inherits: bool) -> _Wish:
    statement = sql.SQL("GRANT {} TO {} WITH INHERIT {}, SET TRUE").format(
        sql.Identifier(of), sql.Identifier(who), sql.SQL(str(inherits).upper())
    )
    return _Wish(_IS_MEMBER, (of, who, inherits), statement)


def _password(cursor: Any, login: str, password: str) -> sql.Composable:
    """Hashed on this side: what a server logs may be read by many."""
    hashed: bytes = cursor.connection.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256")
    return sql.SQL("PASSWORD {}").format(sql.Literal(hashed.decode()))


def _show(statement: sql.Composed, cursor: Any) -> str:
    return re.sub(r"PASSWORD '.*'", "PASSWORD '…'", statement.as_string(cursor)).strip()


@contextmanager
def _open_maker(database: DatabaseWrapper) -> Iterator[psycopg.Cursor[Any]]:
    """Somebody who may make roles: the superuser of the embedded server, else the owner."""
    login = database.owner_login
    maker = login.get("ROLE_MAKER")
    parameters = {
        "user": maker or login["USER"],
        "password": login["PASSWORD"],
        "host": login["HOST"],
        "port": login["PORT"],
        "dbname": "postgres" if maker else database.settings_dict["NAME"],
    }
    given = {key: value for key, value in parameters.items() if value}
    with psycopg.connect(**given, autocommit=True) as connection, connection.cursor() as cursor:
        yield cursor

"""Django's PostgreSQL backend with the second wall: each statement is preceded by the tenant in scope when that has changed.

Django loads `DatabaseWrapper` from here (settings.DATABASES, ENGINE "config.postgres"). Decides nothing: the scope does (tenants/scope.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base as postgresql
from django.db.backends.utils import CursorDebugWrapper, CursorWrapper
from django.db.transaction import TransactionManagementError

from config.postgres.creation import DatabaseCreation
from tenants.scope import EVERY, visible_rows
from tenants.wall import APP_ROLE, EVERY_ROLE, TENANT_SETTING

_UNKNOWN: Final = object()  # a rolled-back transaction takes back what was set inside it


class _Walled:
    """What both kinds of Django's cursors get: the connection is told the tenant before it is told the statement."""

    db: DatabaseWrapper
    cursor: Any

    def _execute(self, *args: Any) -> Any:
        self.db.show_tenant()
        return super()._execute(*args)  # type: ignore[misc]  # CursorWrapper's, next in line

    def _executemany(self, *args: Any) -> Any:
        self.db.show_tenant()
        return super()._executemany(*args)  # type: ignore[misc]

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        """psycopg's COPY, which Django passes through unseen."""
        self.db.show_tenant()
        return self.cursor.copy(*args, **kwargs)


class WalledCursor(_Walled, CursorWrapper):
    """For ordinary work."""


class WalledDebugCursor(_Walled, CursorDebugWrapper):
    """For work whose queries are counted; what the wall says is not among them (`DatabaseWrapper.tenant_switches` counts that)."""


class DatabaseWrapper(postgresql.DatabaseWrapper):
    """A connection that works as the application role, and as the owner of the tables only inside `as_owner`."""

    creation_class = DatabaseCreation

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tenant_switches = 0  # round trips that the wall cost this connection
        self._acts_as_owner = False
        self._shown: object = None  # what visible_rows() was when the server was last told

    # --- whose rows -----------------------------------------------------------------------------------------------

    def show_tenant(self) -> None:
        """Tell the server whose rows the next statement may see, in one round trip, and only when that has changed."""
        rows = visible_rows()
        if rows == self._shown or self._is_owner or self.needs_rollback:
            return
        with self.wrap_database_errors, self.connection.cursor() as cursor:
            cursor.execute(_say(rows, was=self._shown))
        self._shown = rows
        self.tenant_switches += 1

    def make_cursor(self, cursor: Any) -> CursorWrapper:
        return WalledCursor(cursor, self)

    def make_debug_cursor(self, cursor: Any) -> CursorDebugWrapper:
        return WalledDebugCursor(cursor, self)

    def _rollback(self) -> None:
        super()._rollback()  # type: ignore[misc]  # the stubs leave it out
        self._shown = _UNKNOWN

    def _savepoint_rollback(self, sid: str) -> None:
        super()._savepoint_rollback(sid)  # type: ignore[misc]
        self._shown = _UNKNOWN

    # --- as whom --------------------------------------------------------------------------------------------------

    @contextmanager
    def as_owner(self) -> Iterator[None]:
        """Work as the role that owns the tables, on a connection of its own: for migrations, flushes and dumps alone."""
        if self._acts_as_owner:
            yield
            return
        if self.in_atomic_block:
            raise TransactionManagementError("a transaction of the application cannot go on as the owner")
        self.close()
        self._acts_as_owner = True
        try:
            yield
        finally:
            self.close()
            self._acts_as_owner = False

    @property
    def owner_login(self) -> dict[str, Any]:
        """USER, PASSWORD, HOST, PORT of the owner: its own (DATABASE_OWNER_URL), or the only login there is."""
        own = {key: self.settings_dict[key] for key in ("USER", "PASSWORD", "HOST", "PORT")}
        return own | (self.settings_dict.get("OWNER") or {})

    @property
    def steps_down(self) -> bool:
        """One login for all: no DATABASE_OWNER_URL."""
        return bool(self.owner_login["USER"] == self.settings_dict["USER"])

    @property
    def _is_owner(self) -> bool:
        return (
            self._acts_as_owner or self.alias == NO_DB_ALIAS
        )  # Django makes and drops test databases through that one

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        if self._is_owner:
            login = self.owner_login
            for key, name in (("user", "USER"), ("password", "PASSWORD"), ("host", "HOST"), ("port", "PORT")):
                params.pop(key, None)
                if login[name]:
                    params[key] = login[name]
        elif self.steps_down:
            # It steps down at once, and RESET ROLE leads back to this role, not to the login.
            params["options"] = f"{params.get('options', '')} -c role={APP_ROLE}".strip()
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        self._shown = None  # a new one knows nobody, and the pool's were made to forget
        return connection

    @property
    def pool(self) -> Any:
        if self._acts_as_owner:
            return None
        options = self.settings_dict["OPTIONS"].get("pool")
        if isinstance(options, dict):
            options.setdefault("reset", forget_tenant)
        return super().pool


def forget_tenant(connection: psycopg.Connection[Any]) -> None:
    """What the pool does, in a thread of its own, with each connection that comes back."""
    connection.autocommit = True
    connection.execute(f"RESET ROLE; RESET {TENANT_SETTING}".encode())


def _say(rows: object, *, was: object) -> bytes:
    if rows == EVERY:
        return f"SET ROLE {EVERY_ROLE}".encode()
    tenant = "" if rows is None else str(uuid.UUID(str(rows)))
    back = "RESET ROLE; " if was in (EVERY, _UNKNOWN) else ""
    return f"{back}SET {TENANT_SETTING} = '{tenant}'".encode()

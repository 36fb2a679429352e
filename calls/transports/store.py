"""Writes facts into PostgreSQL on the calling thread's own connection: all of a batch, or all but the poisonous ones; idempotent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog
from django.db import DatabaseError, connection, transaction

from calls.transports.records import STATEMENTS, Fact, decode_fact, encode_fact, make_params
from calls.transports.spool import adopt_orphans, forget, read_lines
from tenants.scope import every_tenant

log = structlog.get_logger(__name__)

BATCH_FACTS = 500  # a transaction stays short, so that catching up does not hold locks

OnBatch = Callable[[Sequence[Fact]], None]
"""Called inside the batch's transaction with its facts; what it writes is committed with them or not at all."""


class Store:
    """Used by one thread at a time. `root` is where a refused fact is put aside."""

    def __init__(self, root: Path, *, on_batch: Sequence[OnBatch] = ()) -> None:
        self._root = root
        self._on_batch = tuple(on_batch)
        self.written = 0
        self.buried = 0

    def store(self, facts: list[Fact]) -> bool:
        """True when the facts are dealt with; False when the database is away."""
        if not facts:
            return True
        try:
            self._write(facts, self._on_batch)
        except DatabaseError as error:
            if _is_away(error):
                log.warning("records_wait_for_database", detail=str(error)[:200])
                connection.close()
                return False
            return self._store_singly(facts, error)
        except Exception as error:  # a hook's bug must not hold up the rest
            return self._store_singly(facts, error)
        self.written += len(facts)
        return True

    def _store_singly(self, facts: list[Fact], cause: Exception) -> bool:
        """One of them is poison: write the others, and put that one aside where a person finds it."""
        if len(facts) > 1:
            return all(self.store([fact]) for fact in facts)
        fact = facts[0]
        try:
            self._write(facts, hooks=())
        except DatabaseError as error:
            if _is_away(error):
                return False
            log.exception("record_refused", table=fact.table, call_id=str(fact.call), fact_id=str(fact.id))
        else:  # the fact is on record; what is made from it is made up for after the call (calls.aftermath.totals)
            log.error(
                "record_hook_failed", table=fact.table, call_id=str(fact.call), fact_id=str(fact.id), exc_info=cause
            )
            self.written += 1
            return True
        self.buried += 1
        with (self._root / "refused.jsonl").open("ab") as grave:
            grave.write(encode_fact(fact) + b"\n")
        return True

    def _write(self, facts: list[Fact], hooks: Sequence[OnBatch]) -> None:
        with (
            every_tenant(reason="a writer's batch holds records of several tenants, each row with its own"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            by_table: dict[str, list[dict[str, Any]]] = {}
            for fact in facts:
                by_table.setdefault(fact.table, []).append(make_params(fact))
            for table, rows in by_table.items():
                cursor.executemany(STATEMENTS[table], rows)
            for hook in hooks:
                hook(facts)

    def adopt(self) -> bool:
        """Write out what dead processes of this machine left. False when the database is away."""
        with adopt_orphans(self._root) as orphans:
            for path in orphans:
                facts = []
                for line in read_lines(path):
                    try:
                        facts.append(decode_fact(line))
                    except msgspec.DecodeError:
                        log.exception("journal_line_unreadable", spool=path.name)
                for start in range(0, len(facts), BATCH_FACTS):
                    if not self.store(facts[start : start + BATCH_FACTS]):
                        return False
                log.info("journal_adopted", spool=path.name, facts=len(facts))
                forget(path)
        return True


def _is_away(error: DatabaseError) -> bool:
    """Whether trying again later can help: the connection is gone, not the fact wrong (class 08, 57; no SQLSTATE at all)."""
    cause = error.__cause__
    sqlstate = getattr(cause, "sqlstate", None)
    return sqlstate is None or sqlstate[:2] in ("08", "53", "57", "40", "55", "25")

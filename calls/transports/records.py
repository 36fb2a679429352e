"""Facts of a live call as journal lines and as rows: what the session recorded, made fit for the database; opens nothing.

Every line can be written twice without harm: rows have ids made here, and either a key that ignores repeats or a revision that only grows
(decision 4).
"""

from __future__ import annotations

import base64
import uuid
from datetime import datetime
from typing import Any

import msgspec

from calls.session.commands import Command, RecordEvent, RecordToolRun, RecordTurn, RecordUsage
from tenants.ids import new_id


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the journal."""

    table: str  # turn, tool_run, event, usage, flight, greeting
    id: uuid.UUID
    tenant: uuid.UUID
    call: uuid.UUID
    at: datetime
    body: dict[str, Any]


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Fact] = msgspec.json.Decoder(Fact)

_TABLES: dict[type[Command], str] = {
    RecordTurn: "turn",
    RecordEvent: "event",
    RecordToolRun: "tool_run",
    RecordUsage: "usage",
}


def make_fact(command: Command, *, tenant: uuid.UUID, call: uuid.UUID, at: datetime) -> Fact:
    """A session's Record… command as a line."""
    body = msgspec.structs.asdict(command)
    table = _TABLES[type(command)]
    if table == "event":
        body["key"] = f"s:{body.pop('sequence')}"
    elif table == "tool_run":
        body["tool_call_id"] = body.pop("call_id")
    return Fact(table=table, id=new_id(), tenant=tenant, call=call, at=at, body=body)


def encode_fact(fact: Fact) -> bytes:
    return _encoder.encode(fact)


def decode_fact(line: bytes) -> Fact:
    """Raises msgspec.DecodeError for what is no fact."""
    return _decoder.decode(line)


def make_params(fact: Fact) -> dict[str, Any]:
    """The values of the fact's statement, as PostgreSQL takes them."""
    params = {key: _strip(value) for key, value in fact.body.items()}
    for name in ("usage", "data"):
        if name in params and not isinstance(params[name], str | None):
            params[name] = msgspec.json.encode(params[name]).decode()
    if fact.table == "flight":
        params["data"] = base64.b64decode(params["data"])
    return params | {"id": fact.id, "tenant": fact.tenant, "call": fact.call, "at": fact.at}


def _strip(value: Any) -> Any:
    """PostgreSQL's text knows no NUL; whoever sends one loses it, not the record."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, dict):
        return {_strip(key): _strip(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_strip(inner) for inner in value]
    return value


def _insert(table: str, columns: str, *, unique: str, timed: bool = False, grows: bool = False) -> str:
    names = columns.split()
    quoted = ", ".join(f'"{name}"' for name in (["at"] if timed else []) + names)
    values = ", ".join(f"%({name})s" for name in (["at"] if timed else []) + names)
    action = "DO NOTHING"
    if grows:
        sets = ", ".join(f'"{name}" = EXCLUDED."{name}"' for name in names if name != "sequence")
        action = f"DO UPDATE SET {sets} WHERE {table}.revision < EXCLUDED.revision"
    return (
        f"INSERT INTO {table} (id, tenant_id, call_id, {quoted}) "  # noqa: S608 # our own constants, no input
        f"VALUES (%(id)s, %(tenant)s, %(call)s, {values}) ON CONFLICT ({unique}) {action}"
    )


STATEMENTS: dict[str, str] = {
    "turn": _insert(
        "calls_turn",
        "sequence revision role status item_id previous_item_id response_id agent phase generated heard generated_ms heard_ms "
        "started_ms ended_ms model_latency_ms turn_latency_ms",
        unique="call_id, sequence",
        grows=True,
    ),
    "tool_run": _insert(
        "calls_toolrun",
        "sequence revision tool_call_id name agent arguments status output started_ms ended_ms",
        unique="call_id, sequence",
        grows=True,
    ),
    "event": _insert("calls_callevent", "key kind at_ms data", unique="call_id, key", timed=True),
    "usage": _insert(
        "calls_usagerecord",
        "sequence kind source_id model status at_ms usage estimated_audio_ms",
        unique="call_id, sequence",
    ),
    "flight": _insert("calls_flightchunk", "session sequence data", unique="call_id, session, sequence"),
    "greeting": "UPDATE calls_call SET greeting_latency_ms = %(ms)s WHERE id = %(call)s AND greeting_latency_ms IS NULL",
}

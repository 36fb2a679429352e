"""Writes the audit log: services call `note` inside their transaction, so that an act and its entry stand or fall together.

Who acts is set at the door (`acting`): the middleware for people, the back-office for staff. Without a door it is Switchboard itself.
Secrets never get in: encrypted fields are shown as set or unset.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from tenants.crypto import EncryptedTextField
from tenants.models.audit import AuditEntry

HIDDEN = "••••"
_ENCODER = DjangoJSONEncoder()


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts and from where. `kind` is a value of AuditEntry.ActorKind."""

    kind: str
    name: str
    id: uuid.UUID | None = None
    address: str | None = None
    user_agent: str = ""


SYSTEM = Actor(kind=AuditEntry.ActorKind.SYSTEM, name="Switchboard")
_actor: ContextVar[Actor] = ContextVar("audit_actor", default=SYSTEM)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Everything inside is done by this actor."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def current_actor() -> Actor:
    return _actor.get()


def note(
    action: str,
    target: models.Model,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    name: str = "",
) -> AuditEntry:
    """Record one act on a row, in the tenant in scope. `action` is like "number.released"; `before` and `after` come from `values_of`."""
    actor = _actor.get()
    entry = AuditEntry(
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name[:254],
        address=actor.address,
        user_agent=actor.user_agent[:300],
        action=action,
        target_type=target._meta.label_lower,
        target_id=str(target.pk),
        target_name=(name or str(target))[:254],
        before=_plain(before or {}),
        after=_plain(after or {}),
    )
    entry.save()
    return entry


def note_change(
    action: str, target: models.Model, *, before: Mapping[str, Any], fields: Iterable[str]
) -> AuditEntry | None:
    """Record what differs between `before` (`values_of` taken earlier) and the row as it is; nothing when nothing does."""
    after = values_of(target, fields)
    changed = [field for field in after if before.get(field) != after[field]]
    if not changed:
        return None
    return note(
        action,
        target,
        before={field: _shown(target, field, before.get(field)) for field in changed},
        after={field: _shown(target, field, after[field]) for field in changed},
    )


def values_of(row: models.Model, fields: Iterable[str]) -> dict[str, Any]:
    """The row's values by field name, for `note_change`. Holds secrets in clear: never log it."""
    return {field: getattr(row, row._meta.get_field(field).attname) for field in fields}  # type: ignore[union-attr]  # named fields are columns


def _shown(row: models.Model, field: str, value: Any) -> Any:
    if isinstance(row._meta.get_field(field), EncryptedTextField):
        return HIDDEN if value else ""
    return value


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON can hold; decimals, times and ids as text."""
    plain: dict[str, Any] = {}
    for key, value in values.items():
        plain[key] = value if isinstance(value, (str, int, float, bool, type(None), list, dict)) else _text(value)
    return plain


def _text(value: Any) -> str:
    try:
        return str(_ENCODER.default(value))
    except TypeError:
        return str(value)

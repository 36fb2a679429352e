"""Public ids: UUIDv7, made by us before a row exists, so that records can be written twice without harm; nothing else."""

from __future__ import annotations

import uuid

import uuid_utils


def new_id() -> uuid.UUID:
    """A fresh time-ordered id (RFC 9562 §5.7) of the standard library's type."""
    return uuid.UUID(int=uuid_utils.uuid7().int)

"""Secrets at rest: a text column encrypted with rotating keys, unreadable in logs and reprs; decrypts only on attribute access.

Keys come from settings.ENCRYPTION_KEYS, newest first (MultiFernet reads with any, writes with the first).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models


class DecryptionError(RuntimeError):
    """A stored secret fits none of the configured keys. Mend: put the key it was written with back into ENCRYPTION_KEYS."""


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])


def encrypt(text: str) -> str:
    """Encrypt with the newest key; empty stays empty."""
    return _fernet().encrypt(text.encode()).decode() if text else ""


def decrypt(token: str) -> str:
    """Decrypt with whichever key fits. Raises DecryptionError, which never holds the value."""
    if not token:
        return ""
    try:
        return _fernet().decrypt(token.encode()).decode()
    except InvalidToken:
        raise DecryptionError("a stored secret fits none of ENCRYPTION_KEYS") from None


if TYPE_CHECKING:
    _TextField = models.TextField[str, str]  # generic only in the stubs
else:
    _TextField = models.TextField


class EncryptedTextField(_TextField):
    """A TextField whose database value is encrypted; the attribute is plain text."""

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        return None if value is None else decrypt(value)

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return None if value is None else encrypt(value)

"""Finds credentials that somebody pasted where texts belong, and takes them out of what is shown and logged; stores nothing.

Only shapes that vendors give their credentials, so that ordinary words are never masked.
"""

from __future__ import annotations

import re
from typing import Any

MASK = "••••"
_CREDENTIAL = re.compile(
    r"""
      \bsk-[A-Za-z0-9_-]{16,}                                   # OpenAI and those who copied it
    | \b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}             # Stripe
    | \bAKIA[0-9A-Z]{16}\b                                      # AWS access key id
    | \bgh[pousr]_[A-Za-z0-9]{20,}                              # GitHub
    | \bxox[abprs]-[A-Za-z0-9-]{10,}                            # Slack
    | \bpat-(?:na1|eu1)-[0-9a-f-]{20,}                          # HubSpot
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}  # a JSON Web Token
    | (?<=Bearer\ )(?!\{secret:)[A-Za-z0-9._~+/=-]{12,}         # RFC 6750
    | (?<=Basic\ )(?!\{secret:)[A-Za-z0-9+/=]{12,}              # RFC 7617
    | -----BEGIN[A-Z ]*PRIVATE\ KEY-----[\s\S]*?(?:-----END[A-Z ]*PRIVATE\ KEY-----|\Z)
    """,
    re.VERBOSE,
)


def holds_credential(text: str) -> bool:
    return _CREDENTIAL.search(text) is not None


def mask_credentials(value: Any) -> Any:
    """The value with credentials replaced, in nested values too."""
    if isinstance(value, str):
        return _CREDENTIAL.sub(MASK, value)
    if isinstance(value, dict):
        return {key: mask_credentials(entry) for key, entry in value.items()}
    return [mask_credentials(entry) for entry in value] if isinstance(value, list | tuple) else value

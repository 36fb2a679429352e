"""The one error of this boundary: a vendor refused, or could not be reached. Never carries a secret."""

from __future__ import annotations


class GatewayError(Exception):
    """`permanent`: asking again with the same values will fail again. `code` is the vendor's word, or an HTTP status as text."""

    def __init__(self, message: str, *, permanent: bool, code: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.code = code
        self.status = status

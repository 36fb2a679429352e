"""What a wire says when the peer sent nonsense: one error, never a crash; it carries no payload, so it may be logged."""

from __future__ import annotations


class WireError(ValueError):
    """The peer sent something this wire does not understand. `permanent` is True: the same bytes would fail again."""

    permanent = True

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

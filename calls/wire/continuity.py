"""Keeps the model's input clock continuous: how much silence belongs before a frame or into a stall; pure, told the time.

The model's voice detection needs a continuous stream: if frames stop during speech, the end of speech is never detected
(openai-realtime.md §3.4, §7.1).
"""

from __future__ import annotations

MAX_GAP_MS = 10_000  # openai-realtime.md §7.1: insert silence for the gap, max 10 000 ms
STALL_AFTER_MS = 750  # §7.1: no media for 750 ms during speech…
STALL_FILL_MS = 1_000  # …send 1 000 ms of silence once, so that the turn can end
SMALL_GAP_MS = 5  # below one 20 ms frame by far: clocks that round to milliseconds are no gap


class InputClock:
    """Follows the carrier's presentation times of one stream."""

    def __init__(self) -> None:
        self._expected_ms: int | None = None
        self._filled_ms = 0

    def fill_before(self, timestamp_ms: int, *, duration_ms: int) -> int:
        """Call once a frame, in order. Milliseconds of silence due before it; what a stall was filled with counts as sent."""
        expected = self._expected_ms
        if timestamp_ms < 0:  # the carrier gave no time: take the stream as continuous
            self._expected_ms = None if expected is None else expected + duration_ms
            return 0
        self._expected_ms = timestamp_ms + duration_ms
        filled, self._filled_ms = self._filled_ms, 0
        if expected is None or timestamp_ms < expected:  # the first frame, or a restart: forget the clock (§7.1)
            return 0
        gap_ms = timestamp_ms - expected - filled
        return min(gap_ms, MAX_GAP_MS) if gap_ms >= SMALL_GAP_MS else 0

    def fill_stall(self) -> int:
        """Call when the stream stalled during speech. Milliseconds to send now; 0 when this stall was filled already."""
        if self._filled_ms or self._expected_ms is None:
            return 0
        self._filled_ms = STALL_FILL_MS
        return STALL_FILL_MS

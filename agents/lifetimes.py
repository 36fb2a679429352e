"""When the vendor switches models off, as dated data read on 21 Nov 2026; computes nothing. Sources: openai-realtime.md §3.6, §3.8."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

WARN_DAYS = 90  # a quarter: time to test a successor on real calls


class Shutdown(NamedTuple):
    """The last day announced, and what the vendor names instead."""

    on: date
    instead: str


MODEL_SHUTDOWNS: dict[str, Shutdown] = {
    "gpt-realtime": Shutdown(date(2027, 1, 20), "gpt-realtime-2.1"),
    "gpt-realtime-2025-08-28": Shutdown(date(2027, 1, 20), "gpt-realtime-2.1"),
    "gpt-realtime-mini": Shutdown(date(2027, 1, 20), "gpt-realtime-2.1-mini"),
    "gpt-realtime-mini-2025-10-06": Shutdown(date(2027, 1, 20), "gpt-realtime-2.1-mini"),
    "gpt-realtime-mini-2025-12-15": Shutdown(date(2027, 1, 20), "gpt-realtime-2.1-mini"),
}
TRANSCRIBER_SHUTDOWNS: dict[str, Shutdown] = {
    "gpt-4o-mini-transcribe": Shutdown(date(2027, 2, 26), "gpt-transcribe"),
    "gpt-4o-transcribe": Shutdown(date(2027, 2, 26), "gpt-transcribe"),
    "whisper-1": Shutdown(date(2027, 2, 26), "gpt-transcribe"),
}
# §3.6: these work in transcription sessions only, never in a conversation.
NOT_FOR_CONVERSATIONS = frozenset(("gpt-live-transcribe", "gpt-realtime-whisper"))
# §3.8: context window and largest output, in tokens.
CONTEXTS: dict[str, tuple[int, int]] = {
    "gpt-realtime-2.1": (128_000, 32_000),
    "gpt-realtime-2.1-mini": (128_000, 32_000),
    "gpt-realtime-2": (128_000, 32_000),
    "gpt-realtime-1.5": (32_000, 4_096),
    "gpt-realtime": (32_000, 4_096),
    "gpt-realtime-mini": (32_000, 4_096),
}

"""Counts tokens the way the service bills them: per 100 ms heard, per 50 ms spoken, with a cached prefix. Pure.

openai-realtime.md §5.1, §5.2 and §5.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from emulators.openai.wire import JsonObject

USER_MS_PER_TOKEN = 100  # §5.2
ASSISTANT_MS_PER_TOKEN = 50  # §5.2
_CHARS_PER_TEXT_TOKEN = 4  # a usual rule of thumb: the service's tokenizer is not in the double
ITEM_OVERHEAD_TOKENS = 3  # §5.2: "a few special tokens per item/response"
_CACHE_STEP_TOKENS = 64  # §5.4: observed granularity

# §8.1 names the efforts, not their size: these make a ledger see growing numbers.
_REASONING_TOKENS = {"minimal": 0, "low": 16, "medium": 64, "high": 192, "xhigh": 384}

# §3.6: which transcribers bill by tokens; the others by duration.
_TOKEN_TRANSCRIBERS = ("gpt-4o-transcribe", "gpt-4o-mini-transcribe")


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of a response's context. Two segments with the same key are the same bytes to the prompt cache."""

    key: str
    text_tokens: int
    audio_tokens: int = 0
    image_tokens: int = 0

    @property
    def tokens(self) -> int:
        return self.text_tokens + self.audio_tokens + self.image_tokens


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a response produced until now."""

    text: str
    audio_ms: float
    reasoning_tokens: int

    @property
    def text_tokens(self) -> int:
        return count_text_tokens(self.text) + self.reasoning_tokens  # §5.1: reasoning is a subset of text

    @property
    def audio_tokens(self) -> int:
        return math.ceil(self.audio_ms / ASSISTANT_MS_PER_TOKEN)

    @property
    def tokens(self) -> int:
        return self.text_tokens + self.audio_tokens


def count_text_tokens(text: str) -> int:
    return math.ceil(len(text) / _CHARS_PER_TEXT_TOKEN)


def count_user_audio_tokens(audio_ms: float) -> int:
    return math.ceil(audio_ms / USER_MS_PER_TOKEN)


def count_assistant_audio_tokens(audio_ms: float) -> int:
    return math.ceil(audio_ms / ASSISTANT_MS_PER_TOKEN)


def count_reasoning_tokens(effort: str | None) -> int:
    return _REASONING_TOKENS.get(effort or "", 0)


def count_cached(context: Sequence[Segment], *, earlier: Sequence[Segment]) -> Segment:
    """What the cache serves of the context: the common prefix with the last request, in steps of 64 tokens (§5.4)."""
    prefix: list[Segment] = []
    for now, before in zip(context, earlier, strict=False):
        if now != before:
            break
        prefix.append(now)
    left = sum(segment.tokens for segment in prefix) // _CACHE_STEP_TOKENS * _CACHE_STEP_TOKENS
    text = audio = image = 0
    for segment in prefix:
        taken = min(left, segment.text_tokens)
        text, left = text + taken, left - taken
        taken = min(left, segment.audio_tokens)
        audio, left = audio + taken, left - taken
        taken = min(left, segment.image_tokens)
        image, left = image + taken, left - taken
    return Segment("cached", text, audio, image)


def describe_usage(context: Sequence[Segment], *, earlier: Sequence[Segment], spoken: Spoken) -> JsonObject:
    cached = count_cached(context, earlier=earlier)
    input_tokens = sum(segment.tokens for segment in context)
    output_details: JsonObject = {"text_tokens": spoken.text_tokens, "audio_tokens": spoken.audio_tokens}
    if spoken.reasoning_tokens:
        output_details["reasoning_tokens"] = spoken.reasoning_tokens
    return {
        "total_tokens": input_tokens + spoken.tokens,
        "input_tokens": input_tokens,
        "output_tokens": spoken.tokens,
        "input_token_details": {
            "text_tokens": sum(segment.text_tokens for segment in context),
            "audio_tokens": sum(segment.audio_tokens for segment in context),
            "image_tokens": sum(segment.image_tokens for segment in context),
            "cached_tokens": cached.tokens,
            "cached_tokens_details": {
                "text_tokens": cached.text_tokens,
                "audio_tokens": cached.audio_tokens,
                "image_tokens": cached.image_tokens,
            },
        },
        "output_token_details": output_details,
    }


def describe_transcription_usage(model: str, *, audio_ms: float, text: str) -> JsonObject:
    if model.startswith(_TOKEN_TRANSCRIBERS):
        heard, written = count_user_audio_tokens(audio_ms), count_text_tokens(text)
        return {
            "type": "tokens",
            "total_tokens": heard + written,
            "input_tokens": heard,
            "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
            "output_tokens": written,
        }
    return {"type": "duration", "seconds": round(audio_ms / 1000, 2)}

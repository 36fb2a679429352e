"""Token counts as the service bills them (openai-realtime.md §5.1, §5.2, §5.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulators.openai.usage import (
    Segment,
    Spoken,
    count_cached,
    count_reasoning_tokens,
    describe_transcription_usage,
    describe_usage,
)

segments = st.builds(Segment, st.sampled_from("abc"), st.integers(0, 300), st.integers(0, 300))


def test_audio_counts_by_duration_and_text_by_length() -> None:
    spoken = Spoken("x" * 40, audio_ms=2000, reasoning_tokens=16)
    usage = describe_usage([Segment("instructions", 30), Segment("item", 3, 25)], earlier=[], spoken=spoken)
    assert usage == {
        "total_tokens": 58 + 66,
        "input_tokens": 58,
        "output_tokens": 66,
        "input_token_details": {
            "text_tokens": 33,
            "audio_tokens": 25,
            "image_tokens": 0,
            "cached_tokens": 0,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": 26, "audio_tokens": 40, "reasoning_tokens": 16},
    }


def test_the_cache_serves_the_common_prefix_in_steps_of_64() -> None:
    earlier = [Segment("instructions", 100), Segment("item_1#0", 3, 50), Segment("item_2#0", 10)]
    now = [Segment("instructions", 100), Segment("item_1#0", 3, 50), Segment("item_2#1", 10)]
    cached = count_cached(now, earlier=earlier)
    assert (cached.text_tokens, cached.audio_tokens) == (103, 25)  # 153 common tokens, 128 of them cached


@given(st.lists(segments, max_size=6), st.lists(segments, max_size=6))
def test_cached_tokens_are_inside_the_input(now: list[Segment], earlier: list[Segment]) -> None:
    usage = describe_usage(now, earlier=earlier, spoken=Spoken("", 0, 0))
    details = usage["input_token_details"]
    cached = details["cached_tokens_details"]
    assert details["cached_tokens"] % 64 == 0
    assert cached["text_tokens"] <= details["text_tokens"]
    assert cached["audio_tokens"] <= details["audio_tokens"]
    assert cached["text_tokens"] + cached["audio_tokens"] == details["cached_tokens"] <= usage["input_tokens"]


@pytest.mark.parametrize(
    ("model", "kind"), [("gpt-4o-mini-transcribe", "tokens"), ("gpt-4o-transcribe-diarize", "tokens")]
)
def test_some_transcribers_bill_tokens(model: str, kind: str) -> None:
    usage = describe_transcription_usage(model, audio_ms=3000, text="x" * 40)
    assert usage == {
        "type": kind,
        "total_tokens": 40,
        "input_tokens": 30,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 30},
        "output_tokens": 10,
    }


@pytest.mark.parametrize("model", ["whisper-1", "gpt-transcribe"])
def test_the_other_transcribers_bill_seconds(model: str) -> None:
    assert describe_transcription_usage(model, audio_ms=3204, text="x") == {"type": "duration", "seconds": 3.2}


def test_more_effort_is_more_tokens() -> None:
    efforts = ["minimal", "low", "medium", "high", "xhigh"]
    assert sorted(count_reasoning_tokens(effort) for effort in efforts) == [
        count_reasoning_tokens(effort) for effort in efforts
    ]
    assert count_reasoning_tokens(None) == 0

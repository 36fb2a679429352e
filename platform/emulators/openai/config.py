"""How the double behaves: timing, limits, and one switch for each thing the reference marks as unverified."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    handshake_ms: int = 80
    session_updated_ms: int = 30
    response_created_ms: int = 5  # in this window a cancel finds nothing and the response still comes (§6.3)
    first_delta_ms: int = 180  # from the request for a response to its first audio
    speech_factor: float = 8.0  # audio leaves this many times faster than it plays (§3.3: "much faster than real time")
    delta_ms: tuple[int, int] = (
        100,
        400,
    )  # each audio delta's length is drawn from this range (§7.1: "hundreds of ms occur")
    accept_ms: int = 20  # from the request to the answer; media follow
    transcription_ms: int = 250  # from `committed` to the caller's transcript


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """What openai-realtime.md marks as unverified or reported; tests that depend on one of these run it both ways."""

    invalid_key: Literal["http_401", "close_3000"] = "http_401"  # §1.2: both were seen
    unknown_model: Literal["error_then_close", "http_404"] = (
        "error_then_close"  # §4.8 and §6.2 (3000); the status is not stated
    )
    default_voice: str = "alloy"  # §3.2: the schema says alloy, examples show marin
    default_silence_ms: int = 500  # §3.4: documented 500, examples show 200
    merge_depth: Literal["nested", "shallow"] = "nested"  # §3.2 rule 1, §10.7
    refuse_same_voice: bool = False  # §3.2: "Resending the same voice: avoid"
    refuse_reasoning_on_plain_models: bool = True  # §3.2
    gpt_transcribe_in_voice_sessions: bool = True  # §3.6, §10.3
    truncate_at_zero: bool = True  # §4.5: "accepted in practice … reported mixed", §10.8
    item_id_max_chars: int = 32  # §4.3
    missing_item_code: str = "item_not_found"  # §4.8: "item_not_found-like", code text unverified
    phase_on_items: bool = True  # §10.12: phase also on conversation.item.*
    phase_on_every_message: bool = True  # §10.12: phase on a message that stands alone
    usage_on_failed: bool = False  # §5.1: usage may be null on failed
    rearm_idle_after_failure: bool = False  # §3.4
    instruction_tokens_max: int = 16384  # §6.1: documented for gpt-realtime, assumed for 2.x
    legacy_events: bool = False  # §4.2: conversation.created and conversation.item.created "may appear"
    sip_deltas_on_sideband: bool = False  # §4.2: whether a control socket gets the sound as well [unverified]
    rate_limit_names: tuple[str, ...] = ("tokens",)  # §4.2: "in practice only tokens seen"


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubleConfig:
    host: str = "127.0.0.1"
    port: int = 0  # 0 = any free port
    api_keys: tuple[str, ...] = ("sk-emulator",)
    timing: Timing = field(default_factory=Timing)
    switches: Switches = field(default_factory=Switches)
    session_seconds: float = 3600.0  # §6.1: 60 minutes, hard
    tokens_per_minute: int = 200_000  # §6.1: the lowest paid tier
    cache_dir: Path | None = None  # of the synthesiser; processes may share it
    unheard_text: str = ""  # transcript of audio that no registered clip explains
    recorded_audio_ms: int = 600_000  # caller audio kept per session for assertions
    remembered_sessions: int = 200
    project: str = ""  # the user part of the SIP address; empty: any (§1.3)
    webhook_url: str = ""  # where `realtime.call.incoming` goes; empty: nowhere
    webhook_secret: str = ""
    seed: int = 1  # of the delta lengths, so that a run can be repeated

"""What can be switched in the double: timings, limits and every point the reference leaves unverified. It holds no state."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class ChannelOrder(StrEnum):
    """Which voice is on channel 1 of a dual recording; the sources disagree (twilio.md §8.2)."""

    CALLER_FIRST = "caller-first"
    CALLED_FIRST = "called-first"


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubleConfig:
    host: str = "127.0.0.1"
    port: int = 0
    speed: float = 1.0  # 10.0: ten seconds of call in one second of wall clock; network limits stay in wall time
    strict: bool = True  # a TwiML schema warning (12200) fails the document instead of being ignored

    # The network between the double and the product's media socket, each way, in call time.
    network_delay_ms: float = 0.0

    apology: str = "We are sorry. An application error has occurred. Goodbye."  # what a failed document sounds like

    # Webhooks (twilio.md §3.2, §3.3), wall time.
    webhook_limit_s: float = 15.0
    retry_pause_s: float = 0.0  # between the tries of one webhook (§3.3 states none) [unverified]
    stream_connect_limit_s: float = 5.0  # Twilio publishes no handshake figure (§1.6) [unverified]
    close_handshake_limit_s: float = 2.0

    # Media Streams.
    stream_buffer_s: float = 30.0  # §1.5: the size is not published; the issue states 30 s
    clear_tail_ms: float = 0.0  # §1.5: audio past Twilio's buffer keeps playing briefly after `clear` [inferred]
    stream_sid_last: bool = False  # where `streamSid` stands in a `media` message; JSON readers must not care
    malformed_closes_stream: bool = False  # §1.5: extra properties are a warning or a protocol error [unverified]
    close_without_reason_is_error: bool = False  # §1.7 lists a plain close() under 31921, §1.6 does not [unverified]

    # Calls.
    calls_per_second: float = 1.0  # §4.8, per account
    concurrent_calls: int | None = None  # §4.8; exceeded → 10004
    price_delay_s: float = 5.0  # §4.2: null until some time after completion
    price_per_minute: str = "0.0085"
    abandoned_status: str = "no-answer"  # the caller hangs up before the call was answered [unverified]
    rejected_status: str = "no-answer"  # <Reject reason="rejected"> [unverified]; reason="busy" is `busy`
    dial_timeout_slack_s: float = 0.0  # §3.6: "~5 s added" [unverified], off to keep tests short
    actions_after_hangup: bool = True  # Dial, Connect and Record ask their action when the caller hung up [unverified]
    action_after_update: bool = False  # §4.3: not guaranteed when REST replaced the document [unverified]
    sip_hosts: dict[str, str] = field(
        default_factory=dict
    )  # host of a SIP URI → address of the link that stands for it
    stir_verstat: str | None = "TN-Validation-Passed-A"  # §3.1: may be absent
    machine_detection_s: float = 3.0  # §4.1: typical 2–4 s

    # Recordings.
    recording_processing_s: float = 0.5
    recording_media_delay_s: float = 0.0  # §8.2: media may still be 404 for a moment after `completed`
    media_needs_auth: bool = True  # §8.2: authenticated media access
    channel_order: ChannelOrder = ChannelOrder.CALLER_FIRST


@dataclass(slots=True, kw_only=True)
class Faults:
    """What goes wrong right now; tests and the control API change it while calls run."""

    rest_status: int | None = None  # answer REST with this status (429, 500, 503) …
    rest_count: int = 0  # … this many times
    rest_match: str = ""  # … only where "METHOD /path" holds this; rest_status 0 hangs up without an answer
    rest_late: bool = False  # … after the request was carried out: done, and nobody knows
    taken: list[str] = field(default_factory=list)  # numbers that somebody else buys between search and purchase
    frame_loss: float = 0.0  # share of caller frames that never arrive
    gaps_ms: list[tuple[int, int]] = field(default_factory=list)  # stretches of stream time that never arrive
    jitter_ms: float = 0.0  # frames wait up to this long, in order
    seed: int = 1
    withhold_start: bool = False  # new streams never send `start`
    media_before_start: bool = False  # new streams send a frame first
    signatures: str = "proper"  # or "forged", "missing": of webhooks and handshakes
    webhook_copies: int = 1  # TwiML requests sent this many times with one idempotency token; the first answer counts
    callback_copies: int = 1  # status callbacks delivered this many times
    callback_delay_s: dict[str, float] = field(default_factory=dict)  # event → delay, which reorders them

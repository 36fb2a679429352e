"""What a session is started with: the agents it may use, limits with their sources, and the history when it resumes; pure values."""

from __future__ import annotations

import msgspec

from agents.spec import AgentSpec
from calls.session.capabilities import Arrangement


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers the session works by. Each has its source."""

    piece_ms: int = 120  # issue: output split into pieces of at most this, each marked
    lead_ms: int = 400  # product 5.1.2: 200–2,000
    watchdog_ms: int = 8_000  # issue: model silent for 8 s after the caller spoke
    tool_grace_ms: int = 2_000  # beyond the tool's own time-out before the session answers for it
    model_reconnects: int = 2  # openai-realtime.md §6.2: at most 1–2 attempts
    renew_after_ms: int = 55 * 60_000  # §6.1: 60 min hard; a fresh session takes over at a silence before that
    drain_ms: int = 15_000  # longest wait for last words to be heard before leaving anyway
    judge_every_chars: int = 100  # §7.4 debounce of streaming checks
    digit_gap_ms: int = 3_000  # pause that ends a digit collection without a terminator
    digit_wait_ms: int = 20_000  # longest wait for the first key of a collection
    move_ms: int = 20_000  # a call that never falls silent is moved anyway, well before the process is killed
    linger_ms: int = (
        0  # after a hang-up: wait so long for the last transcript and bill; the driver goes on until Finish
    )
    refer_ms: int = 20_000  # a REFER is relayed, the person rings, and the carrier's list is asked until then
    trunk_wrap_up_ms: int = 50 * 60_000  # product 5.0: on a trunk nothing can follow the model's 60 minutes
    trunk_cap_ms: int = 56 * 60_000
    reconnect_ms: int = 5_000  # openai-realtime.md §6.2 budgets 2 s; the driver's own limit is below this


class HistoryItem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was said or done before this session began. `kind`: caller, agent (heard text), note, tool."""

    kind: str
    text: str = ""
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    output: str = ""
    sequence: int | None = None  # of the tool run's record, so that its outcome lands on the same row
    revision: int = 0  # the last one written


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """Why and how a session takes a running call up again; sequences go on where the last session stopped."""

    cause: str  # vocabulary.Cause
    attempt: int
    agent: str
    history: tuple[HistoryItem, ...] = ()
    next_turn: int = 0
    next_event: int = 0
    next_tool_run: int = 0
    next_usage: int = 0
    open_tools: tuple[
        HistoryItem, ...
    ] = ()  # started, outcome unknown: told to the model, run again only if idempotent
    recording: bool = False  # the carrier's recording already runs
    disclosed: bool = False
    elapsed_ms: int = 0  # call time used before this session
    attached: bool = False  # the model session lived on (SIP): only its control socket is new


class CallPlan(msgspec.Struct, frozen=True, kw_only=True):
    """All a session needs. `agents` holds the first agent and everyone it may hand off to, directly or through others."""

    agent: str
    agents: dict[str, AgentSpec]
    limits: Limits = Limits()
    resume: Resume | None = None
    arrangement: Arrangement = Arrangement.STREAMS  # decides what the line can do (capabilities)
    generation: int = 1  # fencing token of the lease; part of every mark, so marks of an older session are foreign

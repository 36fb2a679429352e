"""Builds the plan of a call's next session from its rows: the agents within reach, limits, and what was said when it resumes."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Max
from django.utils import timezone

from agents.models import Agent, AgentVersion
from agents.spec import AgentSpec, parse_agent
from calls.models import Call, CallEvent, Recording, ToolRun, Turn, UsageRecord
from calls.services.orphans import estimate_heard
from calls.session.capabilities import Arrangement
from calls.session.plan import CallPlan, HistoryItem, Limits, Resume
from calls.vocabulary import Cause, Direction, EventKind, ToolStatus, TurnRole, TurnStatus

# A session that died may have numbered records that still lie in its spool (decision 4). The next one starts beyond them, so that
# both fit when the spool is replayed: at most 250 ms of records are unwritten (product 5.4.2), far fewer than these.
TURN_GAP = 16
EVENT_GAP = 256
MOST_AGENTS = 50  # hand-off chains end; a tenant's agents are few


class PlanError(RuntimeError):
    """The call has no agent to be served by."""

    permanent = True


def build_plan(
    call: Call,
    *,
    is_resumed: bool,
    arrangement: Arrangement = Arrangement.STREAMS,
    is_attached: bool = False,
) -> CallPlan:
    """All a session needs to serve this call. `is_attached`: the model session lived on (SIP).

    Raises PlanError without a published agent. Enter the tenant's scope first.
    """
    first = _first_agent(call)
    if first is None:
        raise PlanError(f"call {call.pk} has no agent version")
    agents = _reach_agents(first)
    return CallPlan(
        agent=first.name,
        agents=agents,
        limits=Limits(lead_ms=settings.PLAYBACK_LEAD_MS, watchdog_ms=settings.MODEL_WATCHDOG_MS),
        resume=_build_resume(call, first, agents, is_attached=is_attached) if is_resumed else None,
        arrangement=arrangement,
    )


def speaking_agent(call: Call) -> AgentSpec | None:
    """The agent who would speak next: the one handed to last, else the first."""
    first = _first_agent(call)
    if first is None:
        return None
    name = _last_agent(call, first.name)
    return first if name == first.name else _reach_agents(first).get(name, first)


def _first_agent(call: Call) -> AgentSpec | None:
    """The agent the call began with: a published version, or for a test call the state that is being tried."""
    if call.direction == Direction.TEST:
        version_id = str(call.agent_version_id) if call.agent_version_id else ""
        return parse_agent({**call.trial.spec, "version_id": version_id})
    version: AgentVersion | None = call.agent_version
    return version.to_spec() if version is not None else None


def _reach_agents(first: AgentSpec) -> dict[str, AgentSpec]:
    """The first agent and everybody it may hand off to, directly or through others, as published now."""
    found = {first.name: first}
    wanted = _wanted(first, found)
    while wanted and len(found) < MOST_AGENTS:
        rows = Agent.objects.filter(name__in=wanted, published__isnull=False).select_related("published")
        level = [row.published.to_spec() for row in rows if row.published is not None]
        if not level:
            break
        found |= {spec.name: spec for spec in level}
        wanted = {name for spec in level for name in _wanted(spec, found)}
    return found


def _wanted(spec: AgentSpec, found: dict[str, AgentSpec]) -> set[str]:
    return {hand_off.agent for hand_off in spec.hand_offs} - found.keys()


def _last_agent(call: Call, first: str) -> str:
    event = (
        CallEvent.objects.filter(call=call, kind=EventKind.HAND_OFF).order_by("-at", "-id").values_list("data").first()
    )
    return str(event[0].get("target") or first) if event else first


def _build_resume(call: Call, first: AgentSpec, agents: dict[str, AgentSpec], *, is_attached: bool) -> Resume:
    name = _last_agent(call, first.name)
    tool_runs = list(ToolRun.objects.filter(call=call))
    start = call.answered_at or call.created_at
    elapsed_ms = max(0, round((timezone.now() - start).total_seconds() * 1000))
    return Resume(
        cause=_last_cause(call),
        attempt=call.resumes,
        agent=name if name in agents else first.name,
        history=tuple(_read_history(call, tool_runs, lost_ms=elapsed_ms)),
        open_tools=tuple(_tool(run) for run in tool_runs if _is_open(run)),
        next_turn=_next(Turn, call, TURN_GAP),
        next_event=_next_event(call),
        next_tool_run=_next(ToolRun, call, TURN_GAP),
        next_usage=_next(UsageRecord, call, TURN_GAP),
        recording=Recording.objects.filter(call=call, kind=Recording.Kind.CALL, state=Recording.State.RUNNING).exists(),
        disclosed=CallEvent.objects.filter(call=call, kind=EventKind.DISCLOSURE_HEARD).exists(),
        elapsed_ms=elapsed_ms,
        attached=is_attached,
    )


def _read_history(call: Call, tool_runs: list[ToolRun], *, lost_ms: int) -> list[HistoryItem]:
    """What was said and done, in order. The agent's side is what was heard, never what was only generated.

    Of a turn that its session could not end, what the caller can have heard until now: the agent must not say it all again.
    """
    timed: list[tuple[int, int, HistoryItem]] = []
    for turn in Turn.objects.filter(call=call):
        is_caller = turn.role == TurnRole.CALLER
        text = (turn.heard or turn.generated) if is_caller else turn.heard
        if turn.status == TurnStatus.OPEN and not is_caller:
            text, _heard_ms = estimate_heard(turn, lost_ms=lost_ms)
        if text.strip():
            timed.append(
                (turn.started_ms, turn.sequence, HistoryItem(kind="caller" if is_caller else "agent", text=text))
            )
    for run in tool_runs:
        if not _is_open(run):
            timed.append((run.started_ms, run.sequence, _tool(run)))
    return [item for _at, _sequence, item in sorted(timed, key=lambda entry: entry[:2])]


def _is_open(run: ToolRun) -> bool:
    """Nobody told the model how it ended: it still runs, or the session that started it could not wait."""
    return run.status == ToolStatus.STARTED or (run.status == ToolStatus.UNKNOWN and not run.output)


def _tool(run: ToolRun) -> HistoryItem:
    return HistoryItem(
        kind="tool",
        call_id=run.tool_call_id,
        name=run.name,
        arguments=run.arguments,
        output=run.output,
        sequence=run.sequence,
        revision=run.revision,
    )


def _next(model: Any, call: Call, gap: int) -> int:
    last: int | None = model.objects.filter(call=call).aggregate(last=Max("sequence"))["last"]
    return 0 if last is None else last + 1 + gap


def _next_event(call: Call) -> int:
    keys = CallEvent.objects.filter(call=call, key__startswith="s:").values_list("key", flat=True)
    numbers = [int(key[2:]) for key in keys if key[2:].isdigit()]
    return max(numbers) + 1 + EVENT_GAP if numbers else 0


def _last_cause(call: Call) -> str:
    event = CallEvent.objects.filter(call=call, key__startswith="w:", kind=EventKind.RECOVERY).order_by("-at").first()
    return str(event.data.get("cause") or Cause.PROCESS_LOST) if event else str(Cause.PROCESS_LOST)

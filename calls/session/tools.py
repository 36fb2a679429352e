"""The life of a tool call: run once, answered exactly once, spoken about once all calls of its response were answered.

A call is answered even when its runner is lost (the deadline answers) and when the model session it came from is gone (the answer is
replayed into the fresh one as a finished exchange, openai-realtime.md §6.2).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agents.spec import ToolPolicy, ToolSpec
from calls.session import commands as do
from calls.session import events as ev
from calls.session.capabilities import Ability
from calls.session.context import Context, say_exactly
from calls.session.responses import Response, Sequencer
from calls.session.watchdog import Watchdog
from calls.vocabulary import ToolStatus

DEADLINE = "tool:"  # timer name, with the call id
NO_ANSWER = "The tool did not answer in time. Its outcome is unknown."
STATUSES: dict[str, ToolStatus] = {status.value: status for status in ToolStatus}
OUTCOME_UNKNOWN = "The connection was lost while this ran, so its outcome is unknown. Do not assume that it worked."


@dataclass(slots=True, eq=False)
class ToolRun:
    """One call of one tool."""

    call_id: str
    name: str
    arguments: str
    agent: str
    sequence: int
    started_ms: int
    place: int
    response_id: str = ""
    status: ToolStatus = ToolStatus.STARTED
    revision: int = 0
    output: str = ""
    answered: bool = False
    sent: bool = False  # the answer left for the model
    foreign: bool = False  # the call is not an item of the present model session
    wants_response: bool = True
    spoken_of: bool = False  # its response was asked for, or none is wanted
    ended_ms: int | None = None


Behaviour = Callable[[ToolRun, dict[str, Any]], None]


@dataclass(slots=True)
class Tools:
    """All tool calls of the session by call id."""

    ctx: Context
    sequencer: Sequencer
    watchdog: Watchdog
    runs: dict[str, ToolRun] = field(default_factory=dict)
    behaviours: dict[str, Behaviour] = field(default_factory=dict)  # of the built-ins, by name
    _next: int = 0
    _fillers: dict[str, str] = field(default_factory=dict)  # response id -> line
    _confirmable: dict[tuple[str, str], int] = field(default_factory=dict)  # (name, arguments) -> caller turns then

    def __post_init__(self) -> None:
        if self.ctx.plan.resume:
            self._next = self.ctx.plan.resume.next_tool_run

    @property
    def running(self) -> bool:
        return any(not run.answered for run in self.runs.values())

    # --- called ----------------------------------------------------------------------------------------------------

    def called(self, event: ev.ToolCalled, response: Response) -> None:
        """The model called a function. Incomplete calls are never run (§3.7); a second call with the same id is nonsense."""
        if not event.complete:
            return
        if event.call_id in self.runs:
            self.ctx.note_peer("model", "call id used twice", call_id=event.call_id)
            return
        response.tool_calls += 1
        run = self._open(event)
        tool = self.ctx.spec.tool(event.name)
        if tool is None:
            self._record(run)
            self.refuse(run, f"There is no tool named {event.name!r}.")
            return
        self._record(run)
        self.watchdog.rest()
        if self._must_confirm(run, tool):
            return
        if tool.kind == "builtin":
            self._run_builtin(run, tool)
        else:
            self._run(run, tool)

    def _run(self, run: ToolRun, tool: ToolSpec) -> None:
        if tool.filler:
            self._fillers[run.response_id] = tool.filler
        attempts = 1 + (tool.http.retries if tool.http else 0)
        limit = tool.timeout_s * 1000 * attempts + self.ctx.limits.tool_grace_ms
        self.ctx.emit(do.RunTool(call_id=run.call_id, name=run.name, arguments=run.arguments, agent=run.agent))
        self.ctx.set_timer(DEADLINE + run.call_id, at_ms=self.ctx.now + limit)

    def _run_builtin(self, run: ToolRun, tool: ToolSpec) -> None:
        behaviour = self.behaviours.get(tool.name)
        if behaviour is None:
            self.refuse(run, f"There is no tool named {tool.name!r}.")
            return
        try:
            arguments = json.loads(run.arguments or "{}")
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            self.refuse(run, "The arguments are not a JSON object.")
            return
        behaviour(run, arguments)

    def _must_confirm(self, run: ToolRun, tool: ToolSpec) -> bool:
        """`confirm` is kept by us, not by the prompt: the same call must come again after the caller spoke."""
        if tool.policy is not ToolPolicy.CONFIRM:
            return False
        key = (run.name, _canonical(run.arguments))
        asked_at = self._confirmable.get(key)
        if asked_at is not None and self.ctx.caller_turns > asked_at:
            del self._confirmable[key]
            return False
        self._confirmable[key] = self.ctx.caller_turns
        self.refuse(
            run,
            "Not run yet: the caller must confirm first. Read the details back, wait for a clear yes, then call this again with "
            "the same arguments.",
        )
        return True

    # --- answered --------------------------------------------------------------------------------------------------

    def finished(self, event: ev.ToolFinished) -> None:
        """The runner reports. Only the first word about a call counts."""
        run = self.runs.get(event.call_id)
        if run is None or run.answered:
            return
        tool = self.ctx.plan.agents[run.agent].tool(run.name)
        output = event.output
        if event.status != ToolStatus.SUCCEEDED and tool and tool.on_failure and not _is_answer(output):
            output = json.dumps({"error": output, "tell_the_caller": tool.on_failure}, ensure_ascii=False)
        self.answer(run, output, status=STATUSES.get(event.status, ToolStatus.FAILED))

    def overdue(self, timer: str) -> None:
        """The runner never reported: the session answers for it."""
        run = self.runs[timer.removeprefix(DEADLINE)]
        self.answer(run, json.dumps({"error": NO_ANSWER}), status=ToolStatus.UNKNOWN)

    def refuse(self, run: ToolRun, problem: str) -> None:
        self.answer(run, json.dumps({"error": problem}, ensure_ascii=False), status=ToolStatus.REFUSED)

    def answer(
        self, run: ToolRun, output: str, *, status: ToolStatus = ToolStatus.SUCCEEDED, respond: bool = True
    ) -> None:
        """Gives the model its answer, once. `respond` asks for speech about it when all answers are there."""
        if run.answered:
            return
        run.answered, run.output, run.status, run.wants_response = True, output, status, respond
        run.ended_ms = self.ctx.call_ms
        self.ctx.cancel_timer(DEADLINE + run.call_id)
        self._record(run)
        if self.ctx.model_ready:
            self._send(run)
        self.ctx.unsettled = True

    def resend(self) -> None:
        """A control socket is back: the answers that came meanwhile leave now (SIP, product 5.2.5)."""
        for run in self.runs.values():
            if run.answered and not run.sent:
                self._send(run)
        self.ctx.unsettled = True

    def called_unheard(self, tail: ev.ConversationTail) -> None:
        """A call that the model made while nobody was attached. One of ours that was answered, but not told, is told."""
        if tail.call_id in self.runs:
            return
        resume = self.ctx.plan.resume
        known = [item for item in (resume.history if resume else ()) if item.call_id == tail.call_id]
        if not known:
            called = ev.ToolCalled("", tail.item_id, tail.call_id, tail.name, tail.arguments)
            self.called(called, Response(response_id=""))
            return
        run = self._open(ev.ToolCalled("", tail.item_id, tail.call_id, tail.name, tail.arguments))
        run.answered, run.output = True, known[0].output
        self._next -= 1  # it has its record
        self._send(run)
        self.ctx.unsettled = True

    def _send(self, run: ToolRun) -> None:
        run.sent = True
        event_id = self.ctx.next_id()
        if run.foreign:
            self.ctx.emit(
                do.AddToolExchange(
                    event_id=event_id, call_id=run.call_id, name=run.name, arguments=run.arguments, output=run.output
                )
            )
        else:
            self.ctx.emit(do.AddToolOutput(event_id=event_id, call_id=run.call_id, output=run.output))

    def response_ended(self, response: Response) -> None:
        """A response that called a slow tool without a word gets the tool's filler line."""
        filler = self._fillers.pop(response.response_id, "")
        if filler and self.ctx.may(Ability.FILLER) and not response.audio_bytes and not response.cut and self.running:
            self.sequencer.want(say_exactly(filler), purpose="filler", tools_allowed=False)

    def settle(self) -> None:
        """Asks for speech about answers, once per response and when all its calls were answered (§3.7 step 4)."""
        if not self.runs:
            return
        open_responses = {run.response_id for run in self.runs.values() if not run.answered}
        if self.sequencer.active:
            open_responses.add(self.sequencer.active.response_id)
        due = [run for run in self.runs.values() if not run.spoken_of and run.response_id not in open_responses]
        for run in due:
            run.spoken_of = True
        if any(run.wants_response for run in due):
            self.sequencer.drop("filler")
            self.sequencer.want(purpose="answer")

    def session_lost(self) -> None:
        """The calls are no items of the next model session."""
        for run in self.runs.values():
            run.foreign = True

    def resume(self) -> None:
        """Calls of an earlier session with unknown outcome: run again if idempotent, else the model is told (product 7.1)."""
        resume = self.ctx.plan.resume
        if resume is None:
            return
        for item in resume.open_tools:
            tool = self.ctx.spec.tool(item.name)
            run = ToolRun(
                item.call_id,
                item.name,
                item.arguments,
                self.ctx.agent,
                self._next,
                self.ctx.call_ms,
                self.ctx.next_place(),
                foreign=not resume.attached,
            )
            if item.sequence is None:
                self._next += 1
            else:
                run.sequence, run.revision = item.sequence, item.revision
            self.runs[run.call_id] = run
            if tool and tool.kind != "builtin" and tool.idempotent:
                self._record(run)
                self._run(run, tool)
            else:
                self.answer(
                    run,
                    json.dumps({"error": OUTCOME_UNKNOWN}),
                    status=ToolStatus.UNKNOWN,
                    respond=resume.attached,  # else the apology speaks of it
                )

    def close(self) -> None:
        """The call is over for this session: nobody knows how the running ones end."""
        for run in self.runs.values():
            if not run.answered:
                run.answered, run.status, run.ended_ms = True, ToolStatus.UNKNOWN, self.ctx.call_ms
                self._record(run)

    def _open(self, event: ev.ToolCalled) -> ToolRun:
        run = ToolRun(
            event.call_id,
            event.name,
            event.arguments,
            self.ctx.agent,
            self._next,
            self.ctx.call_ms,
            self.ctx.next_place(),
            response_id=event.response_id,
        )
        self._next += 1
        self.runs[event.call_id] = run
        return run

    def _record(self, run: ToolRun) -> None:
        run.revision += 1
        self.ctx.emit(
            do.RecordToolRun(
                sequence=run.sequence,
                revision=run.revision,
                call_id=run.call_id,
                name=run.name,
                agent=run.agent,
                arguments=run.arguments,
                status=run.status,
                output=run.output,
                started_ms=run.started_ms,
                ended_ms=run.ended_ms,
            )
        )


def is_deadline(timer: str) -> bool:
    return timer.startswith(DEADLINE)


def _is_answer(output: str) -> bool:
    """The runner's own answer to a failure is whole, with the words for the caller where some are due: it is not wrapped again."""
    try:
        data = json.loads(output)
    except ValueError:
        return False
    return isinstance(data, dict) and "ok" in data


def _canonical(arguments: str) -> str:
    """The same arguments in one spelling; what is no JSON stands for itself."""
    try:
        return json.dumps(json.loads(arguments), sort_keys=True)
    except ValueError:
        return arguments

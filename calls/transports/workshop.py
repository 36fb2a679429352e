"""Runs the tools that a session asks for, each once its intent is durable, and keeps digits that were typed in secret.

It decides nothing: schemas, fence and retries are agents.tools' business, what the answer means is the session's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from calls.session import commands as do
from calls.session.events import Event, ToolFinished
from calls.transports.ports import LiveCall, Records, Tools
from calls.vocabulary import ToolStatus

TOOL_GRACE_S = 5.0  # over time-out × attempts: the runner answers for itself long before


class SecretKeys:
    """Keys pressed while input is secret: in memory only, handed out once, to a tool's request (product 4.5)."""

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._sealed: dict[str, str] = {}

    def keep(self, key: str, *, masked: str) -> str:
        """Remember the key when the session wants it masked; returns what the session may learn."""
        if masked != key:
            self._keys.append(key)
        return masked

    def seal(self, reference: str, count: int) -> None:
        """The last `count` keys become the value of the reference; the others are forgotten."""
        if count:
            self._sealed[reference] = "".join(self._keys[-count:])
        self._keys.clear()

    def redeem(self, reference: str) -> str | None:
        """The digits, once."""
        return self._sealed.pop(reference, None)


class Workshop:
    """The tool runs of one call."""

    def __init__(
        self,
        call: LiveCall,
        *,
        tools: Tools,
        records: Records,
        deliver: Callable[[Event], None],
        began_at: datetime,
    ) -> None:
        self._call = call
        self._tools = tools
        self._records = records
        self._deliver = deliver
        self._began_at = began_at
        self._intents: dict[str, do.RecordToolRun] = {}

    def intend(self, intent: do.RecordToolRun) -> None:
        """The record that must be durable before the run of the same call id begins."""
        self._intents[intent.call_id] = intent

    async def work(self, command: do.RunTool) -> None:
        """Run it and tell the session how it ended."""
        tool = self._call.plan.agents[command.agent].tool(command.name)
        if tool is None:
            self._deliver(ToolFinished(command.call_id, "This tool does not exist.", ToolStatus.REFUSED))
            return
        intent = self._intents.pop(command.call_id, None)
        if intent is not None:  # product 5.4.2: the one thing a call waits for
            at = self._began_at + timedelta(milliseconds=intent.started_ms)
            await self._records.durable(self._call, intent, at=at)
        attempts = 1 + (tool.http.retries if tool.http is not None else 0)
        try:
            async with asyncio.timeout(tool.timeout_s * attempts + TOOL_GRACE_S):
                answer = await self._tools.run(
                    tool,
                    command.arguments,
                    call_id=str(self._call.call_id),
                    idempotency_key=f"{self._call.call_id}:{command.call_id}",
                )
        except TimeoutError:
            self._deliver(ToolFinished(command.call_id, "The tool did not answer in time.", ToolStatus.TIMED_OUT))
        else:
            self._deliver(ToolFinished(command.call_id, answer.output, answer.status))

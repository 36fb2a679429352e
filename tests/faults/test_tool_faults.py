"""A tool that is slow, broken, huge, lost or misused: the agent says something and the call goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from calls.vocabulary import EndReason, ToolStatus
from tests.faults.stage import GREETING, Stage, assert_whole, said_by_carrier

pytestmark = pytest.mark.django_db(transaction=True)

SORRY = "I cannot look that up right now."
OPEN = "We are open until five."
SCHEMA = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}


@dataclass(frozen=True)
class Misfortune:
    path: str
    status: ToolStatus
    arguments: dict[str, Any] = field(default_factory=lambda: {"order_id": "1001"})
    requests: int = 1
    error: str = ""
    timeout_s: float = 5.0


MISFORTUNES = {
    "times out": Misfortune("/slow", ToolStatus.TIMED_OUT, timeout_s=0.3),
    "answers 500": Misfortune("/500", ToolStatus.FAILED),
    "answers no JSON": Misfortune("/not-json", ToolStatus.FAILED),
    "answers 5 MB": Misfortune("/huge", ToolStatus.FAILED),
    "redirects to the metadata service": Misfortune(
        "/redirect-to-metadata", ToolStatus.FAILED, error="may not be called"
    ),
    "is called with arguments it does not take": Misfortune(
        "/orders", ToolStatus.REFUSED, arguments={"number": 7}, requests=0
    ),
}


@pytest.mark.parametrize("misfortune", MISFORTUNES.values(), ids=MISFORTUNES)
async def test_the_agent_speaks_and_the_call_goes_on_when_a_tool(stage: Stage, misfortune: Misfortune) -> None:
    call_tool = {"name": "lookup_order", "arguments": misfortune.arguments}
    stage.play({"rules": [{"caller": "order", "call": [call_tool], "then": SORRY}, {"caller": "open", "say": OPEN}]})
    line = await stage.open_line(
        tools=[
            {
                "name": "lookup_order",
                "http": {"method": "POST", "url": f"{stage.tools.base_url}{misfortune.path}", "retries": 0},
                "parameters": SCHEMA,
                "timeout_s": misfortune.timeout_s,
                "on_failure": SORRY,
            }
        ]
    )
    call = await stage.ring(line)
    await stage.until_heard(call, GREETING)
    await stage.say(call, "Where is my order?")
    await stage.until_heard(call, SORRY)
    await stage.say(call, "Are you open today?")
    await stage.until_heard(call, OPEN)
    call.hang_up(by="caller")
    record = await stage.ended(call)
    assert len(stage.tools.requests) == misfortune.requests
    (run,) = record.tool_runs
    assert run.status == misfortune.status, run.output
    assert misfortune.error in run.output
    told = json.loads(run.output)  # one answer, and in it the words that the agent was to say
    # Wrong arguments are the model's to mend: it is told how, and nothing for the caller yet.
    assert (told["ok"], told.get("say", "")) == (False, SORRY if misfortune.requests else "")
    session = await stage.session()
    outputs = [item for item in session.items if item.type == "function_call_output"]
    assert len(outputs) == 1
    assert [role for role, _text in record.said] == ["agent", "caller", "agent", "caller", "agent"]
    assert record.call.end_reason == EndReason.CALLER_HUNG_UP
    assert said_by_carrier(call) == []
    assert len(call.streams) == 1
    assert_whole(record)

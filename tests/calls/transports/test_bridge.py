"""A call through the bridge: real wires, real session, the model's double over a real socket, a phone in memory."""

from __future__ import annotations

from calls.session import events as ev
from calls.session.commands import RecordTurn
from calls.transports.prepared import PreparedModels
from emulators.openai.double import OpenAIDouble
from tests.calls.transports.doubles import Line


async def test_the_greeting_is_heard_and_on_record(models: PreparedModels, model: OpenAIDouble) -> None:
    async with Line(models) as line:
        await line.phone.wait_for(
            lambda: any(
                isinstance(record, RecordTurn) and record.status == "complete" for record in line.notebook.records
            )
        )
    (turn,) = {r.sequence: r for r in line.notebook.records if isinstance(r, RecordTurn)}.values()
    assert turn.heard == turn.generated == "Good morning."
    assert turn.heard_ms == turn.generated_ms == len(line.phone.audio) // 8
    assert line.notebook.events(ev.CallerHungUp)

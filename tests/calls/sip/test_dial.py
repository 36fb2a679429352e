"""A caller rings, the carrier dials the model by SIP, and the product controls the call from beside it."""

from __future__ import annotations

from emulators.openai.script import Script
from tests.calls.sip.conftest import Office

QUIET = {"wait_for_agent": {"quiet_ms": 600}}


async def test_a_caller_is_greeted_answered_and_the_call_is_on_record(office: Office) -> None:
    office.model.script = Script.parse(
        """
        rules:
          - caller: "opening hours"
            say: "We are open from nine to five."
        """
    )
    number = await office.open_line(greeting="Good morning, Acme Dental.")
    call = await office.ring(number, QUIET, {"say": "What are your opening hours?"}, QUIET, {"hang_up": {}})

    record = await office.record_when(call, lambda r: r.call.state == "ended" and len(r.turns) >= 3)

    spoken = [(turn.role, turn.heard or turn.generated) for turn in record.turns]
    assert spoken == [
        ("agent", "Good morning, Acme Dental."),
        ("caller", "What are your opening hours?"),
        ("agent", "We are open from nine to five."),
    ]
    assert record.call.end_reason == "caller_hung_up"
    assert {leg.kind for leg in record.legs} == {"caller", "sip"}

"""Everything that can go wrong on purpose (openai-realtime.md §9.3, §4.7, §6.2)."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from emulators.openai.config import DoubleConfig, Switches
from emulators.openai.double import OpenAIDouble
from emulators.openai.faults import Fault, FaultKind, FaultQueue
from emulators.openai.script import Script

from .client import Client, Event, open_client

CREATE: Event = {"type": "response.create"}
CALLING = Script.read({"rules": [{"call": [{"name": "look", "arguments": {"order_id": "A12"}}]}]})
LOOK: Event = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture
async def client(double: OpenAIDouble) -> Any:
    async with open_client(double) as opened:
        yield opened


async def wait_closed(client: Client) -> tuple[int | None, str]:
    """Reads to the end; (None, "") when the connection broke without a close frame."""
    try:
        while True:
            await client.receive()
    except ConnectionClosed as closed:
        return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (None, "")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("rate_limit_exceeded", "rate_limit_error"),
        ("insufficient_quota", "insufficient_quota"),
        ("server_error", "server_error"),
    ],
)
async def test_a_response_fails_without_a_sound(client: Client, double: OpenAIDouble, code: str, kind: str) -> None:
    double.inject(Fault(kind=FaultKind.FAIL_RESPONSE, code=code))
    done = await client.ask(CREATE, "response.done")
    response = done["response"]
    assert (response["status"], response["output"], response["usage"]) == ("failed", [], None)
    assert response["status_details"]["type"] == "failed"
    assert response["status_details"]["error"]["code"] == code
    assert response["status_details"]["error"]["type"] == kind
    assert client.of_type("response.output_audio.delta") == []
    again = await client.ask(CREATE, "response.done")
    assert again["response"]["status"] == "completed"
    assert again["response"]["output"][0]["content"][0]["transcript"] == double.script.greeting  # nothing was lost


async def test_usage_of_a_failed_response_is_a_switch(config: DoubleConfig) -> None:
    switches = Switches(usage_on_failed=True)  # §5.1: "may be null"
    async with OpenAIDouble(dataclasses.replace(config, switches=switches)) as double, open_client(double) as client:
        double.inject(Fault(kind=FaultKind.FAIL_RESPONSE))
        done = await client.ask(CREATE, "response.done")
    assert done["response"]["usage"]["output_tokens"] == 16  # the reasoning alone


@pytest.mark.parametrize("reason", ["content_filter", "max_output_tokens"])
async def test_a_response_is_cut_in_the_middle(client: Client, double: OpenAIDouble, reason: str) -> None:
    double.inject(Fault(kind=FaultKind.INCOMPLETE, reason=reason, after_ms=200))
    done = await client.ask(CREATE, "response.done")
    response = done["response"]
    assert response["status_details"] == {"type": "incomplete", "reason": reason}
    assert response["output"][0]["status"] == "incomplete"
    assert response["usage"]["output_token_details"]["audio_tokens"] >= 4


async def test_a_silent_response_is_created_and_never_done_until_it_is_cancelled(
    client: Client, double: OpenAIDouble
) -> None:
    double.inject(Fault(kind=FaultKind.SILENT_RESPONSE))
    await client.ask(CREATE, "response.created")
    error = await client.refused(CREATE)
    assert error["code"] == "conversation_already_has_active_response"
    done = await client.ask({"type": "response.cancel"}, "response.done")
    assert (done["response"]["status"], done["response"]["output"]) == ("cancelled", [])
    assert client.of_type("response.output_audio.delta") == []


async def test_a_stalled_response_goes_on_after_a_while(client: Client, double: OpenAIDouble) -> None:
    double.inject(Fault(kind=FaultKind.STALL, after_ms=100, delay_ms=120))
    loop = asyncio.get_running_loop()
    started = loop.time()
    done = await client.ask(CREATE, "response.done")
    assert done["response"]["status"] == "completed"
    assert loop.time() - started >= 0.12


@pytest.mark.parametrize(("close_code", "seen"), [(1006, None), (1011, 1011), (1012, 1012)])
async def test_the_socket_goes_while_the_agent_speaks(
    client: Client, double: OpenAIDouble, close_code: int, seen: int | None
) -> None:
    double.inject(Fault(kind=FaultKind.CUT, close_code=close_code, after_ms=100))
    await client.ask(CREATE, "response.output_audio.delta")
    code, _reason = await wait_closed(client)
    assert code == seen
    await double.sessions[0].record.wait_until(lambda: double.sessions[0].is_closed)
    assert client.of_type("response.done") == []


async def test_a_cancelled_tool_call_is_not_complete(client: Client, double: OpenAIDouble) -> None:
    double.script = CALLING
    await client.configure(tools=[LOOK])
    double.inject(Fault(kind=FaultKind.CANCELLED_TOOL_CALL))
    done = await client.ask(CREATE, "response.done")
    (call,) = done["response"]["output"]
    assert (done["response"]["status"], call["status"]) == ("cancelled", "incomplete")
    (finished,) = client.of_type("response.function_call_arguments.done")  # §4.2: also on cancel
    with pytest.raises(json.JSONDecodeError):
        json.loads(finished["arguments"])
    assert client.of_type("response.output_item.done")[0]["item"]["status"] == "incomplete"


async def test_usage_is_missing_or_without_details(client: Client, double: OpenAIDouble) -> None:
    double.inject(Fault(kind=FaultKind.NO_USAGE))
    double.inject(Fault(kind=FaultKind.USAGE_WITHOUT_DETAILS))
    missing = await client.ask(CREATE, "response.done")
    bare = await client.ask(CREATE, "response.done")
    assert missing["response"]["usage"] is None
    assert set(bare["response"]["usage"]) == {"total_tokens", "input_tokens", "output_tokens"}


async def test_a_request_is_refused_as_though_another_response_were_active(
    client: Client, double: OpenAIDouble
) -> None:
    double.inject(Fault(kind=FaultKind.REFUSE_RESPONSE))
    error = await client.refused({"type": "response.create", "event_id": "c-X"})
    assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", "c-X")
    await client.ask(CREATE, "response.done")


async def test_fields_nobody_knows_come_with_a_response(double: OpenAIDouble) -> None:
    async with open_client(double, strict=False) as client:
        double.inject(Fault(kind=FaultKind.EXTRA_FIELDS))
        done = await client.ask(CREATE, "response.done")
    assert done["x_preview"] == {"beta": True}
    assert done["response"]["status"] == "completed"


async def test_an_update_that_is_never_answered_is_not_applied(client: Client, double: OpenAIDouble) -> None:
    double.inject(Fault(kind=FaultKind.NO_SESSION_UPDATED))
    await client.send({"type": "session.update", "session": {"type": "realtime", "instructions": "New."}})
    await client.ask({"type": "input_audio_buffer.clear"}, "input_audio_buffer.cleared")
    assert double.sessions[0].settings["instructions"] == "You answer the phone."


async def test_a_session_ends_at_its_hour(config: DoubleConfig) -> None:
    """§6.1."""
    short = dataclasses.replace(config, session_seconds=0.1)
    async with OpenAIDouble(short) as double, open_client(double, configured=False) as client:
        error = (await client.until("error"))["error"]
        code, reason = await wait_closed(client)
    assert error["code"] == "session_expired"
    assert (code, reason) == (1001, error["message"])
    assert error["message"].startswith("Your session hit the maximum duration of ")


async def test_a_live_session_can_be_expired_with_the_vendors_words(client: Client, double: OpenAIDouble) -> None:
    double.sessions[0].strike(Fault(kind=FaultKind.EXPIRE))
    error = (await client.until("error"))["error"]
    assert error["message"] == "Your session hit the maximum duration of 60 minutes."
    assert (await wait_closed(client))[0] == 1001


async def test_digits_arrive_without_an_event_id(client: Client, double: OpenAIDouble) -> None:
    """§4.2: the one event that has none."""
    double.sessions[0].strike(Fault(kind=FaultKind.DTMF_EVENT, digit="9"))
    event = await client.receive()
    assert event.keys() == {"type", "event", "received_at"}
    assert (event["type"], event["event"]) == ("input_audio_buffer.dtmf_event_received", "9")


async def test_garbage_and_unknown_events_arrive_between_good_ones(double: OpenAIDouble) -> None:
    async with open_client(double, strict=False) as client:
        session = double.sessions[0]
        session.strike(Fault(kind=FaultKind.GARBAGE_FRAME))
        session.strike(Fault(kind=FaultKind.UNKNOWN_EVENT))
        with pytest.raises(json.JSONDecodeError):
            await client.receive()
        assert (await client.receive())["type"] == "conversation.mood.updated"
        await client.ask(CREATE, "response.done")


async def test_a_close_code_is_passed_on(client: Client, double: OpenAIDouble) -> None:
    double.sessions[0].strike(Fault(kind=FaultKind.CLOSE, close_code=1013))
    assert await wait_closed(client) == (1013, "try again later")


def test_a_fault_is_handed_out_as_often_as_it_says() -> None:
    queue = FaultQueue()
    queue.add(Fault(kind=FaultKind.NO_USAGE, times=2, session_index=1))
    assert queue.take(FaultKind.NO_USAGE, session_index=0) is None
    assert [queue.take(FaultKind.NO_USAGE, session_index=1) is not None for _ in range(3)] == [True, True, False]
    queue.add(Fault(kind=FaultKind.STALL, times=-1))
    assert all(queue.take(FaultKind.STALL, session_index=n) for n in range(5))
    queue.clear()
    assert queue.take(FaultKind.STALL, session_index=0) is None


def test_live_and_waiting_faults_do_not_mix(double: OpenAIDouble) -> None:
    with pytest.raises(ValueError, match="strike"):
        double.inject(Fault(kind=FaultKind.CLOSE))


async def test_a_waiting_fault_cannot_strike(client: Client, double: OpenAIDouble) -> None:
    with pytest.raises(ValueError, match="inject"):
        double.sessions[0].strike(Fault(kind=FaultKind.STALL))

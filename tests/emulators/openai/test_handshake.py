"""Who gets a session, and the REST answers around it (openai-realtime.md §1, §3.8, §6.2)."""

from __future__ import annotations

import asyncio
import dataclasses
import json

import httpx
import openai
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from emulators.openai.config import DoubleConfig, Switches
from emulators.openai.double import OpenAIDouble
from emulators.openai.faults import Fault, FaultKind

from .client import check_server_event, open_client

KEY = {"Authorization": "Bearer sk-emulator"}


async def get_refusal(url: str, headers: dict[str, str]) -> tuple[int, dict[str, object]]:
    with pytest.raises(InvalidStatus) as caught:
        async with connect(url, additional_headers=headers):
            pass
    response = caught.value.response
    return response.status_code, json.loads(response.body)["error"]


async def test_a_session_begins_with_its_defaults(double: OpenAIDouble) -> None:
    async with connect(f"{double.realtime_url}?model=gpt-realtime-2.1", additional_headers=KEY) as socket:
        event = json.loads(await socket.recv())
        assert "permessage-deflate" not in socket.response.headers.get("Sec-WebSocket-Extensions", "")
    check_server_event(event)
    session = event["session"]
    assert event["type"] == "session.created"
    assert (session["object"], session["type"], session["model"]) == (
        "realtime.session",
        "realtime",
        "gpt-realtime-2.1",
    )
    assert session["audio"] == {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 500,
                "idle_timeout_ms": None,
                "create_response": True,
                "interrupt_response": True,
            },
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "alloy", "speed": 1.0},
    }
    assert (session["reasoning"], session["truncation"], session["max_output_tokens"]) == (
        {"effort": "low"},
        "auto",
        "inf",
    )


async def test_defaults_that_documents_disagree_about_are_switches(config: DoubleConfig) -> None:
    switches = Switches(default_voice="marin", default_silence_ms=200, legacy_events=True)
    async with OpenAIDouble(dataclasses.replace(config, switches=switches)) as double, open_client(double) as client:
        audio = client.seen[0]["session"]["audio"]
        assert (audio["output"]["voice"], audio["input"]["turn_detection"]["silence_duration_ms"]) == ("marin", 200)
        assert client.seen[1]["type"] == "conversation.created"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, None),
        ({"Authorization": "Bearer sk-wrong-key"}, "invalid_api_key"),
        ({"Authorization": "Basic x"}, "invalid_api_key"),
    ],
)
async def test_a_bad_key_is_refused_before_the_upgrade(
    double: OpenAIDouble, headers: dict[str, str], code: str | None
) -> None:
    status, error = await get_refusal(f"{double.realtime_url}?model=gpt-realtime-2.1", headers)
    assert (status, error["code"], error["type"]) == (401, code, "invalid_request_error")
    assert double.sessions == []


async def test_a_bad_key_may_also_surface_as_close_3000(config: DoubleConfig) -> None:
    switches = Switches(invalid_key="close_3000")  # §1.2 [reported]
    async with OpenAIDouble(dataclasses.replace(config, switches=switches)) as double:
        bad = {"Authorization": "Bearer sk-wrong-key"}
        async with connect(f"{double.realtime_url}?model=gpt-realtime-2.1", additional_headers=bad) as socket:
            event = json.loads(await socket.recv())
            with pytest.raises(ConnectionClosed) as caught:
                await socket.recv()
    check_server_event(event | {"event_id": "event_1"})
    assert event["error"]["code"] == "invalid_api_key"
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (3000, "invalid_request_error.invalid_api_key")


async def test_an_unknown_model_is_an_error_event_and_a_close(double: OpenAIDouble) -> None:
    async with connect(f"{double.realtime_url}?model=gpt-realtime-9", additional_headers=KEY) as socket:
        error = json.loads(await socket.recv())["error"]
        with pytest.raises(ConnectionClosed) as caught:
            await socket.recv()
    assert error["code"] == "model_not_found"
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 3000


async def test_an_unknown_model_may_also_refuse_the_handshake(config: DoubleConfig) -> None:
    switches = Switches(unknown_model="http_404")
    async with OpenAIDouble(dataclasses.replace(config, switches=switches)) as double:
        status, error = await get_refusal(f"{double.realtime_url}?model=gpt-realtime-9", KEY)
    assert (status, error["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("query", "headers", "status", "code"),
    [
        ("?call_id=rtc_1", KEY, 404, "call_id_not_found"),  # §1.2
        ("", KEY, 400, "missing_required_parameter"),
        ("?model=gpt-realtime-2.1", KEY | {"OpenAI-Beta": "realtime=v1"}, 400, "invalid_request_error"),  # §1.2
    ],
)
async def test_handshakes_that_name_no_session_are_refused(
    double: OpenAIDouble, query: str, headers: dict[str, str], status: int, code: str
) -> None:
    seen_status, error = await get_refusal(f"{double.realtime_url}{query}", headers)
    assert (seen_status, error["code"]) == (status, code)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "invalid_api_key", "invalid_request_error"),
        (403, "permission_denied", "invalid_request_error"),
        (429, "rate_limit_exceeded", "invalid_request_error"),
        (500, "server_error", "server_error"),
    ],
)
async def test_a_handshake_fails_once_when_told_to(double: OpenAIDouble, status: int, code: str, kind: str) -> None:
    double.inject(Fault(kind=FaultKind.REFUSE_HANDSHAKE, status=status))
    seen_status, error = await get_refusal(f"{double.realtime_url}?model=gpt-realtime-2.1", KEY)
    assert (seen_status, error["code"], error["type"]) == (status, code, kind)
    async with open_client(double) as client:
        assert client.types()[0] == "session.created"


async def test_a_handshake_hangs_until_the_client_gives_up(double: OpenAIDouble) -> None:
    double.inject(Fault(kind=FaultKind.HANG_HANDSHAKE))
    with pytest.raises(TimeoutError):
        async with connect(f"{double.realtime_url}?model=gpt-realtime-2.1", additional_headers=KEY, open_timeout=0.1):
            pass
    assert double.sessions == []


async def test_the_openai_client_reads_models_and_their_shutdown_dates(double: OpenAIDouble) -> None:
    async with openai.AsyncOpenAI(base_url=double.api_base_url, api_key="sk-emulator", max_retries=0) as client:
        models = [model async for model in client.models.list()]
        current = await client.models.retrieve("gpt-realtime-2.1")
        with pytest.raises(openai.NotFoundError) as missing:
            await client.models.retrieve("gpt-realtime-9")
    dates = {model.id: model.shutdown_date for model in models}
    assert (dates["gpt-realtime"], dates["gpt-realtime-2.1"]) == ("2027-01-20", None)  # §3.8
    assert current.id == "gpt-realtime-2.1"
    assert (missing.value.code, missing.value.status_code) == ("model_not_found", 404)


async def test_the_openai_client_is_refused_with_a_wrong_key(double: OpenAIDouble) -> None:
    async with openai.AsyncOpenAI(base_url=double.api_base_url, api_key="sk-nobody-knows", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            await client.models.list()
    assert refused.value.code == "invalid_api_key"


async def test_an_unknown_path_has_the_vendors_error_body(double: OpenAIDouble) -> None:
    async with httpx.AsyncClient(headers=KEY) as client:
        missing = await client.get(f"{double.api_base_url}/responses")
        plain = await client.get(f"{double.api_base_url}/realtime?model=gpt-realtime-2.1")
    assert missing.status_code == 404
    assert missing.json()["error"] == {
        "type": "invalid_request_error",
        "code": None,
        "message": "Invalid URL (GET /v1/responses)",
        "param": None,
    }
    assert plain.status_code == 400


async def test_headers_are_kept_for_assertions_but_never_the_key(double: OpenAIDouble) -> None:
    headers = KEY | {"OpenAI-Safety-Identifier": "5f0c", "OpenAI-Project": "proj_1"}  # §1.2
    async with connect(f"{double.realtime_url}?model=gpt-realtime-2.1", additional_headers=headers):
        session = await double.wait_for_session(0)
    assert session.record.headers["OpenAI-Safety-Identifier"] == "5f0c"
    assert "sk-emulator" not in str(session.record.headers)


async def test_the_handshake_takes_the_time_it_is_told_to(config: DoubleConfig) -> None:
    timing = dataclasses.replace(config.timing, handshake_ms=60, session_updated_ms=40)
    async with OpenAIDouble(dataclasses.replace(config, timing=timing)) as double:
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with open_client(double, configured=False) as client:
            opened = loop.time()
            await client.configure()
            updated = loop.time()
    assert opened - started >= 0.06
    assert updated - opened >= 0.04

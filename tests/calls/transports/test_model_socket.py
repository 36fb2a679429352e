"""Opening a session against a model that refuses, hangs or breaks: each ends in a named cause, in time."""

from __future__ import annotations

import asyncio

import pytest
from pytest_django.fixtures import Settings

from calls.transports import prepared
from calls.transports.model_socket import ModelOpenError, cause_of_close
from calls.transports.prepared import PreparedModels
from calls.vocabulary import Cause
from emulators.openai.double import OpenAIDouble
from emulators.openai.faults import Fault, FaultKind
from gateways.voice_model import make_endpoint
from tests.calls.transports.doubles import make_agent

AGENT = make_agent()


async def test_a_claimed_session_is_configured_and_names_itself(models: PreparedModels, model: OpenAIDouble) -> None:
    socket = await models.claim("ref", AGENT, end_user="+31201234567")
    assert socket.is_open
    assert socket.session_id.startswith("sess_")
    await socket.close()


def test_an_endpoint_signs_in_hides_the_caller_and_keeps_its_key_to_itself(settings: Settings) -> None:
    settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY = "https://eu.example.com/v1", "sk-secret"
    endpoint = make_endpoint("gpt-realtime-2.1", end_user="+31201234567")
    headers = dict(endpoint.headers)
    assert endpoint.url == "wss://eu.example.com/v1/realtime?model=gpt-realtime-2.1"
    assert headers["Authorization"] == "Bearer sk-secret"
    assert len(headers["OpenAI-Safety-Identifier"]) == 64
    assert "201234567" not in headers["OpenAI-Safety-Identifier"]
    assert "OpenAI-Beta" not in headers
    assert "sk-secret" not in repr(endpoint)


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (401, Cause.MODEL_REFUSED),
        (403, Cause.MODEL_REFUSED),
        (404, Cause.MODEL_REFUSED),
        (429, Cause.MODEL_QUOTA),
        (500, Cause.MODEL_UNREACHABLE),
    ],
)
async def test_a_refused_handshake_has_its_cause(
    models: PreparedModels, model: OpenAIDouble, status: int, cause: Cause
) -> None:
    model.inject(Fault(kind=FaultKind.REFUSE_HANDSHAKE, status=status))
    with pytest.raises(ModelOpenError) as refusal:
        await models.claim("ref", AGENT)
    assert (refusal.value.cause, refusal.value.code) == (cause, status)
    assert refusal.value.permanent == (cause is Cause.MODEL_REFUSED)


async def test_a_handshake_that_hangs_is_given_up_in_time(
    models: PreparedModels, model: OpenAIDouble, settings: Settings
) -> None:
    settings.MODEL_CONNECT_TIMEOUT_S = 0.1
    model.inject(Fault(kind=FaultKind.HANG_HANDSHAKE))
    async with asyncio.timeout(3):
        with pytest.raises(ModelOpenError) as refusal:
            await models.claim("ref", AGENT)
    assert refusal.value.cause is Cause.MODEL_UNREACHABLE


async def test_a_server_that_is_not_there_is_unreachable(models: PreparedModels, settings: Settings) -> None:
    settings.OPENAI_BASE_URL = "http://127.0.0.1:1/v1"
    with pytest.raises(ModelOpenError) as refusal:
        await models.claim("ref", AGENT)
    assert refusal.value.cause is Cause.MODEL_UNREACHABLE


async def test_a_prepared_session_is_claimed_once_and_serves_one_call(
    models: PreparedModels, model: OpenAIDouble
) -> None:
    models.prepare("ref", AGENT)
    await model.wait_for_session(0)
    first = await models.claim("ref", AGENT)
    assert model.session_count == 1
    second = await models.claim("ref", AGENT)
    assert model.session_count == 2
    await first.close()
    await second.close()


async def test_a_prepared_session_that_nobody_claims_is_closed(
    models: PreparedModels, model: OpenAIDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared, "UNCLAIMED_S", 0.05)
    models.prepare("ref", AGENT)
    await model.wait_for_session(0)
    async with asyncio.timeout(5):
        while "ref" in models._prepared:  # noqa: ASYNC110 # a timer of the registry
            await asyncio.sleep(0.01)
    socket = await models.claim("ref", AGENT)
    assert model.session_count == 2
    await socket.close()


async def test_spares_are_kept_connected_and_one_serves_one_call(
    models: PreparedModels, model: OpenAIDouble, settings: Settings
) -> None:
    settings.MODEL_STANDBY = 1
    first = await models.claim("ref-1", AGENT)
    await model.wait_for_session(1)  # the spare
    async with asyncio.timeout(5):
        while not models._spares:  # noqa: ASYNC110 # connected in the background
            await asyncio.sleep(0.01)
    spare = models._spares[0]
    assert await models.claim("ref-2", AGENT) is spare
    await model.wait_for_session(2)  # the next one
    await first.close()
    await spare.close()


def test_close_codes_of_a_running_session_have_their_meaning() -> None:
    assert cause_of_close(3000) is Cause.MODEL_REFUSED
    for code in (1000, 1001, 1006, 1011, 1012, 1013):
        assert cause_of_close(code) is Cause.MODEL_LOST

"""Driving the double from outside: its own routes, a thread, a process; and what it keeps for assertions."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect as connect_sync

from emulators.openai.config import DoubleConfig
from emulators.openai.double import OpenAIDouble
from emulators.openai.script import Script
from emulators.openai.threaded import run_double
from emulators.sound import make_silence, make_wav
from emulators.speech import CALLER_VOICE, Synthesiser

from .client import open_client

SESSION_URL = "/realtime?model=gpt-realtime-2.1"
KEY = {"Authorization": "Bearer sk-emulator"}


@pytest.mark.parametrize("form", ["audio", "wav", "text"])
async def test_a_clip_registered_over_http_is_heard(double: OpenAIDouble, synthesiser: Synthesiser, form: str) -> None:
    text = "I have a toothache."
    clip = synthesiser.speak(text, voice=CALLER_VOICE)
    sound = {"audio": clip, "wav": make_wav(clip), "text": b""}[form]
    body = {"text": text, **({form: base64.b64encode(sound).decode()} if sound else {})}
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{double.base_url}/_double/clips", json=body)
    assert answer.json() == [{"text": text, "audio_ms": len(clip) / 8}]
    assert double.hearing.recognise(make_silence(50) + clip) == text


async def test_a_script_loaded_over_http_is_followed_by_sessions_already_open(double: OpenAIDouble) -> None:
    async with open_client(double) as client, httpx.AsyncClient() as http:
        answer = await http.post(
            f"{double.base_url}/_double/script", content="rules: [{greeting: true, say: Welcome.}]"
        )
        assert answer.json() == {"rules": 1}
        done = await client.ask({"type": "response.create"}, "response.done")
        assert done["response"]["output"][0]["content"][0]["transcript"] == "Welcome."
        refused = await http.post(f"{double.base_url}/_double/script", content="rules: [{greet: true}]")
    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == "script.rules[0].greet: no such field"


async def test_faults_over_http_wait_or_strike_at_once(double: OpenAIDouble) -> None:
    async with open_client(double) as client, httpx.AsyncClient(base_url=f"{double.base_url}/_double") as http:
        waiting = await http.post("/faults", json={"kind": "fail_response", "code": "insufficient_quota"})
        assert waiting.json() == {"waiting": "fail_response"}
        done = await client.ask({"type": "response.create"}, "response.done")
        assert done["response"]["status_details"]["error"]["code"] == "insufficient_quota"
        struck = await http.post("/faults", json={"kind": "dtmf_event", "digit": "5", "session_index": 0})
        assert struck.json() == {"struck": [0]}
        assert (await client.until("input_audio_buffer.dtmf_event_received"))["event"] == "5"
        assert (await http.post("/faults", json={"kind": "expire", "session_index": 7})).json() == {"struck": []}
        await http.post("/faults", json={"kind": "fail_response"})
        await http.delete("/faults")
        assert (await client.ask({"type": "response.create"}, "response.done"))["response"]["status"] == "completed"
        for wrong in ({"kind": "lightning"}, {"digit": "1"}, {"kind": "stall", "after": 3}, []):
            assert (await http.post("/faults", json=wrong)).status_code == 400
        assert (await http.post("/clips", content=b"{")).status_code == 400
        for unclear in (
            {},
            {"clips": 3},
            {"clips": ["x"]},
            {"text": "x", "wav": "UklGRg=="},
            {"text": "x", "audio": "*"},
        ):
            assert (await http.post("/clips", json=unclear)).status_code == 400


async def test_what_was_seen_can_be_read_over_http(double: OpenAIDouble) -> None:
    async with open_client(double) as client, httpx.AsyncClient(base_url=f"{double.base_url}/_double") as http:
        await client.play(make_silence(100))
        done = await client.ask({"type": "response.create"}, "response.done")
        item_id = done["response"]["output"][0]["id"]
        place = {"item_id": item_id, "content_index": 0, "audio_end_ms": 100}
        await client.ask({"type": "conversation.item.truncate", **place}, "conversation.item.truncated")
        (summary,) = (await http.get("/sessions")).json()
        detail = (await http.get("/sessions/0")).json()
        assert (await http.get("/sessions/4")).status_code == 404
    assert (summary["index"], summary["model"], summary["closed"]) == (0, "gpt-realtime-2.1", False)
    assert (summary["appends"], summary["audio_in_ms"]) == (5, 100)
    assert [{key: truncation[key] for key in place} for truncation in summary["truncations"]] == [place]
    assert [event["type"] for event in detail["events"]] == [
        "session.update",
        "response.create",
        "conversation.item.truncate",
    ]
    assert detail["items"][0]["audio_ms"] == 100
    assert "response.done" in [event["type"] for event in detail["sent"]]


async def test_a_test_may_wait_for_what_a_session_will_receive(double: OpenAIDouble) -> None:
    opening = asyncio.ensure_future(double.wait_for_session(0))
    async with open_client(double) as client:
        session = await opening
        assert session is double.sessions[0]
        waiting = asyncio.ensure_future(session.wait_for(lambda event: event["type"] == "response.cancel"))
        await client.refused({"type": "response.cancel", "event_id": "c-3"})
        assert (await waiting)["event_id"] == "c-3"
        assert (await session.wait_for(lambda event: event["type"] == "session.update"))["session"][
            "type"
        ] == "realtime"
        with pytest.raises(TimeoutError):
            await session.wait_for(lambda event: event["type"] == "never", timeout_s=0.01)
    await session.record.wait_until(lambda: session.is_closed)
    assert session.record.close_code == 1000


async def test_old_sessions_are_forgotten(config: DoubleConfig) -> None:
    async with OpenAIDouble(dataclasses.replace(config, remembered_sessions=2)) as double:
        for _ in range(3):
            async with open_client(double, configured=False):
                pass
        assert [session.index for session in double.sessions] == [1, 2]


def test_the_double_serves_from_a_thread(config: DoubleConfig) -> None:
    with run_double(config, script=Script(greeting="Hi.")) as threaded:
        url = threaded.api_base_url.replace("http", "ws") + SESSION_URL
        with connect_sync(url, additional_headers=KEY) as socket:
            assert '"session.created"' in str(socket.recv(5))
            assert threaded.call(lambda double: double.session_count) == 1
            session = threaded.wait(lambda double: double.wait_for_session(0))
            assert session.model.id == "gpt-realtime-2.1"
    with pytest.raises(httpx.ConnectError):
        httpx.get(threaded.base_url)


def test_a_double_that_cannot_start_fails_its_starter(config: DoubleConfig) -> None:
    with run_double(config) as first:
        taken = int(first.base_url.rsplit(":", 1)[1])
        with (
            pytest.raises(OSError, match="address already in use"),
            run_double(dataclasses.replace(config, port=taken)),
        ):
            pass


def test_the_double_runs_as_a_process_and_ends_on_sigterm(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text("greeting: Hi.\n")
    roots = Path(__file__).parents[3] / "platform"
    command = [sys.executable, "-m", "emulators.openai", "--api-key", "sk-1", "--script", str(script)]
    environment = os.environ | {"PYTHONPATH": str(roots)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603 - our own
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        assert httpx.get(f"{url}/models", headers={"Authorization": "Bearer sk-1"}).status_code == 200
        assert httpx.get(f"{url}/models", headers=KEY).status_code == 401
        with connect_sync(url.replace("http", "ws") + SESSION_URL, additional_headers={"Authorization": "Bearer sk-1"}):
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0

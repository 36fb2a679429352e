"""Whatever a client sends and whenever: the double keeps the promises its clients are built on (openai-realtime.md §4)."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulators.openai.config import DoubleConfig
from emulators.openai.faults import FaultQueue
from emulators.openai.hearing import Hearing
from emulators.openai.models import MODELS
from emulators.openai.script import Script
from emulators.openai.session import RealtimeSession, Shared
from emulators.sound import make_silence
from emulators.speech import CALLER_VOICE, Synthesiser

from .client import Event, check_server_event
from .conftest import QUICK

SCRIPT = Script.read(
    {
        "rules": [
            {
                "caller": ".",
                "commentary": "One moment.",
                "call": [{"name": "look"}, {"name": "look"}],
                "then": "Found.",
            },
            {"out_of_band": True, "say": "ok"},
        ],
        "greeting": "Hello there.",
    }
)
TOOL: Event = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
PHONE: Event = {
    "type": "realtime",
    "tools": [TOOL],
    "audio": {
        "input": {
            "format": {"type": "audio/pcmu"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 200},
        },
        "output": {"format": {"type": "audio/pcmu"}},
    },
}
ONCE = ("cancel", "aside", "quiet", "truncate", "delete", "answer", "update", "note", "wait")
ACTIONS = st.sampled_from([*ONCE, *("create", "speak", "listen") * 2])


class Driver:
    """A client without sense: it acts on whatever item the session happens to have."""

    def __init__(self, session: RealtimeSession, speech: bytes) -> None:
        self._session, self._speech = session, speech

    async def act(self, action: str) -> None:
        match action:
            case "create":
                self._send({"type": "response.create"})
            case "cancel":
                self._send({"type": "response.cancel"})
            case "aside":
                self._send(
                    {"type": "response.create", "response": {"conversation": "none", "output_modalities": ["text"]}}
                )
            case "speak":
                self._play(self._speech)
            case "quiet":
                self._play(make_silence(300))
            case "truncate":
                place = {"item_id": self._pick("message"), "content_index": 0, "audio_end_ms": 40}
                self._send({"type": "conversation.item.truncate", **place})
            case "delete":
                self._send({"type": "conversation.item.delete", "item_id": self._pick("message")})
            case "answer":
                call = next((item for item in reversed(self._session.items) if item.type == "function_call"), None)
                call_id = call.body["call_id"] if call else "call_none"
                output = {"type": "function_call_output", "call_id": call_id, "output": "{}"}
                self._send({"type": "conversation.item.create", "item": output})
            case "update":
                self._send({"type": "session.update", "session": {"type": "realtime", "instructions": "Other."}})
            case "note":
                note = {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Note."}]}
                self._send({"type": "conversation.item.create", "item": note})
            case "listen":
                await self._session.record.wait_until(lambda: not self._session.is_responding)
            case _:
                await asyncio.sleep(0.004)

    def _pick(self, kind: str) -> str:
        return next((item.id for item in reversed(self._session.items) if item.type == kind), "item_none")

    def _play(self, mulaw: bytes) -> None:
        for start in range(0, len(mulaw), 160):
            audio = base64.b64encode(mulaw[start : start + 160]).decode()
            self._send({"type": "input_audio_buffer.append", "audio": audio})

    def _send(self, event: Event) -> None:
        self._session.receive(json.dumps(event))


async def run_session(actions: list[str], speech_dir: Path) -> list[Event]:
    synthesiser, hearing = Synthesiser(cache_dir=speech_dir), Hearing()
    speech = synthesiser.speak("Yes, please.", voice=CALLER_VOICE)
    hearing.register(speech, "Yes, please.")
    config = DoubleConfig(timing=QUICK, cache_dir=speech_dir)
    shared = Shared(
        config=config, synthesiser=synthesiser, hearing=hearing, faults=FaultQueue(), read_script=lambda: SCRIPT
    )
    session = RealtimeSession(shared, index=0, model=MODELS["gpt-realtime-2.1"], headers={})
    session.open()
    session.receive(json.dumps({"type": "session.update", "session": PHONE}))
    await session.wait_for_sent(lambda event: event["type"] == "session.updated")
    driver = Driver(session, speech)
    for action in actions:
        await driver.act(action)
    await session.record.wait_until(lambda: not session.is_responding)
    session.close(1000)
    sent: list[Event] = []
    while not session.outbox.empty():
        frame = session.outbox.get_nowait()
        assert isinstance(frame, bytes)
        sent.append(json.loads(frame))
    return sent


def count(events: list[Event], kind: str) -> int:
    return sum(event["type"] == kind for event in events)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ACTIONS, max_size=25))
def test_whatever_a_client_does_the_promises_hold(speech_dir: Path, actions: list[str]) -> None:
    sent = asyncio.run(run_session(actions, speech_dir))
    active: str | None = None
    done: set[str] = set()
    spoken: Counter[tuple[str, str]] = Counter()
    for event in sent:
        check_server_event(event)
        kind, response = event["type"], event.get("response")
        if kind == "response.created":
            assert response["status"] == "in_progress"
            if response["conversation_id"] is not None:
                assert active is None, "two active responses in one conversation"
                active = response["id"]
        elif kind == "response.done":
            assert response["status"] in ("completed", "cancelled")
            assert response["id"] not in done
            done.add(response["id"])
            active = None if active == response["id"] else active
            assert all(item["status"] != "in_progress" for item in response["output"])
        elif "response_id" in event:
            assert event["response_id"] not in done, "an event after response.done"
        if kind in ("response.output_item.added", "response.output_item.done"):
            spoken[event["item"]["id"], kind] += 1
    ids = {item_id for item_id, _kind in spoken}
    assert all(spoken[item_id, f"response.output_item.{step}"] == 1 for item_id in ids for step in ("added", "done"))
    assert count(sent, "conversation.item.added") == count(sent, "conversation.item.done")
    assert len({event["event_id"] for event in sent}) == len(sent)

"""The rehearsal call of the demo: who rings, what is said, and the double's view of it. Talks to the doubles' control doors only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

HERE = Path(__file__).parent
NUMBER = "+15005550006"
CALLER = "+15005550100"

Step = dict[str, Any]

CONVERSATION: tuple[Step, ...] = (
    {"wait_for_agent": {"quiet_ms": 600}},
    {"say": "Hello, do you have anything free for a check-up?"},
    {"wait_heard": 2500},
    {"barge_in": {"after_heard_ms": 700, "text": "Sorry, first something else: where is my order 1001?"}},
    {"wait_for_agent": {"quiet_ms": 1800}},
    {"say": "Great. My name is Maria Jansen, please ask the dentist to call me back."},
    {"wait_for_agent": {"quiet_ms": 1200}},
    {"say": "No, thank you. Goodbye!"},
    {"wait_for_agent": {"quiet_ms": 5000}},
    {"hang_up": {}},
)


def one_sentence(sentence: str) -> tuple[Step, ...]:
    """The call of `make demo SAY="…"`: greeting, that sentence, the answer, goodbye."""
    return (
        {"wait_for_agent": {"quiet_ms": 600}},
        {"say": sentence},
        {"wait_for_agent": {"quiet_ms": 1800}},
        {"say": "Thank you. Goodbye!"},
        {"wait_for_agent": {"quiet_ms": 5000}},
        {"hang_up": {}},
    )


def read_office(*, tools_url: str) -> dict[str, Any]:
    """The demo's provisioning file, with the address of its back office filled in."""
    data: dict[str, Any] = yaml.safe_load((HERE / "office.yaml").read_text())
    for tenant in data["tenants"]:
        for tool in tenant["tools"]:
            tool["url"] = tool["url"].replace("{tools}", tools_url)
    return data


@dataclass(frozen=True, slots=True)
class Seen:
    """`first_voice_ms`: when the caller first heard a voice, on the call's clock; None before."""

    status: str
    first_voice_ms: float | None

    @property
    def is_over(self) -> bool:
        return self.status in ("completed", "busy", "failed", "no-answer", "canceled")


class Doubles:
    """The control doors of the two vendors' doubles."""

    def __init__(self, *, twilio_url: str, openai_url: str) -> None:
        self._twilio = httpx.Client(base_url=f"{twilio_url}/_double", trust_env=False, timeout=30)
        self._openai = httpx.Client(base_url=f"{openai_url}/_double", trust_env=False, timeout=30)

    def close(self) -> None:
        self._twilio.close()
        self._openai.close()

    def set_the_stage(
        self,
        *,
        account_sid: str,
        auth_token: str,
        number_sid: str,
        voice_url: str,
        fallback_url: str,
        status_url: str,
        person: str,
    ) -> None:
        """Give the carrier double the account, the number and the person; give the model double its script."""
        self._post(self._twilio, "/accounts", {"sid": account_sid, "auth_token": auth_token})
        self._post(
            self._twilio,
            "/numbers",
            {
                "e164": NUMBER,
                "account": account_sid,
                "sid": number_sid,
                "voice_url": voice_url,
                "voice_fallback_url": fallback_url,
                "status_callback": status_url,
            },
        )
        self._post(
            self._twilio,
            "/people",
            {
                "address": person,
                "rings_s": 2.0,
                "script": [{"say": "Front desk, hello. How can I help?"}, {"silence": 4}, {"hang_up": {}}],
            },
        )
        answer = self._openai.post("/script", content=(HERE / "script.yaml").read_bytes())
        answer.raise_for_status()

    def ring(self, steps: Sequence[Step]) -> str:
        """Ring the number with this caller; returns the call's SID. A double cannot hear: it is told what the clips say."""
        for step in steps:
            text = step.get("say") or (step.get("barge_in") or {}).get("text")
            if text:
                self._post(self._openai, "/clips", {"text": text})
        sid: str = self._post(self._twilio, "/calls", {"to": NUMBER, "from": CALLER, "script": list(steps)})["sid"]
        return sid

    def look_at(self, sid: str) -> Seen:
        """The call as the carrier and the caller's ear have it now."""
        answer = self._twilio.get(f"/calls/{sid}")
        answer.raise_for_status()
        found = answer.json()
        return Seen(status=found["call"]["status"], first_voice_ms=found["first_voice_ms"])

    def alerts(self) -> list[dict[str, Any]]:
        """What the carrier found wrong with our TwiML or messages."""
        answer = self._twilio.get("/alerts")
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()["alerts"]
        return found

    @staticmethod
    def _post(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = client.post(path, json=body)
        if answer.is_error:
            raise RuntimeError(f"{path}: {answer.status_code} {answer.text}")
        said: dict[str, Any] = answer.json()
        return said

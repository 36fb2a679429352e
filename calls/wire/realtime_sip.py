"""What is different about the Realtime wire on SIP: the session without what accept refuses, the model's own playout, and the look at the
conversation's tail. Pure; touches no socket.

openai-realtime.md §1.4 (accept), §4.2 (`output_audio_buffer.*`), §4.5 (the server truncates by itself).
"""

from __future__ import annotations

from typing import Any

import orjson

from agents.builtins import SEND_DIGITS
from agents.spec import AgentSpec
from calls.session.events import (
    ConversationTail,
    Event,
    ItemTruncated,
    PlayoutCleared,
    PlayoutStarted,
    PlayoutStopped,
)
from calls.wire.realtime import AudioDelta, Json, Reader, Unknown
from calls.wire.realtime_session import describe_hand_off, describe_session

# §1.4: "Unknown parameter: 'session.audio.input.turn_detection.threshold'", and the two beside it
TUNING = ("threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms")


def describe_accept(spec: AgentSpec) -> dict[str, Any]:
    """The session as the body of accept: whole, but for the formats (the SIP leg decides the codec) and the tuning it refuses."""
    session = describe_session(spec)
    heard, spoken = session["audio"]["input"], session["audio"]["output"]
    del heard["format"], spoken["format"]
    heard["turn_detection"] = {key: value for key, value in heard["turn_detection"].items() if key not in TUNING}
    return {**session, "model": spec.realtime.model, "tools": _offer(session["tools"])}


def describe_sip_hand_off(spec: AgentSpec) -> dict[str, Any]:
    diff = describe_hand_off(spec)
    return {**diff, "tools": _offer(diff["tools"])}


def encode_clear(event_id: str) -> bytes:
    """Drops what the caller has not heard yet; a `response.cancel` goes first (§4.1)."""
    return orjson.dumps({"type": "output_audio_buffer.clear", "event_id": event_id})


def encode_retrieve(item_id: str, event_id: str) -> bytes:
    return orjson.dumps({"type": "conversation.item.retrieve", "event_id": event_id, "item_id": item_id})


def _offer(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The model is not told of what the line cannot do (product 5.0)."""
    return [tool for tool in tools if tool["name"] != SEND_DIGITS]


class SipReader(Reader):
    """Reads a control socket. After `look_back`, the next note of ours tells what stood last before it: see `take_tail`."""

    def __init__(self) -> None:
        super().__init__()
        self._looks_back = False
        self._tail = ""

    def look_back(self) -> None:
        """A session that went on without us: find out what was said last in it."""
        self._looks_back = True

    def take_tail(self) -> str:
        """The item to ask for; empty when there is none. Once."""
        tail, self._tail = self._tail, ""
        return tail

    def read(self, raw: bytes) -> AudioDelta | list[Event] | Unknown:
        news = super().read(raw)
        if isinstance(news, AudioDelta):  # the sound takes another way; should it come here too, it is nobody's (§4.2)
            return list(news.before)
        return news

    def _special(self, event: Json) -> list[Event] | None:
        match event.get("type"):
            case "output_audio_buffer.started":
                return [PlayoutStarted(str(event["response_id"]))]
            case "output_audio_buffer.stopped":
                return [PlayoutStopped(str(event["response_id"]))]
            case "output_audio_buffer.cleared":
                return [PlayoutCleared(str(event["response_id"]))]
            case "conversation.item.truncated":
                return [ItemTruncated(str(event["item_id"]), int(event["content_index"]), int(event["audio_end_ms"]))]
            case "conversation.item.retrieved":
                return [self._read_tail(event["item"])]
            case "conversation.item.added" if self._looks_back and event["item"].get("role") == "system":
                self._looks_back = False
                self._tail = str(event.get("previous_item_id") or "")
                return []
        return None

    @staticmethod
    def _read_tail(item: Json) -> ConversationTail:
        if item.get("type") != "function_call":
            return ConversationTail(str(item.get("id") or ""))
        return ConversationTail(
            str(item["id"]), str(item["call_id"]), str(item["name"]), str(item.get("arguments") or "")
        )

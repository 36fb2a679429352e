"""The items of one session in order, and what a client may do to them (openai-realtime.md §4.1, §4.3, §4.5). Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

import orjson
from openai.types.realtime.conversation_item_create_event import ConversationItemCreateEvent

from emulators.openai.config import Switches
from emulators.openai.usage import (
    ITEM_OVERHEAD_TOKENS,
    Segment,
    count_assistant_audio_tokens,
    count_text_tokens,
    count_user_audio_tokens,
)
from emulators.openai.validation import check_shape, refuse_value
from emulators.openai.wire import JsonObject, RequestError, make_id
from emulators.sound import MULAW_BYTES_PER_MS

ROOT = "root"  # §4.1: previous_item_id that means "first"
_IMAGE_TOKENS = 512  # the reference names no figure; phone agents send no pictures

# §4.3: which content a client may put into a message of each role.
_CONTENT_OF_ROLE = {
    "system": {"input_text": ("text",)},
    "user": {"input_text": ("text",), "input_audio": ("audio",), "input_image": ("image_url",)},
    "assistant": {"output_text": ("text",)},
}
_SERVER_MADE = ("mcp_list_tools", "mcp_call", "mcp_approval_request")


@dataclass(slots=True, eq=False)
class Item:
    """One item: `body` is its wire form without sound, `audio` what was committed or generated (8 kHz μ-law)."""

    body: JsonObject
    audio: bytes = b""
    heard: str = ""  # what a person would have understood; the transcript may come later, or never
    revision: int = 0  # grows with each truncation: the prompt cache no longer knows the item

    @property
    def id(self) -> str:
        return str(self.body["id"])

    @property
    def type(self) -> str:
        return str(self.body["type"])

    @property
    def role(self) -> str | None:
        return self.body.get("role")

    @property
    def audio_ms(self) -> float:
        return len(self.audio) / MULAW_BYTES_PER_MS

    @property
    def content(self) -> list[JsonObject]:
        content: list[JsonObject] = self.body.get("content", [])
        return content

    @property
    def is_spoken(self) -> bool:
        return self.role == "assistant" and any(part["type"] == "output_audio" for part in self.content)

    @property
    def text(self) -> str:
        """Everything in the item that is text to the model."""
        if self.type in ("function_call", "function_call_output"):
            return str(self.body.get("arguments", self.body.get("output", "")))
        return " ".join(str(part.get("text") or part.get("transcript") or "") for part in self.content).strip()

    def copy_body(self) -> JsonObject:
        """The wire form as it is now: events already sent must not change with the item."""
        copied = dict(self.body)
        if "content" in copied:
            copied["content"] = [dict(part) for part in copied["content"]]
        return copied

    def measure(self) -> Segment:
        images = sum(part["type"] == "input_image" for part in self.content)
        audio_tokens = 0
        if self.audio:
            count = count_assistant_audio_tokens if self.role == "assistant" else count_user_audio_tokens
            audio_tokens = count(self.audio_ms)
        # The model hears a caller's audio; its transcript is somebody else's work and not in the context (§3.6).
        text = "" if self.audio and self.role == "user" else self.text
        tokens = count_text_tokens(text) + ITEM_OVERHEAD_TOKENS
        return Segment(f"{self.id}#{self.revision}", tokens, audio_tokens, images * _IMAGE_TOKENS)


class Conversation:
    def __init__(self, *, switches: Switches) -> None:
        self.id = make_id("conv")
        self.items: list[Item] = []
        self._switches = switches

    def find(self, item_id: object) -> Item | None:
        return next((item for item in self.items if item.body["id"] == item_id), None)

    def access(self, item_id: str, *, param: str = "item_id") -> Item:
        item = self.find(item_id)
        if item is None:
            raise RequestError(
                f"Item with item_id '{item_id}' not found.", code=self._switches.missing_item_code, param=param
            )
        return item

    def find_call(self, call_id: str) -> Item | None:
        return next((i for i in self.items if i.type == "function_call" and i.body["call_id"] == call_id), None)

    def add(self, item: Item, *, after: str | None = None) -> str | None:
        """Puts the item at the end, or after another one; returns the id of the one before it."""
        place = len(self.items)
        if after == ROOT:
            place = 0
        elif after is not None:
            place = self.items.index(self.access(after, param="previous_item_id")) + 1
        self.items.insert(place, item)
        return self.items[place - 1].id if place else None

    def name_previous(self, item: Item) -> str | None:
        place = self.items.index(item) if item in self.items else 0
        return self.items[place - 1].id if place else None

    def check_create(self, event: JsonObject) -> Item:
        """The item a valid `conversation.item.create` asks for. Raises RequestError."""
        check_shape(event, ConversationItemCreateEvent, path="")
        body = event["item"]
        self._check_id(body.get("id"))
        check_client_item(body)
        if body["type"] == "function_call_output" and self.find_call(body["call_id"]) is None:  # §3.7 step 3
            raise RequestError(
                f"Tool call ID '{body['call_id']}' not found in conversation.",
                code="invalid_tool_call_id",
                param="item.call_id",
            )
        previous = event.get("previous_item_id")
        if previous not in (None, ROOT):
            self.access(previous, param="previous_item_id")
        return make_client_item(body)

    def truncate(self, item_id: str, *, content_index: int, audio_end_ms: int) -> None:
        """Cuts stored speech to what was heard and forgets its transcript (§4.5). Raises RequestError."""
        item = self.access(item_id)
        if not item.is_spoken or not item.audio:
            raise RequestError(
                "Only model output audio messages can be truncated", code="unsupported_content_type", param="item_id"
            )
        if content_index != 0:
            raise RequestError(
                f"Content index {content_index} does not exist.", code="invalid_value", param="content_index"
            )
        if audio_end_ms < 0 or (audio_end_ms == 0 and not self._switches.truncate_at_zero):
            raise RequestError(f"Invalid 'audio_end_ms': {audio_end_ms}.", code="invalid_value", param="audio_end_ms")
        if audio_end_ms > item.audio_ms:
            raise RequestError(
                f"Audio content of {int(item.audio_ms)}ms is already shorter than {audio_end_ms}ms",
                code="invalid_value",
                param="audio_end_ms",
            )
        item.audio = item.audio[: audio_end_ms * MULAW_BYTES_PER_MS]
        item.revision += 1
        for part in item.content:
            part.pop("transcript", None)

    def delete(self, item_id: str) -> None:
        self.items.remove(self.access(item_id))

    def _check_id(self, item_id: str | None) -> None:
        if item_id is None:
            return
        if len(item_id) > self._switches.item_id_max_chars:
            raise RequestError(
                f"Invalid 'item.id': string too long. Expected a string with maximum length "
                f"{self._switches.item_id_max_chars}, but got a string with length {len(item_id)} instead.",
                code="invalid_value",
                param="item.id",
            )
        if self.find(item_id) is not None:
            raise RequestError(
                f"Error adding item: an item with the ID '{item_id}' already exists in the conversation.",
                code="invalid_value",
                param="item.id",
            )


def check_client_item(body: JsonObject, *, path: str = "item") -> None:
    """§4.3: what a client may create."""
    if body["type"] in _SERVER_MADE:
        raise refuse_value(f"{path}.type", body["type"], supported=("message", "function_call", "function_call_output"))
    if body["type"] != "message":
        return
    allowed = _CONTENT_OF_ROLE[body["role"]]
    for index, part in enumerate(body["content"]):
        place = f"{path}.content[{index}]"
        if part.get("type") not in allowed:  # assistant audio cannot be created (§4.1)
            raise refuse_value(f"{place}.type", part.get("type"), supported=tuple(allowed))
        for key in allowed[part["type"]]:
            if part.get(key) is None:
                raise RequestError(
                    f"Missing required parameter: '{place}.{key}'.",
                    code="missing_required_parameter",
                    param=f"{place}.{key}",
                )
        if part["type"] == "input_audio":
            decode_audio(part["audio"], param=f"{place}.audio")


def make_client_item(body: JsonObject) -> Item:
    stored: JsonObject = {"id": body.get("id") or make_id("item"), "object": "realtime.item", "status": "completed"}
    stored |= {key: value for key, value in body.items() if value is not None and key not in ("id", "object", "status")}
    if "content" in stored:
        # Sound never travels back with `added` and `done` (§4.2).
        stored["content"] = [
            {key: value for key, value in part.items() if key != "audio"} for part in stored["content"]
        ]
    item = Item(stored)
    if item.role == "user":
        item.heard = item.text
    return item


def decode_audio(encoded: str, *, param: str) -> bytes:
    try:
        return binascii.a2b_base64(encoded, strict_mode=True)
    except (binascii.Error, ValueError):
        raise RequestError(
            "Invalid audio. Expected base64-encoded audio bytes.", code="invalid_value", param=param
        ) from None


def encode_audio(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


def fit_context(items: Iterable[Item], *, truncation: object, room_tokens: int) -> list[Item] | None:
    """The items that still fit (§3.5), oldest dropped first; None when truncation is disabled and they do not fit."""
    kept = list(items)
    limit, ratio = room_tokens, 1.0
    if isinstance(truncation, dict):
        ratio = truncation["retention_ratio"]
        limit = min(limit, (truncation.get("token_limits") or {}).get("post_instructions") or limit)
    total = sum(item.measure().tokens for item in kept)
    if total <= limit:
        return kept
    if truncation == "disabled":
        return None
    while kept and total > limit * ratio:
        total -= kept.pop(0).measure().tokens
    return kept


def measure_context(*, instructions: str, tools: list[JsonObject], items: Iterable[Item]) -> list[Segment]:
    """The prompt as the cache sees it: instructions, tools, items in order (§5.4)."""
    named_tools = orjson.dumps(tools, option=orjson.OPT_SORT_KEYS).decode() if tools else ""
    return [
        Segment(f"instructions {instructions}", count_text_tokens(instructions)),
        Segment(f"tools {named_tools}", count_text_tokens(named_tools)),
        *(item.measure() for item in items),
    ]

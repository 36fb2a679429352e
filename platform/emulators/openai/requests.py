"""Reads `response.create` (openai-realtime.md §4.6) and turns it into a response with its effective settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from openai.types.realtime.conversation_item import ConversationItem
from openai.types.realtime.response_create_event import ResponseCreateEvent
from openai.types.realtime.response_item_reference import ResponseItemReference

from emulators.openai.audio import OutputFormat
from emulators.openai.config import DoubleConfig
from emulators.openai.conversation import Item, check_client_item, fit_context, make_client_item, measure_context
from emulators.openai.models import RealtimeModel, choose_session_voice
from emulators.openai.planner import Circumstances, Plan, read_stimulus
from emulators.openai.response import Response, ResponseOptions
from emulators.openai.session_config import check_generation
from emulators.openai.usage import count_reasoning_tokens
from emulators.openai.validation import check_shape
from emulators.openai.wire import JsonObject, RequestError

if TYPE_CHECKING:
    from emulators.openai.session import RealtimeSession

# §4.6 and §6.1.
_METADATA_PAIRS, _METADATA_KEY_CHARS, _METADATA_VALUE_CHARS = 16, 64, 512


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """`options` are the session's settings with the request's on top; `given` is what the request itself said."""

    options: JsonObject
    given: JsonObject = field(default_factory=dict)

    @classmethod
    def automatic(cls, session: JsonObject) -> ResponseRequest:
        return cls(session)

    @property
    def in_conversation(self) -> bool:
        return self.given.get("conversation") != "none"

    def make_response(self, session: RealtimeSession) -> Response:
        options, model = self.options, session.model
        items = self._collect_items(session)
        context = fit_context(
            items,
            truncation=session.settings["truncation"],
            room_tokens=model.context_tokens - model.output_tokens_max,
        )
        measured = measure_context(
            instructions=options["instructions"], tools=options["tools"], items=items if context is None else context
        )
        output = options["audio"]["output"]
        made = Response(
            session,
            ResponseOptions(
                in_conversation=self.in_conversation,
                speaks=options["output_modalities"] == ["audio"],
                voice_name=output["voice"],
                voice=choose_session_voice(options),
                format=OutputFormat(output["format"]["type"]),
                max_output_tokens=options["max_output_tokens"],
                metadata=self.given.get("metadata"),
                reasoning_tokens=count_reasoning_tokens((options.get("reasoning") or {}).get("effort")),
                context=measured,
                earlier_context=session.last_context,
                overflows=context is None,
            ),
            make_plan=lambda: self._plan(session),
        )
        session.last_context = measured
        return made

    def _plan(self, session: RealtimeSession) -> Plan:
        """Made when the response is announced, so that an item added in between still counts."""
        options = self.options
        stimulus = read_stimulus(self._collect_items(session), names=session.call_names)
        circumstances = Circumstances(
            session_instructions=session.settings["instructions"],
            response_instructions=self.given.get("instructions") or "",
            tools=options["tools"],
            tool_choice=options["tool_choice"],
            parallel_tool_calls=options.get("parallel_tool_calls", True),
            reasons=session.model.reasons,
            out_of_band=not self.in_conversation,
            speaks=options["output_modalities"] == ["audio"],
            phase_on_every_message=session.config.switches.phase_on_every_message,
        )
        return session.planner.plan(stimulus, script=session.script, circumstances=circumstances)

    def _collect_items(self, session: RealtimeSession) -> list[Item]:
        given = self.given.get("input")
        if given is None:
            return list(session.conversation.items)
        return [
            session.conversation.access(entry["id"], param=f"response.input[{index}].id")
            if entry["type"] == "item_reference"
            else make_client_item(entry)
            for index, entry in enumerate(given)
        ]


def read_request(
    event: JsonObject, *, session: JsonObject, model: RealtimeModel, config: DoubleConfig, spoke: bool
) -> ResponseRequest:
    """Raises RequestError for a `response.create` that the service refuses."""
    given = {} if event.get("response") is None else event["response"]
    inputs = given.get("input") if isinstance(given, dict) else None
    # The published type of `input` leaves out references, which only the request's own type has: checked one by one.
    plain = (
        {**event, "response": {k: v for k, v in given.items() if k != "input"}} if isinstance(given, dict) else event
    )
    check_shape(plain, ResponseCreateEvent, path="")
    for index, entry in enumerate(_check_list(inputs)):
        _check_input(entry, path=f"response.input[{index}]")
    tools = session["tools"] if given.get("tools") is None else given["tools"]
    check_generation(given, tools=tools, model=model, switches=config.switches, path="response")
    _check_voice(given, session=session, spoke=spoke)
    _check_metadata(given.get("metadata"))
    if given.get("conversation") not in (None, "auto", "none"):
        raise RequestError(
            f"Invalid value: '{given['conversation']}'. Supported values are: 'auto', and 'none'.",
            code="invalid_value",
            param="response.conversation",
        )
    named = ("output_modalities", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning")
    options = session | {key: given[key] for key in (*named, "max_output_tokens") if given.get(key) is not None}
    output = (given.get("audio") or {}).get("output") or {}
    output = {key: value for key, value in output.items() if value is not None}
    options["audio"] = {**session["audio"], "output": {**session["audio"]["output"], **output}}
    return ResponseRequest(options, given)


def _check_list(inputs: object) -> list[object]:
    if inputs is None:
        return []
    if not isinstance(inputs, list):
        raise RequestError(
            "Invalid type for 'response.input': expected an array.", code="invalid_type", param="response.input"
        )
    return inputs


def _check_input(entry: object, *, path: str) -> None:
    if isinstance(entry, dict) and entry.get("type") == "item_reference":
        check_shape(entry, ResponseItemReference, path=path)
        return
    check_shape(entry, ConversationItem, path=path)
    if isinstance(entry, dict):
        check_client_item(entry, path=path)


def _check_voice(given: JsonObject, *, session: JsonObject, spoke: bool) -> None:
    voice = ((given.get("audio") or {}).get("output") or {}).get("voice")
    if spoke and voice not in (None, session["audio"]["output"]["voice"]):  # §3.2; the type of the field says it too
        raise RequestError(
            "Cannot update a conversation's voice if assistant audio is present.",
            code="cannot_update_voice",
            param="response.audio.output.voice",
        )


def _check_metadata(metadata: JsonObject | None) -> None:
    if metadata is None:
        return
    fits = len(metadata) <= _METADATA_PAIRS and all(
        len(key) <= _METADATA_KEY_CHARS and len(value) <= _METADATA_VALUE_CHARS for key, value in metadata.items()
    )
    if not fits:
        raise RequestError(
            f"Invalid 'response.metadata': at most {_METADATA_PAIRS} pairs, keys up to {_METADATA_KEY_CHARS} and "
            f"values up to {_METADATA_VALUE_CHARS} characters.",
            code="invalid_value",
            param="response.metadata",
        )

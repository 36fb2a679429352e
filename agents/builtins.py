"""The tools every agent may be given without a server behind them: their names, words for a voice model, and schemas; runs nothing.

The call session acts on them (product 4.5). `for_agent` fills in what one agent may name: its contacts, the agents it may hand off to and
the fields it collects, so the model can only pick what exists (product 6.3: a named contact, never a number).
"""

from __future__ import annotations

from typing import Any

import msgspec

from agents.spec import AgentSpec, Field, ToolPolicy, ToolSpec

END_CALL = "end_call"
TRANSFER_TO_PERSON = "transfer_to_person"
HAND_OFF = "hand_off"
SEND_DIGITS = "send_digits"
COLLECT_DIGITS = "collect_digits"
WAIT = "wait"
TAKE_MESSAGE = "take_message"

DIGITS_PATTERN = "^[0-9*#A-DwW]+$"  # twilio.md: w pauses 0.5 s, W 1 s
MAX_SENT_DIGITS = 64  # keeps the tones of one run below about 15 s
MAX_COLLECTED_DIGITS = 32  # card numbers (19) and IBAN digits fit

# How a collected field is described to the model, by kind. Formats are words here: the vendor's schema check is not strict (§3.7).
_FIELD_SCHEMAS: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "description": "A date as YYYY-MM-DD."},
    "phone": {"type": "string", "description": "A phone number with country code, as +31201234567."},
    "email": {"type": "string", "description": "An e-mail address."},
}


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _text(description: str, max_length: int = 500) -> dict[str, Any]:
    return {"type": "string", "description": description, "maxLength": max_length}


_SUMMARY = _text("What the caller wants and what was settled so far, in two sentences, for whoever takes over.", 2000)

BUILTINS: dict[str, ToolSpec] = {
    tool.name: tool
    for tool in (
        ToolSpec(
            name=END_CALL,
            kind="builtin",
            description=(
                "Hang up. Call this only when the conversation is finished and you have said goodbye in the same turn, or when the "
                "caller asks to end the call. The line closes after your last words were heard; say nothing after it."
            ),
            parameters=_object({"reason": _text("Why the call is over, in a few words; not spoken.")}, ["reason"]),
        ),
        ToolSpec(
            name=TRANSFER_TO_PERSON,
            kind="builtin",
            description=(
                "Connect the caller to a person. Use it when the caller asks for a human, or when you cannot help further. First tell "
                "the caller in one short sentence that you are connecting them; the transfer starts after those words were heard. "
                "Pick one of the listed contacts; never read out or invent a phone number."
            ),
            parameters=_object(
                {
                    "contact": {"type": "string", "description": "The contact to ring."},
                    "reason": _text("Why this caller needs a person, in a few words."),
                    "summary": _SUMMARY,
                    "collected": {"type": "object", "description": "What you collected from the caller, by field."},
                },
                ["contact", "reason", "summary"],
            ),
        ),
        ToolSpec(
            name=HAND_OFF,
            kind="builtin",
            description=(
                "Let another agent of this business go on with the conversation, when its task fits the caller's wish better than "
                "yours. The caller keeps hearing the same voice, so do not say goodbye and do not announce a transfer."
            ),
            parameters=_object(
                {
                    "agent": {"type": "string", "description": "The agent that goes on."},
                    "reason": _text("Why the other agent fits better, in a few words."),
                    "summary": _SUMMARY,
                },
                ["agent", "reason"],
            ),
        ),
        ToolSpec(
            name=SEND_DIGITS,
            kind="builtin",
            description=(
                "Press keys on the line, for example to choose from another company's phone menu. Do not speak while the tones play. "
                "Use w for a pause of half a second and W for a pause of one second."
            ),
            parameters=_object(
                {
                    "digits": {
                        "type": "string",
                        "pattern": DIGITS_PATTERN,
                        "maxLength": MAX_SENT_DIGITS,
                        "description": "The keys to press, in order: 0-9, * and #, A-D, w and W.",
                    }
                },
                ["digits"],
            ),
        ),
        ToolSpec(
            name=COLLECT_DIGITS,
            kind="builtin",
            description=(
                "Let the caller type digits on the keypad, for numbers that are hard to hear or must stay private. First ask the "
                "caller to type them, then call this and wait in silence. With secret true you get a reference instead of the "
                "digits: pass that reference to a tool, and never ask the caller to speak such digits aloud."
            ),
            parameters=_object(
                {
                    "max_digits": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": MAX_COLLECTED_DIGITS,
                        "description": "Stop after this many digits.",
                    },
                    "terminator": {
                        "type": "string",
                        "enum": ["#", "*", ""],
                        "description": "The key that ends the input early; empty for none. Usually #.",
                    },
                    "secret": {
                        "type": "boolean",
                        "description": "True for card numbers, PINs and the like: you will not see the digits.",
                    },
                    "purpose": _text("What the digits are, in a few words, for example order number."),
                },
                ["max_digits", "purpose"],
            ),
        ),
        ToolSpec(
            name=WAIT,
            kind="builtin",
            # openai-realtime.md §8.3: a no-op tool, answered without a new response, keeps the model quiet over noise.
            description=(
                "Stay silent and keep listening. Call this instead of speaking when you hear only noise, music, a voice in the "
                "background or a person who asks you to hold on."
            ),
            parameters=_object({}, []),
        ),
        ToolSpec(
            name=TAKE_MESSAGE,
            kind="builtin",
            description=(
                "Note a message for a person of this business. Collect it first and read the phone number back digit by digit; after "
                "the call of this tool confirm to the caller that the message was noted. Somebody will read it; promise no time."
            ),
            parameters=_object(
                {
                    "caller_name": _text("The caller's name as they said it; empty when they did not say.", 200),
                    "phone": _text(
                        "The number to call back, with country code when known; empty for the calling number.", 40
                    ),
                    "text": _text("The message in the caller's own words.", 4000),
                    "urgent": {"type": "boolean", "description": "True when the caller says it cannot wait."},
                },
                ["text"],
            ),
        ),
    )
}


def for_agent(spec: AgentSpec) -> dict[str, ToolSpec]:
    """The built-ins this agent declares, in its order, with its contacts, hand-off targets and fields filled in.

    A tool that would have nothing to pick from (no contact, no hand-off target) is left out: the model must not see it.
    """
    ready: dict[str, ToolSpec] = {}
    for declared in spec.tools:
        if declared.kind != "builtin" or declared.name not in BUILTINS:
            continue  # an unknown name is preflight's finding
        if declared.name == TRANSFER_TO_PERSON and not spec.contacts:
            continue
        if declared.name == HAND_OFF and not spec.hand_offs:
            continue
        ready[declared.name] = _specialise(declared, spec)
    return ready


def _specialise(declared: ToolSpec, spec: AgentSpec) -> ToolSpec:
    base = BUILTINS[declared.name]
    properties: dict[str, Any] = dict(base.parameters["properties"])
    required: list[str] = list(base.parameters["required"])
    description = declared.description or base.description
    if declared.name == TRANSFER_TO_PERSON:
        choices = [(contact.name, contact.description) for contact in spec.contacts]
        properties["contact"] = {**properties["contact"], "enum": [name for name, _ in choices]}
        description += _list_choices("Contacts", choices)
        if spec.collect:
            properties["collected"] = _collected_schema(spec.collect)
            if any(field.required for field in spec.collect):
                required.append("collected")
        else:
            del properties["collected"]
    elif declared.name == HAND_OFF:
        choices = [(target.agent, target.description) for target in spec.hand_offs]
        properties["agent"] = {**properties["agent"], "enum": [name for name, _ in choices]}
        description += _list_choices("Agents", choices)
    if declared.policy is ToolPolicy.CONFIRM:
        description += " Ask the caller to confirm before you call this."
    if declared.filler:
        description += f" Right before you call this, say: {declared.filler}"
    return msgspec.structs.replace(
        declared, description=description, parameters=_object(properties, required), http=None
    )


def _list_choices(title: str, choices: list[tuple[str, str]]) -> str:
    return f" {title}: " + "; ".join(f"{name} ({about})" if about else name for name, about in choices) + "."


def _collected_schema(fields: tuple[Field, ...]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field in fields:
        schema = dict(_FIELD_SCHEMAS[field.kind])
        words = " ".join(part for part in (field.description, schema.get("description", "")) if part)
        properties[field.name] = {**schema, "description": words} if words else schema
    collected = _object(properties, [field.name for field in fields if field.required])
    return {
        **collected,
        "description": "What you collected from the caller. Ask for what is required before transferring.",
    }

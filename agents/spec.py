"""Everything one call needs to know about an agent, as frozen values; computes, and never touches Django, sockets or a clock.

Stored as JSON on the immutable agent version (`to_builtins`) and read back strictly (`parse_agent`), so a typing error in a
declarative file is answered with the path of the field. Sources: product.md §4.1–4.7, openai-realtime.md §3.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

import msgspec

MODELS: dict[str, bool] = {  # model -> may think (sends `reasoning`); openai-realtime.md §3.8
    "gpt-realtime-2.1": True,
    "gpt-realtime-2.1-mini": True,
    "gpt-realtime-2": True,
    "gpt-realtime-1.5": False,
    "gpt-realtime": False,
    "gpt-realtime-mini": False,
}
VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")  # §3.8
TRANSCRIBERS = ("gpt-4o-mini-transcribe", "gpt-4o-transcribe", "whisper-1", "gpt-transcribe")  # §3.6


class SpecError(ValueError):
    """A declared agent does not fit the schema; the text names the field and the mend."""


class Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every value below: immutable, compared by content, unknown keys refused."""


class TurnDetection(Frozen, frozen=True, kw_only=True):
    """When a turn begins and ends. Fields that the kind does not know are not sent (openai-realtime.md §3.4)."""

    kind: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    interrupt_response: bool = True
    create_response: bool = True


class Transcription(Frozen, frozen=True, kw_only=True):
    model: str = "gpt-4o-mini-transcribe"
    language: str = ""  # empty: detect
    prompt: str = ""


class NoiseReduction(Frozen, frozen=True, kw_only=True):
    kind: Literal["near_field", "far_field", "off"] = "near_field"


class Truncation(Frozen, frozen=True, kw_only=True):
    """Bounds the re-read context (openai-realtime.md §5.4: 0.7–0.8 with a cap keeps caches warm)."""

    retention_ratio: float = 0.8
    post_instructions: int = 16_000


class Realtime(Frozen, frozen=True, kw_only=True):
    """What the speech-to-speech engine is told; every field is sent explicitly (product 4.2)."""

    model: str = "gpt-realtime-2.1"
    voice: str = "marin"
    speed: float = 1.0
    effort: Literal["minimal", "low", "medium", "high", "xhigh"] = "low"
    max_output_tokens: int | Literal["inf"] = "inf"
    turn_detection: TurnDetection = TurnDetection()
    noise_reduction: NoiseReduction = NoiseReduction()
    transcription: Transcription = Transcription()
    truncation: Truncation = Truncation()
    parallel_tool_calls: bool = True


class ToolPolicy(StrEnum):
    IMMEDIATE = "immediate"
    CONFIRM = "confirm"


class HttpCall(Frozen, frozen=True, kw_only=True):
    """How an HTTP tool is run. `url` may hold `{argument}`; `headers` values may hold `{secret:name}`."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    url: str
    headers: dict[str, str] = {}
    response_path: str = ""  # dotted path into the JSON answer; empty: the whole answer
    retries: int = 1


class McpCall(Frozen, frozen=True, kw_only=True):
    """A tool of a remote MCP server: we are the client, the model sees a function (product 4.5). `headers` as in HttpCall."""

    url: str
    tool: str  # its name at the server; ours carries the server's in front
    headers: dict[str, str] = {}


class ToolSpec(Frozen, frozen=True, kw_only=True):
    """One function the model may call. Built-ins carry neither `http` nor `mcp`; their behaviour is the session's (product 4.5)."""

    name: str
    kind: Literal["http", "mcp", "builtin"] = "http"
    description: str = ""
    parameters: dict[str, Any] = msgspec.field(default_factory=lambda: {"type": "object", "properties": {}})
    http: HttpCall | None = None
    mcp: McpCall | None = None
    timeout_s: float = 10.0
    idempotent: bool = False
    policy: ToolPolicy = ToolPolicy.IMMEDIATE
    filler: str = ""  # spoken by the agent before the tool runs; empty: the model decides
    on_failure: str = ""  # what the agent says when the tool fails
    secret_names: tuple[str, ...] = ()
    overrides: tuple[
        str, ...
    ] = ()  # of an agent's copy: what this agent says differently, whatever becomes of the tool


class Guardrail(Frozen, frozen=True, kw_only=True):
    """Watches what the agent is about to be heard saying (product 4.6)."""

    name: str
    kind: Literal["pattern", "judge"] = "pattern"
    pattern: str = ""  # regular expression, case-insensitive, for kind=pattern
    question: str = ""  # yes/no question for kind=judge; "yes" trips
    correction: str = ""  # what the agent is told to do instead


class Contact(Frozen, frozen=True, kw_only=True):
    """A person the agent may transfer to; the model picks the name, never the number (product 6.3)."""

    name: str
    e164: str
    description: str = ""


class HandOff(Frozen, frozen=True, kw_only=True):
    """Another agent this one may hand the conversation to."""

    agent: str
    description: str = ""


class Field(Frozen, frozen=True, kw_only=True):
    """Information to collect before a hand-over."""

    name: str
    description: str = ""
    kind: Literal["text", "number", "boolean", "date", "phone", "email"] = "text"
    required: bool = False


class SilenceLadder(Frozen, frozen=True, kw_only=True):
    """What happens while the caller says nothing: each prompt after `after_s`, then the goodbye and hang-up."""

    after_s: float = 8.0
    prompts: tuple[str, ...] = ("Are you still there?", "I can't hear you. Are you still on the line?")
    goodbye: str = "I can't hear anyone, so I will hang up now. Please call again. Goodbye."


class AgentSpec(Frozen, frozen=True, kw_only=True):
    """One published agent: all a call needs. `version_id` is the AgentVersion row that holds it (empty in a draft)."""

    name: str
    instructions: str
    version_id: str = ""
    objective: Literal[
        "lead_capture", "triage", "after_hours", "appointments", "routing", "support", "outbound_sales", "reception"
    ] = "reception"
    greeting: str = "Hello, how can I help you?"
    speaks_first: Literal["agent", "caller"] = "agent"
    languages: tuple[str, ...] = ("en",)
    realtime: Realtime = Realtime()
    tools: tuple[ToolSpec, ...] = ()
    hand_offs: tuple[HandOff, ...] = ()
    contacts: tuple[Contact, ...] = ()
    collect: tuple[Field, ...] = ()
    guardrails: tuple[Guardrail, ...] = ()
    silence: SilenceLadder = SilenceLadder()
    max_duration_s: int = 1800
    wrap_up_s: int = 60  # the agent is told to finish this long before the cap
    goodbye: str = "Our time is up. Thank you for calling, goodbye."
    recording: bool = False
    disclosure: str = ""  # spoken, and heard, before recording starts
    barge_in: bool = True

    def tool(self, name: str) -> ToolSpec | None:
        """The declared tool of that name, or None."""
        return next((tool for tool in self.tools if tool.name == name), None)


def parse_agent(data: object) -> AgentSpec:
    """Read an agent from plain JSON values. Raises SpecError naming the path of the first field that does not fit."""
    try:
        return msgspec.convert(data, AgentSpec)
    except msgspec.ValidationError as error:
        raise SpecError(str(error)) from error


def to_builtins(spec: AgentSpec | ToolSpec) -> dict[str, Any]:
    """The agent or tool as plain JSON values, every default written out (product 4.2: nothing is left to a default)."""
    data: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(spec)
    )  # lists as lists, as a JSON column gives them back
    return data


def parse_tool(data: object) -> ToolSpec:
    """Read one tool from plain JSON values. Raises SpecError naming the path of the first field that does not fit."""
    try:
        return msgspec.convert(data, ToolSpec)
    except msgspec.ValidationError as error:
        raise SpecError(str(error)) from error

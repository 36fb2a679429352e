"""Chooses what the agent says and does next: reads what is new in the conversation and follows the script. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import orjson

from emulators.openai.conversation import Item
from emulators.openai.script import Rule, Script, fill_arguments, fill_text
from emulators.openai.wire import JsonObject, make_id

Phase = Literal["commentary", "final_answer"]

# The convention of greetings and fixed announcements: Say exactly: "Good morning, Acme Dental."
_EXACTLY = re.compile(r"exactly:\s*(?:\"([^\"]+)\"|“([^”]+)”)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PlannedMessage:
    text: str
    phase: Phase | None


@dataclass(frozen=True, slots=True)
class PlannedCall:
    name: str
    call_id: str
    arguments: str


Plan = Sequence[PlannedMessage | PlannedCall]


@dataclass(frozen=True, slots=True)
class Stimulus:
    """What is new since the agent last spoke or called."""

    spoke_before: bool = False
    caller: str | None = None  # None: the caller said nothing; "": something that nobody understood
    notes: tuple[str, ...] = ()
    outputs: tuple[tuple[str, str, str], ...] = ()  # tool, call id, output

    @property
    def is_greeting(self) -> bool:
        return not self.spoke_before and self.caller is None and not self.outputs

    @property
    def is_nudge(self) -> bool:
        return self.spoke_before and self.caller is None and not self.outputs and not self.notes


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What the response may do."""

    session_instructions: str
    response_instructions: str = ""
    tools: Sequence[JsonObject] = ()
    tool_choice: object = "auto"
    parallel_tool_calls: bool = True
    reasons: bool = True
    out_of_band: bool = False
    speaks: bool = True
    phase_on_every_message: bool = True

    @property
    def tool_names(self) -> set[str]:
        if self.tool_choice == "none":
            return set()
        names = {str(tool["name"]) for tool in self.tools if tool["type"] == "function"}
        if isinstance(self.tool_choice, Mapping):
            names &= {str(self.tool_choice.get("name"))}
        return names

    @property
    def must_call(self) -> bool:
        return self.tool_choice == "required" or isinstance(self.tool_choice, Mapping)


@dataclass(slots=True)
class Planner:
    """One per session: it remembers which rules were used up and what to say when a tool has answered."""

    _used: list[Rule] = field(default_factory=list)  # by identity: two equal rules are two
    _then: dict[str, tuple[str, Mapping[str, object]]] = field(default_factory=dict)

    def plan(self, stimulus: Stimulus, *, script: Script, circumstances: Circumstances) -> Plan:
        exact = self._find_exact(stimulus, circumstances)
        if exact is not None:
            return self._say(exact, circumstances)
        for rule in script.rules:
            values = self._match(rule, stimulus, circumstances)
            if values is not None:
                if rule.once:
                    self._used.append(rule)
                return self._follow(rule, values, circumstances)
        if circumstances.must_call and circumstances.tool_names:
            return [_force_call(circumstances)]
        return self._say(self._choose_default(stimulus, script, circumstances), circumstances)

    def _find_exact(self, stimulus: Stimulus, circumstances: Circumstances) -> str | None:
        places = [circumstances.response_instructions, *reversed(stimulus.notes)]
        if stimulus.is_greeting and not circumstances.response_instructions:
            places.append(circumstances.session_instructions)
        found = next((match for place in places if (match := _EXACTLY.search(place))), None)
        return found.group(1) or found.group(2) if found else None

    def _match(self, rule: Rule, stimulus: Stimulus, circumstances: Circumstances) -> dict[str, object] | None:
        """The values for the rule's texts when it applies, None when it does not."""
        if any(rule is used for used in self._used) or rule.out_of_band != circumstances.out_of_band:
            return None
        if (rule.greeting and not stimulus.is_greeting) or (rule.nudge and not stimulus.is_nudge):
            return None
        if any(call.name not in circumstances.tool_names for call in rule.call):
            return None
        if circumstances.must_call and not rule.call:
            return None
        values: dict[str, object] = {"caller": stimulus.caller or ""}
        agent = f"{circumstances.session_instructions}\n{circumstances.response_instructions}"
        subjects = [(rule.instructions, agent), (rule.caller, stimulus.caller)]
        if rule.note is not None:
            subjects.append((rule.note, "\n".join(stimulus.notes) if stimulus.notes else None))
        if rule.output_of is not None or rule.output is not None:
            outputs = [one for one in stimulus.outputs if rule.output_of in (None, one[0])]
            if not outputs:
                return None
            values["output"] = _read_output(outputs[-1][2])
            subjects.append((rule.output, outputs[-1][2]))
        for pattern, subject in subjects:
            if pattern is None:
                continue
            match = re.search(pattern, subject, re.IGNORECASE | re.DOTALL) if subject is not None else None
            if match is None:
                return None
            values |= {str(number): text for number, text in enumerate(match.groups(), start=1)} | match.groupdict()
        return values

    def _follow(self, rule: Rule, values: Mapping[str, object], circumstances: Circumstances) -> Plan:
        plan: list[PlannedMessage | PlannedCall] = []
        if rule.commentary and circumstances.reasons and circumstances.speaks:  # §8.2: 2.x only
            plan.append(PlannedMessage(fill_text(rule.commentary, values), "commentary"))
        calls = rule.call if circumstances.parallel_tool_calls else rule.call[:1]
        for call in calls:
            arguments = orjson.dumps(fill_arguments(call.arguments, values)).decode()
            planned = PlannedCall(call.name, make_id("call"), arguments)
            if rule.then:
                self._then[planned.call_id] = (rule.then, values)
            plan.append(planned)
        if rule.say or not plan:
            plan += self._say(fill_text(rule.say, values), circumstances, alone=not plan)
        return plan

    def _choose_default(self, stimulus: Stimulus, script: Script, circumstances: Circumstances) -> str:
        if stimulus.outputs:
            for _tool, call_id, output in reversed(stimulus.outputs):
                if call_id in self._then:
                    text, values = self._then.pop(call_id)
                    return fill_text(text, {**values, "output": _read_output(output)})
        if circumstances.out_of_band or not circumstances.speaks:
            return script.text
        if stimulus.outputs:
            return script.after_tool
        if stimulus.caller is not None:
            return script.fallback if stimulus.caller else script.unheard
        if stimulus.is_greeting:
            return script.greeting
        return script.nudge if stimulus.is_nudge else script.fallback

    def _say(self, text: str, circumstances: Circumstances, *, alone: bool = True) -> list[PlannedMessage]:
        phased = circumstances.reasons and (circumstances.phase_on_every_message or not alone)
        return [PlannedMessage(text, "final_answer" if phased else None)]


def read_stimulus(items: Iterable[Item], *, names: Mapping[str, str]) -> Stimulus:
    """`names` tells the tool of each call id."""
    caller: list[str] = []
    notes: list[str] = []
    outputs: list[tuple[str, str, str]] = []
    listed = list(items)
    spoke = any(_is_agents(item) for item in listed)
    for item in reversed(listed):
        if _is_agents(item):
            break
        if item.type == "function_call_output":
            call_id = str(item.body["call_id"])
            outputs.insert(0, (names.get(call_id, ""), call_id, str(item.body["output"])))
        elif item.role == "user":
            caller.insert(0, item.heard)
            if not item.audio:
                notes.insert(0, item.text)
        elif item.role == "system":
            notes.insert(0, item.text)
    return Stimulus(
        spoke_before=spoke,
        caller=" ".join(text for text in caller if text) if caller else None,
        notes=tuple(notes),
        outputs=tuple(outputs),
    )


def _is_agents(item: Item) -> bool:
    return item.role == "assistant" or item.type == "function_call"


def _read_output(output: str) -> object:
    try:
        return orjson.loads(output)
    except orjson.JSONDecodeError:
        return output


def _force_call(circumstances: Circumstances) -> PlannedCall:
    """`tool_choice` leaves no way out: call the tool with the least its schema asks for."""
    tool = next(tool for tool in circumstances.tools if tool.get("name") in circumstances.tool_names)
    arguments = _fill_schema(tool.get("parameters") or {"type": "object"})
    return PlannedCall(str(tool["name"]), make_id("call"), orjson.dumps(arguments).decode())


def _fill_schema(schema: Mapping[str, object]) -> object:
    choices = schema.get("enum")
    if isinstance(choices, list) and choices:
        return choices[0]
    properties = schema.get("properties")
    required = schema.get("required")
    if isinstance(properties, Mapping):
        wanted = required if isinstance(required, list) else []
        return {name: _fill_schema(properties[name]) for name in wanted if name in properties}
    empty: dict[object, object] = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}
    return empty.get(schema.get("type"), {})

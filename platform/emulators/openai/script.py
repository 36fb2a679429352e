"""What the double says and does: ordered rules, as values that load from YAML. It decides nothing by itself."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import yaml

from emulators.openai.wire import JsonObject


class ScriptError(ValueError):
    permanent = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """`arguments` may hold `{1}` or `{name}` for groups of the rule's patterns, also inside nested values."""

    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The first rule whose conditions all hold is followed. Patterns are searched, ignoring case.

    Texts may hold `{1}`, `{name}` (groups), `{caller}` (heard last) and `{output.field.0.sub}` (the tool's JSON).
    """

    # What it answers. `nudge` is a response asked for although nothing is new.
    greeting: bool = False
    nudge: bool = False
    caller: str | None = None
    note: str | None = None  # a system or user text item, for example "Caller pressed 1."
    output_of: str | None = None  # the tool whose result is new
    output: str | None = None  # pattern on that result's text
    # Where it applies.
    instructions: str | None = None  # pattern on the session's (or response's) instructions: which agent is speaking
    out_of_band: bool = False
    once: bool = False
    # What it does.
    commentary: str = ""
    call: tuple[ToolCall, ...] = ()
    say: str = ""
    then: str = ""  # said when the results of `call` are in, unless a rule with `output_of` fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    rules: tuple[Rule, ...] = ()
    greeting: str = "Hello, how can I help you?"
    fallback: str = "All right. Is there anything else I can help you with?"
    unheard: str = "I am sorry, I did not catch that. Could you say it again?"
    nudge: str = "Are you still there?"
    after_tool: str = "That is done. Is there anything else?"
    text: str = "Noted."  # a text response that no rule answers

    @classmethod
    def read(cls, data: Mapping[str, object]) -> Script:
        """Raises ScriptError, naming the place, for a field that does not exist or a pattern that does not compile."""
        values = _read_fields(cls, data, path="script")
        rules = values.get("rules", ())
        if not isinstance(rules, Sequence) or isinstance(rules, str):
            raise ScriptError("script.rules: expected a list")
        values["rules"] = tuple(_read_rule(rule, path=f"script.rules[{index}]") for index, rule in enumerate(rules))
        return cls(**values)

    @classmethod
    def parse(cls, text: str) -> Script:
        """YAML (or JSON, which is YAML too)."""
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ScriptError(f"script: {error}") from error
        if not isinstance(data, dict):
            raise ScriptError("script: expected a mapping")
        return cls.read(data)

    def list_fixed_texts(self) -> list[str]:
        """Everything that is said as it stands, so that it can be synthesised before it is needed."""
        texts = [self.greeting, self.fallback, self.unheard, self.nudge, self.after_tool]
        for rule in self.rules:
            texts += [rule.commentary, rule.say, rule.then]
        return [text for text in dict.fromkeys(texts) if text and not _PLACE.search(text)]


_PLACE = re.compile(r"\{([A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*)\}")


def fill_text(text: str, values: Mapping[str, object]) -> str:
    """Replaces each `{place}`; a place without a value becomes empty, as a model leaves out what it does not know."""
    return _PLACE.sub(lambda found: _as_text(_look_up(found.group(1), values)), text)


def fill_arguments(arguments: object, values: Mapping[str, object]) -> object:
    """Like `fill_text` for nested values; a value that is one place alone keeps the type of what it stands for."""
    if isinstance(arguments, str):
        alone = _PLACE.fullmatch(arguments)
        return _look_up(alone.group(1), values) if alone else fill_text(arguments, values)
    if isinstance(arguments, Mapping):
        return {key: fill_arguments(value, values) for key, value in arguments.items()}
    if isinstance(arguments, Sequence):
        return [fill_arguments(value, values) for value in arguments]
    return arguments


def _look_up(path: str, values: Mapping[str, object]) -> object:
    found: object = values
    for step in path.split("."):
        if isinstance(found, Mapping):
            found = found.get(step)
        elif isinstance(found, Sequence) and not isinstance(found, str) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found


def _as_text(value: object) -> str:
    return "" if value is None else str(value)


def _read_rule(data: object, *, path: str) -> Rule:
    if not isinstance(data, Mapping):
        raise ScriptError(f"{path}: expected a mapping")
    values = _read_fields(Rule, data, path=path)
    for name in ("caller", "note", "instructions", "output"):
        pattern = values.get(name)
        if isinstance(pattern, str):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ScriptError(f"{path}.{name}: {error}") from error
    calls = values.get("call", ())
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise ScriptError(f"{path}.call: expected a list")
    values["call"] = tuple(_read_call(call, path=f"{path}.call[{index}]") for index, call in enumerate(calls))
    return Rule(**values)


def _read_call(data: object, *, path: str) -> ToolCall:
    if isinstance(data, Mapping) and isinstance(data.get("name"), str) and data.keys() <= {"name", "arguments"}:
        arguments = data.get("arguments", {})
        if isinstance(arguments, Mapping):
            return ToolCall(name=str(data["name"]), arguments=dict(arguments))
    raise ScriptError(f"{path}: expected name and arguments")


def _read_fields(cls: type, data: Mapping[str, object], *, path: str) -> JsonObject:
    known = {one.name: one.default for one in dataclasses.fields(cls)}
    for name, value in data.items():
        if name not in known:
            raise ScriptError(f"{path}.{name}: no such field")
        if isinstance(known[name], bool):
            if not isinstance(value, bool):
                raise ScriptError(f"{path}.{name}: expected true or false")
        elif name not in ("rules", "call") and not (isinstance(value, str) or value is None):
            raise ScriptError(f"{path}.{name}: expected a text")
    # An empty YAML value is null: the field's default.
    return {name: value for name, value in data.items() if value is not None}

"""Reads tools and agents as people write them in a declarative file, and answers mistakes with the path of the key; stores nothing.

The shapes are those of `manage.py provision` (docs/operating.md): flat keys for a tool's HTTP call, tool names in an agent's list. A person
wrote the file, so an unknown key is answered with the nearest known one, and what YAML reads otherwise than it was meant (`off`,
an unquoted phone number) with how to write it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import msgspec

from agents.builtins import BUILTINS
from agents.placeholders import SECRET
from agents.spec import AgentSpec, HttpCall, SpecError, ToolSpec

T = TypeVar("T")

_HTTP_KEYS = frozenset(field.name for field in msgspec.structs.fields(HttpCall))
_TOOL_KEYS = (frozenset(field.name for field in msgspec.structs.fields(ToolSpec)) | _HTTP_KEYS | {"secrets"}) - {
    "http",
    "mcp",
    "secret_names",
    "overrides",
}
_AGENT_KEYS = (frozenset(field.name for field in msgspec.structs.fields(AgentSpec)) | {"publish"}) - {"version_id"}
_USE_KEYS = frozenset(
    ("name", "description", "policy", "filler", "on_failure")
)  # what one agent may say differently of a tool
_PLACE = re.compile(r"^(.*?)(?: - at `(?:key in )?\$(.*)`)?$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DeclaredAgent:
    """An agent as a file declares it; `publish` asks for a published version."""

    spec: AgentSpec
    publish: bool


def read_tool(data: object, where: str) -> ToolSpec:
    """One entry of a tenant's `tools`. Raises SpecError naming the path of the first mistake."""
    entry = _read_mapping(data, where)
    _refuse_unknown(entry, _TOOL_KEYS, where)
    kind = entry.get("kind", "http")
    if kind != "http":
        raise SpecError(
            f"{where}.kind: {kind!r} is no kind of tool here; write http, or name a built-in in the agent's tools"
        )
    if "url" not in entry:
        raise SpecError(f"{where}.url: is missing; an HTTP tool needs the address it calls")
    if entry.get("name") in BUILTINS:
        raise SpecError(f"{where}.name: {entry['name']} is a built-in tool; choose another name")
    names = _read_secret_names(entry.get("secrets", []), f"{where}.secrets")
    http = _convert({key: entry[key] for key in _HTTP_KEYS & entry.keys()}, HttpCall, where)
    used = [match for value in http.headers.values() for match in SECRET.findall(value)]
    rest = {key: value for key, value in entry.items() if key not in _HTTP_KEYS | {"secrets"}}
    tool = _convert(rest, ToolSpec, where)
    return msgspec.structs.replace(tool, http=http, secret_names=tuple(dict.fromkeys([*names, *used])))


def read_agent(data: object, where: str, tools_by_name: Mapping[str, ToolSpec]) -> DeclaredAgent:
    """One entry of a tenant's `agents`; its tools are names of the tenant's tools or of built-ins. Raises SpecError like `read_tool`."""
    entry = dict(_read_mapping(data, where))
    _refuse_unknown(entry, _AGENT_KEYS, where)
    publish = entry.pop("publish", False)
    if not isinstance(publish, bool):
        raise SpecError(f"{where}.publish: expected true or false")
    tools = [
        _read_use(use, f"{where}.tools[{index}]", tools_by_name)
        for index, use in enumerate(_read_list(entry.pop("tools", []), f"{where}.tools"))
    ]
    if "hand_offs" in entry:
        targets = _read_list(entry["hand_offs"], f"{where}.hand_offs")
        entry["hand_offs"] = [{"agent": target} if isinstance(target, str) else target for target in targets]
    _mend_noise_reduction(entry)
    for key in entry:
        _refuse_unknown_below(entry[key], _TYPES[key], f"{where}.{key}")
    spec = _convert(entry, AgentSpec, where)
    return DeclaredAgent(msgspec.structs.replace(spec, tools=tuple(tools)), publish)


def _read_use(use: object, where: str, tools_by_name: Mapping[str, ToolSpec]) -> ToolSpec:
    """A tool as one agent uses it: a name, or a mapping with a name and what this agent says differently."""
    entry = {"name": use} if isinstance(use, str) else _read_mapping(use, where)
    _refuse_unknown(entry, _USE_KEYS, where)
    name = entry.get("name")
    known = {**BUILTINS, **tools_by_name}
    if not isinstance(name, str) or name not in known:
        raise SpecError(f"{where}: there is no tool {name!r}{_suggest(str(name), known)}")
    # Converted on their own, so that a wrong policy is named as such; then laid over the declared tool.
    changed = _convert(entry, ToolSpec, where)
    values = {key: getattr(changed, key) for key in entry}
    return msgspec.structs.replace(known[name], **values, overrides=tuple(sorted(values.keys() - {"name"})))


def _read_secret_names(value: object, where: str) -> list[str]:
    if isinstance(value, Mapping):
        raise SpecError(f"{where}: list the names only; the values belong to the tenant's secrets")
    names = _read_list(value, where)
    for index, name in enumerate(names):
        if not isinstance(name, str) or SECRET.fullmatch(f"{{secret:{name}}}") is None:
            raise SpecError(f"{where}[{index}]: expected the name of a secret (letters, digits, _ . -)")
    return [str(name) for name in names]


def _mend_noise_reduction(entry: dict[str, Any]) -> None:
    """YAML reads `off` as false; what was meant is plain."""
    realtime = entry.get("realtime")
    if isinstance(realtime, Mapping):
        noise = realtime.get("noise_reduction")
        if isinstance(noise, Mapping) and noise.get("kind") is False:
            entry["realtime"] = {**realtime, "noise_reduction": {**noise, "kind": "off"}}


def _read_mapping(data: object, where: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise SpecError(f"{where}: expected keys and values, got {_name_of(data)}")
    for key in data:
        if not isinstance(key, str):
            raise SpecError(f"{where}.{key}: a key must be text; write it in quotes")
    return data


def _read_list(data: object, where: str) -> list[Any]:
    if not isinstance(data, list | tuple):
        raise SpecError(f"{where}: expected a list, got {_name_of(data)}")
    return list(data)


def _refuse_unknown(entry: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    for key in entry:
        if key not in known:
            raise SpecError(f"{where}.{key}: unknown key{_suggest(key, known)}")


def _refuse_unknown_below(data: object, kind: msgspec.inspect.Type, where: str) -> None:
    """The same for nested values, along the types of the spec; what does not fit the type at all is left to the conversion."""
    if isinstance(kind, msgspec.inspect.StructType) and isinstance(data, Mapping):
        fields = {field.name: field.type for field in kind.fields}
        _refuse_unknown(_read_mapping(data, where), fields, where)
        for key, value in data.items():
            _refuse_unknown_below(value, fields[key], f"{where}.{key}")
    elif isinstance(kind, msgspec.inspect.VarTupleType) and isinstance(data, list | tuple):
        for index, value in enumerate(data):
            _refuse_unknown_below(value, kind.item_type, f"{where}[{index}]")


def _suggest(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(names)}"


def _convert(data: object, kind: type[T], where: str) -> T:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise SpecError(_place(str(error), where)) from error


def _place(message: str, where: str) -> str:
    """msgspec's words with our path in front, and a mend where YAML misread what was meant."""
    found = _PLACE.match(message)
    text, path = (found.group(1), found.group(2) or "") if found is not None else (message, "")
    text = text[:1].lower() + text[1:].replace("`", "")
    missing = re.fullmatch(r"object missing required field (\w+)", text.replace("`", ""))
    if missing is not None:
        return f"{where}{path}.{missing.group(1)}: is missing"
    if text.startswith("expected str, got"):
        text += "; write it in quotes"
    return f"{where}{path}: {text}"


def _name_of(data: object) -> str:
    return {type(None): "nothing", dict: "keys and values", list: "a list", str: "text", bool: "true or false"}.get(
        type(data), "a number"
    )


_TYPES = {
    field.name: field.type for field in cast("msgspec.inspect.StructType", msgspec.inspect.type_info(AgentSpec)).fields
}

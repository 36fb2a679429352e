"""An agent as a YAML file and back: the shape of `manage.py provision`, so that what is exported here can be provisioned there.

Secrets leave as names only. Reads and writes text; the rows are the callers' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from agents.declare import DeclaredAgent, read_agent, read_tool
from agents.differences import Plain
from agents.spec import AgentSpec, SpecError, ToolSpec, to_builtins

MAX_FILE_CHARS = 400_000  # a hundred agents' worth; a person exports one
_TOP_KEYS = {"tools", "agents"}


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file holds: its agents, and the tools it declares beside them."""

    agents: tuple[DeclaredAgent, ...]
    tools: tuple[ToolSpec, ...]


def write_agent(spec: AgentSpec, tools_by_name: Mapping[str, ToolSpec]) -> str:
    """The agent and the HTTP tools it uses as YAML, every default written out (product 4.2)."""
    tools = [tools_by_name.get(tool.name, tool) for tool in spec.tools if tool.kind == "http"]
    data: Plain = {"agents": [_declare_agent(spec)]}
    if tools:
        data = {"tools": [_declare_tool(tool) for tool in tools], **data}
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def read_file(text: str, tools_by_name: Mapping[str, ToolSpec]) -> Imported:
    """Raises SpecError naming the path of the first mistake. Tools that the tenant has win over those of the file."""
    if len(text) > MAX_FILE_CHARS:
        raise SpecError(f"the file is longer than {MAX_FILE_CHARS} characters; export one agent at a time")
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 # a SafeLoader that knows no aliases
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise SpecError(f"the file is not YAML: {error}") from error
    if isinstance(data, dict) and "instructions" in data:
        data = {"agents": [data]}  # one agent without the frame
    if not isinstance(data, dict) or not isinstance(data.get("agents"), list) or not data["agents"]:
        raise SpecError("agents: the file must hold a list of agents under this key")
    if unknown := sorted(str(key) for key in data if key not in _TOP_KEYS):
        raise SpecError(f"{unknown[0]}: unknown key; known are agents and tools")
    declared = data.get("tools") or []
    if not isinstance(declared, list):
        raise SpecError("tools: expected a list")
    tools = tuple(read_tool(entry, f"tools[{index}]") for index, entry in enumerate(declared))
    known = {tool.name: tool for tool in tools} | dict(tools_by_name)
    agents = tuple(read_agent(entry, f"agents[{index}]", known) for index, entry in enumerate(data["agents"]))
    return Imported(agents, tuple(tool for tool in tools if tool.name not in tools_by_name))


def _declare_agent(spec: AgentSpec) -> Plain:
    data = to_builtins(spec)
    del data["version_id"]
    data["tools"] = [_declare_use(tool) for tool in spec.tools]
    return data


def _declare_use(tool: ToolSpec) -> Any:
    plain = to_builtins(tool)
    return {"name": tool.name, **{key: plain[key] for key in tool.overrides}} if tool.overrides else tool.name


def _declare_tool(tool: ToolSpec) -> Plain:
    data = to_builtins(tool)
    http = data.pop("http")
    for key in ("mcp", "overrides"):
        del data[key]
    data["secrets"] = data.pop("secret_names")
    return {**data, **http}


class _Dumper(yaml.SafeDumper):
    """Long texts as blocks, as people write them."""


class _Loader(yaml.SafeLoader):
    """No aliases: a file of a few lines could grow to gigabytes (the "billion laughs")."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise SpecError("the file is not plain YAML: write the value out instead of an alias (*)")
        return super().compose_node(parent, index)


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _write_text)

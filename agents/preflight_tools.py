"""Preflight of one tool: what would make every run of it fail, or a caller wait; calls nothing and resolves no name."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from django.utils.translation import gettext as _

from agents.builtins import BUILTINS
from agents.findings import Findings, error, warning
from agents.placeholders import ARGUMENT, SECRET, split_origin
from agents.schemas import find_schema_fault
from agents.spec import HttpCall, ToolSpec
from agents.tools.addresses import find_address_fault
from agents.tools.fence import BAD_PORTS, EgressFence, FenceError, Target
from agents.tools.request import OWN_HEADERS
from agents.tools.runner import MAX_RETRIES, MAX_TIMEOUT_S

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # what the vendor takes as a function's name
LONG_TIMEOUT_S = 15.0
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CREDENTIAL_HEADERS = frozenset(("authorization", "x-api-key", "api-key", "x-auth-token"))
_TOP_LEVEL_REFUSED = ("oneOf", "anyOf", "allOf", "enum", "not")  # the vendor's rule for function parameters


def check_tool(tool: ToolSpec, *, field: str, secret_names: Collection[str] | None = None) -> Findings:
    """Findings of one tool. `secret_names`: the secrets the tenant has; None when that is not known here."""
    if TOOL_NAME.fullmatch(tool.name) is None:
        yield error(
            f"{field}.name",
            _("%(name)s is not a name the model can call.") % {"name": tool.name or "''"},
            _("Use up to 64 letters, digits, underscores and dashes."),
        )
    if tool.kind == "builtin":
        if tool.name not in BUILTINS:
            yield error(
                f"{field}.name",
                _("There is no built-in tool %(name)s.") % {"name": tool.name},
                _("Built-in are %(names)s.") % {"names": ", ".join(BUILTINS)},
            )
        return
    if tool.name in BUILTINS:
        yield error(f"{field}.name", _("%(name)s is a built-in tool.") % {"name": tool.name}, _("Choose another name."))
    if not tool.description.strip():
        yield warning(
            f"{field}.description",
            _("The model is not told what the tool is for."),
            _("Say in one or two sentences what it does and when to call it."),
        )
    if not 0 < tool.timeout_s <= MAX_TIMEOUT_S:
        yield error(
            f"{field}.timeout_s",
            _("A tool may take up to %(seconds)d seconds.") % {"seconds": MAX_TIMEOUT_S},
            _("Use 5 to 10."),
        )
    elif tool.timeout_s > LONG_TIMEOUT_S:
        yield warning(
            f"{field}.timeout_s",
            _("The caller may wait %(seconds)d seconds.") % {"seconds": tool.timeout_s},
            _("Use 5 to 10, and a filler line."),
        )
    yield from _check_parameters(tool.parameters, f"{field}.parameters")
    if tool.kind == "mcp":
        yield from _check_mcp(tool, field, secret_names)
        return
    if tool.http is None:
        yield error(f"{field}.url", _("The tool has no address to call."), _("Give its URL."))
        return
    yield from _check_url(tool, tool.http, field)
    yield from check_headers(tool.http.headers, field, tool.secret_names, secret_names)
    if not 0 <= tool.http.retries <= MAX_RETRIES:
        yield error(
            f"{field}.retries",
            _("A tool is tried again at most %(count)d times.") % {"count": MAX_RETRIES},
            _("Use 0 to %(count)d.") % {"count": MAX_RETRIES},
        )
    if tool.http.response_path and not all(tool.http.response_path.split(".")):
        yield error(
            f"{field}.response_path",
            _("The path into the answer has an empty step."),
            _("Write names and numbers with single dots, as data.items.0."),
        )


def _check_mcp(tool: ToolSpec, field: str, secret_names: Collection[str] | None) -> Findings:
    if tool.mcp is None:
        yield error(f"{field}.url", _("The tool has no server."), _("Choose it again from its MCP server."))
        return
    yield from check_server_url(tool.mcp.url, f"{field}.url")
    yield from check_headers(tool.mcp.headers, field, tool.secret_names, secret_names)


def _check_target(target: Target, where: str) -> Findings:
    private = target.host == "localhost" or target.host.endswith((".localhost", ".local", ".internal"))
    literal = ":" in target.host or target.host.rpartition(".")[2].isdecimal()
    if private or target.port in BAD_PORTS or (literal and find_address_fault(target.host)):
        yield warning(
            where,
            _("Tools may not call this address unless the operator opens it."),
            _("Use a public address, or have %(pair)s added to TOOL_EGRESS_ALLOW.")
            % {"pair": f"{target.host}:{target.port}"},
        )
    elif target.scheme == "http":
        yield warning(where, _("What is sent can be read on the way."), _("Use https."))


def check_server_url(url: str, where: str) -> Findings:
    """An address without holes that the fence would let through."""
    if "{" in url:
        yield error(where, _("A server's URL has no arguments."), _("Write https://host/path."))
        return
    try:
        target = EgressFence().read_url(url)
    except FenceError as refusal:
        yield error(
            where, _("The URL cannot be called: %(reason)s.") % {"reason": refusal}, _("Write https://host/path.")
        )
        return
    yield from _check_target(target, where)


def _check_url(tool: ToolSpec, http: HttpCall, field: str) -> Findings:
    where = f"{field}.url"
    split = split_origin(http.url)
    if split is None:
        yield error(
            where,
            _("The URL does not begin with a scheme and a fixed host."),
            _("Write https://host/path; arguments may stand in the path and query only."),
        )
        return
    try:
        target = EgressFence().read_url(split[0] + ARGUMENT.sub("x", split[1]))
    except FenceError as refusal:
        yield error(
            where,
            _("The URL cannot be called: %(reason)s.") % {"reason": refusal},
            _("Write https://host/path; an argument is written {name}, a secret belongs in a header."),
        )
        return
    yield from _check_target(target, where)
    properties = _properties_of(tool.parameters)
    required = tool.parameters.get("required")
    for name in dict.fromkeys(ARGUMENT.findall(split[1])):
        if name not in properties:
            yield error(
                where,
                _("The URL wants %(name)s, which is no parameter.") % {"name": name},
                _("Declare it in the parameters, or take it out of the URL."),
            )
            continue
        schema = properties[name]
        if isinstance(schema, dict) and schema.get("type") in ("object", "array", "null"):
            yield error(
                where,
                _("%(name)s is not a single value and cannot stand in a URL.") % {"name": name},
                _("Declare it as string, number, integer or boolean."),
            )
        elif not isinstance(required, list) or name not in required:
            yield warning(
                f"{field}.parameters.required",
                _("The URL cannot be filled without %(name)s, but the model may leave it out.") % {"name": name},
                _("Add it to required."),
            )


def check_headers(
    headers: Mapping[str, str], field: str, declared: Collection[str], secret_names: Collection[str] | None
) -> Findings:
    """`declared`: the secrets the tool says it uses; `secret_names`: those the tenant has, None when that is not known here."""
    for name, value in headers.items():
        where = f"{field}.headers.{name}"
        if _HEADER_NAME.fullmatch(name) is None or name.lower() in OWN_HEADERS or name.lower().startswith("proxy-"):
            yield error(where, _("This header cannot be set."), _("Leave it out; connections are our business."))
        rest = SECRET.sub("", value)
        if "{" in rest or "}" in rest:
            yield error(where, _("Only secrets can be filled into a header."), _("Write {secret:name}."))
        if not value.isprintable() or any(char > "\xff" for char in value):
            yield error(where, _("The value holds characters that no header may hold."), _("Use plain text."))
        used = SECRET.findall(value)
        if not used and name.lower() in _CREDENTIAL_HEADERS:
            yield warning(
                where,
                _("A credential stands in the tool for everyone to read."),
                _("Store it as a secret and write {secret:name}."),
            )
        for secret in used:
            if secret not in declared or (secret_names is not None and secret not in secret_names):
                yield error(
                    where,
                    _("There is no secret %(name)s.") % {"name": secret},
                    _("Store it under this name first."),
                )


def _check_parameters(parameters: dict[str, Any], where: str) -> Findings:
    if fault := find_schema_fault(parameters):
        yield error(
            where, _("The parameters cannot be used: %(reason)s.") % {"reason": fault}, _("Correct the schema.")
        )
        return
    if parameters.get("type") != "object":
        yield error(where, _("Parameters must be one object."), _("Write type: object with properties."))
    for key in _TOP_LEVEL_REFUSED:
        if key in parameters:
            yield error(where, _("The model takes no %(key)s at the top.") % {"key": key}, _("Use plain properties."))
    for name in parameters.get("required", []):
        if name not in _properties_of(parameters):
            yield error(
                f"{where}.required",
                _("%(name)s is required but not described.") % {"name": name},
                _("Add it to properties."),
            )


def _properties_of(parameters: dict[str, Any]) -> dict[str, Any]:
    properties = parameters.get("properties")
    return properties if isinstance(properties, dict) else {}

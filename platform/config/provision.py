"""Brings tenants, members, tools, agents and numbers in line with a declarative file: all of it or nothing, and safe to repeat.

The file's shape is in docs/operating.md. What the file does not name is left alone; nothing is deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from agents import declare
from agents.models import Agent, Secret, Tool
from agents.preflight import blocks
from agents.preflight import check as check_agent
from agents.services import publish_agent, save_agent, save_secret, save_tool
from agents.spec import SpecError, ToolSpec, parse_agent, parse_tool
from calls.models import Route
from calls.services.addresses import fallback_url, number_status_url, voice_url
from calls.services.routes import save_route
from tenants.models import Tenant
from tenants.scope import tenant_scope
from tenants.services import NumberTaken, save_carrier_account, save_member, save_number, save_tenant

TENANT_KEYS = {"slug", "name", "timezone", "twilio", "members", "secrets", "tools", "agents", "numbers"}
MEMBER_KEYS = {"email", "password", "role"}
NUMBER_KEYS = {"e164", "sid", "name", "agent", "path", "ladder", "person", "voicemail_greeting"}


class ProvisionError(Exception):
    """The file cannot be applied; the text names the place in it and the mend. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Provisioned:
    """One number as it stands after the file was applied: what the carrier must be told."""

    tenant: str
    e164: str
    sid: str
    agent: str
    path: str
    voice_url: str
    fallback_url: str
    status_url: str


def read_file(path: Path) -> Mapping[str, Any]:
    """Raises ProvisionError when the file is missing or is no YAML mapping."""
    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ProvisionError(f"{path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ProvisionError(f"{path}: {error}") from error
    if not isinstance(data, dict) or set(data) != {"tenants"} or not isinstance(data["tenants"], list):
        raise ProvisionError(f"{path}: the file must hold one key, tenants, with a list below it")
    return data


@transaction.atomic
def apply(data: Mapping[str, Any]) -> list[Provisioned]:
    """Create or update everything the file names, in one transaction. Raises ProvisionError."""
    done: list[Provisioned] = []
    for index, entry in enumerate(data["tenants"]):
        done += _apply_tenant(entry, where=f"tenants[{index}]")
    return done


def _apply_tenant(entry: Any, *, where: str) -> list[Provisioned]:
    _check_keys(entry, where=where, known=TENANT_KEYS, required={"slug", "name"})
    with _mending(where):
        tenant = save_tenant(entry["slug"], name=entry["name"], timezone=entry.get("timezone", "UTC"))
    for at, member in _items(entry, "members", where):
        _check_keys(member, where=at, known=MEMBER_KEYS, required={"email", "role"})
        if member["role"] not in ("owner", "admin", "supervisor", "viewer"):
            raise ProvisionError(f"{at}.role: {member['role']!r} is no role; use owner, admin, supervisor or viewer")
        with _mending(at):
            save_member(tenant, email=member["email"], role=member["role"], password=member.get("password"))
    with tenant_scope(tenant):
        for at, secret in _items(entry, "secrets", where):
            _check_keys(secret, where=at, known={"name", "value"}, required={"name", "value"})
            with _mending(at):
                save_secret(secret["name"], value=secret["value"])
        tools = _apply_tools(entry, where=where)
        agents = _apply_agents(entry, where=where, tools=tools)
        return _apply_numbers(tenant, entry, where=where, agents=agents)


def _apply_tools(entry: Mapping[str, Any], *, where: str) -> dict[str, ToolSpec]:
    for at, declared in _items(entry, "tools", where):
        with _mending(at):
            save_tool(declare.read_tool(declared, at))
    return {tool.name: parse_tool(tool.spec) for tool in Tool.objects.all()}


def _apply_agents(entry: Mapping[str, Any], *, where: str, tools: dict[str, ToolSpec]) -> dict[str, Agent]:
    declared: list[tuple[str, declare.DeclaredAgent]] = []
    for at, agent in _items(entry, "agents", where):
        with _mending(at):
            declared.append((at, declare.read_agent(agent, at, tools)))
    known = {agent.name: parse_agent(agent.draft) for agent in Agent.objects.all()}
    known |= {item.spec.name: item.spec for _, item in declared}
    secret_names = set(Secret.objects.values_list("name", flat=True))
    for at, item in declared:
        found = check_agent(item.spec, path="streams", agents=known, secret_names=secret_names)
        if item.publish and blocks(found):
            raise ProvisionError(f"{at}.{found[0].field}: {found[0].message} {found[0].mend}")
    for agent, is_published in [(save_agent(item.spec), item.publish) for _, item in declared]:
        if is_published:
            publish_agent(agent)
    return {agent.name: agent for agent in Agent.objects.all()}


def _apply_numbers(
    tenant: Tenant, entry: Mapping[str, Any], *, where: str, agents: Mapping[str, Agent]
) -> list[Provisioned]:
    account = None
    if twilio := entry.get("twilio"):
        at = f"{where}.twilio"
        _check_keys(twilio, where=at, known={"account_sid", "auth_token"}, required={"account_sid", "auth_token"})
        with _mending(at):
            account = save_carrier_account(account_sid=twilio["account_sid"], auth_token=twilio["auth_token"])
    done = []
    for at, declared in _items(entry, "numbers", where):
        _check_keys(declared, where=at, known=NUMBER_KEYS, required={"e164"})
        if account is None:
            raise ProvisionError(
                f"{where}.twilio: numbers need the account that owns them; add account_sid and auth_token"
            )
        name = declared.get("agent")
        if name is not None and name not in agents:
            raise ProvisionError(
                f"{at}.agent: there is no agent {name!r}; known: {', '.join(sorted(agents)) or 'none'}"
            )
        person = declared.get("person") or {}
        _check_keys(person, where=f"{at}.person", known={"name", "e164"}, required=set())
        with _mending(at):
            number = save_number(
                account, e164=declared["e164"], carrier_sid=declared.get("sid", ""), name=declared.get("name", "")
            )
            route = save_route(
                number,
                agent=agents[name] if name else None,
                path=declared.get("path", "streams"),
                ladder=declared.get("ladder", ["streams", "voicemail"]),
                person_name=person.get("name", ""),
                person_e164=person.get("e164", ""),
                voicemail_greeting=declared.get("voicemail_greeting", ""),
            )
        done.append(_describe(tenant, route))
    return done


def _describe(tenant: Tenant, route: Route) -> Provisioned:
    return Provisioned(
        tenant=tenant.slug,
        e164=route.number.e164,
        sid=route.number.carrier_sid,
        agent=route.agent.name if route.agent else "",
        path=route.path,
        voice_url=voice_url(route.public_id),
        fallback_url=fallback_url(route.public_id),
        status_url=number_status_url(route.public_id),
    )


def _items(entry: Mapping[str, Any], key: str, where: str) -> Iterator[tuple[str, Any]]:
    listed = entry.get(key) or []
    if not isinstance(listed, list):
        raise ProvisionError(f"{where}.{key}: must be a list")
    for index, item in enumerate(listed):
        yield f"{where}.{key}[{index}]", item


def _check_keys(entry: Any, *, where: str, known: set[str], required: set[str]) -> None:
    if not isinstance(entry, dict):
        raise ProvisionError(f"{where}: must be a mapping with the keys {', '.join(sorted(known))}")
    if unknown := sorted(set(map(str, entry)) - known):
        raise ProvisionError(f"{where}.{unknown[0]}: unknown key; known are {', '.join(sorted(known))}")
    if missing := sorted(key for key in required if entry.get(key) in (None, "")):
        raise ProvisionError(f"{where}.{missing[0]}: is required")


class _mending:
    """Turns what the services refuse into one line that names the place in the file."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ValidationError):
            raise ProvisionError(f"{self.where}: {_first_message(error)}") from error
        if isinstance(error, IntegrityError):
            raise ProvisionError(f"{self.where}: clashes with what another tenant owns: {error}") from error
        if isinstance(error, SpecError | NumberTaken):
            # A SpecError already begins with its full place.
            text = str(error)
            raise ProvisionError(text if text.startswith(self.where) else f"{self.where}: {text}") from error


def _first_message(error: ValidationError) -> str:
    if hasattr(error, "message_dict"):
        field, messages = next(iter(error.message_dict.items()))
        return f"{messages[0]}" if field == "__all__" else f"{field}: {messages[0]}"
    messages_list: Sequence[str] = error.messages
    return messages_list[0]

"""Agents as rows: the draft, its immutable published versions, tools and secrets. What a call needs is in agents.spec."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from agents.spec import AgentSpec, ToolSpec, parse_agent, parse_tool
from tenants.base import TenantModel
from tenants.crypto import EncryptedTextField

TOOL_NAME = RegexValidator(r"^[a-zA-Z0-9_-]{1,64}$", _("Use letters, digits, _ and - only, at most 64."))

SERVER_NAME = RegexValidator(r"^[a-zA-Z0-9_-]{1,24}$", _("Use letters, digits, _ and - only, at most 24."))


class Secret(TenantModel):
    """A value that tools may put into headers. Write-only for people: the name is shown, the value never."""

    name = models.CharField(max_length=64, validators=[TOOL_NAME])
    value = EncryptedTextField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="secret_name_once")]

    def __str__(self) -> str:
        return self.name


class McpServer(TenantModel):
    """A remote MCP server and what it last said it can do. The tools an admin allowed are rows of `Tool`."""

    name = models.CharField(max_length=24, validators=[SERVER_NAME])  # stands in front of its tools' names
    url = models.CharField(max_length=2000)
    headers = models.JSONField(default=dict, blank=True)  # name → value, which may hold {secret:name}
    listed = models.JSONField(default=list, blank=True)  # [{name, description, parameters}] as the server told
    listed_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=300, blank=True, default="")  # of the last listing; empty when it worked
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint("tenant", Lower("name"), name="mcp_server_name_once")]

    def __str__(self) -> str:
        return self.name


class Tool(TenantModel):
    """A tool that the tenant's agents may be given; `spec` is agents.spec.ToolSpec as JSON."""

    name = models.CharField(max_length=64, validators=[TOOL_NAME])
    spec = models.JSONField()
    revision = models.PositiveIntegerField(default=0)  # as an agent's
    server = models.ForeignKey(McpServer, on_delete=models.PROTECT, null=True, blank=True, related_name="tools")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="tool_name_once")]

    def __str__(self) -> str:
        return self.name

    def to_spec(self) -> ToolSpec:
        return parse_tool(self.spec)


class Agent(TenantModel):
    """An agent with its draft. Calls use `published`, never the draft."""

    name = models.CharField(max_length=100)
    draft = models.JSONField()
    revision = models.PositiveIntegerField(default=0)  # of the draft: who saves names the one that was read
    published = models.ForeignKey("AgentVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    archived_at = models.DateTimeField(null=True, blank=True)  # off the list; calls and versions keep it
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint("tenant", Lower("name"), name="agent_name_once")]

    def __str__(self) -> str:
        return self.name


class AgentDraft(TenantModel):
    """A saved state of an agent's draft: what two editors' changes are held against, and what undo goes back to."""

    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="drafts")
    number = models.PositiveIntegerField()
    spec = models.JSONField()
    saved_at = models.DateTimeField(auto_now_add=True)
    saved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["agent", "number"], name="agent_draft_number_once")]

    def __str__(self) -> str:
        return f"{self.agent_id} draft {self.number}"


class AgentVersion(TenantModel):
    """A published agent, never changed: calls keep the version that served them (product 4.3)."""

    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    spec = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["agent", "number"], name="agent_version_number_once"),
            models.CheckConstraint(condition=models.Q(number__gte=1), name="agent_version_number_from_1"),
        ]
        triggers = [
            pgtrigger.Protect(name="agent_version_immutable", operation=pgtrigger.Update | pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.agent_id} v{self.number}"

    def to_spec(self) -> AgentSpec:
        return parse_agent({**self.spec, "version_id": str(self.pk)})

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


class Secret(TenantModel):
    """A value that tools may put into headers. Write-only for people: the name is shown, the value never."""

    name = models.CharField(max_length=64, validators=[TOOL_NAME])
    value = EncryptedTextField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="secret_name_once")]

    def __str__(self) -> str:
        return self.name


class Tool(TenantModel):
    """A tool that the tenant's agents may be given; `spec` is agents.spec.ToolSpec as JSON."""

    name = models.CharField(max_length=64, validators=[TOOL_NAME])
    spec = models.JSONField()
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
    published = models.ForeignKey("AgentVersion", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint("tenant", Lower("name"), name="agent_name_once")]

    def __str__(self) -> str:
        return self.name


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

"""Changes to agents, tools and secrets: validated first, then one atomic change, safe to repeat."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Max

from agents.models import Agent, AgentVersion, Secret, Tool
from agents.spec import AgentSpec, ToolSpec, to_builtins
from tenants.models import User


@transaction.atomic
def save_secret(name: str, *, value: str) -> Secret:
    """Store or replace a secret of the tenant in scope. Raises ValidationError for a malformed name."""
    secret = Secret.objects.filter(name=name).first() or Secret(name=name)
    secret.value = value
    secret.check_tenant()
    secret.full_clean(validate_constraints=False)
    secret.save()
    return secret


@transaction.atomic
def save_tool(spec: ToolSpec) -> Tool:
    """Store or replace a tool. Published agents keep the tool as it was when they were published."""
    tool = Tool.objects.filter(name=spec.name).first() or Tool(name=spec.name)
    tool.spec = to_builtins(spec)
    tool.check_tenant()
    tool.full_clean(validate_constraints=False)
    tool.save()
    return tool


@transaction.atomic
def save_agent(spec: AgentSpec) -> Agent:
    """Store the agent's draft; calls go on using what is published."""
    agent = Agent.objects.filter(name__iexact=spec.name).first() or Agent()
    agent.name, agent.draft = spec.name, to_builtins(spec)
    agent.check_tenant()
    agent.full_clean(validate_constraints=False)
    agent.save()
    return agent


@transaction.atomic
def publish_agent(agent: Agent, *, by: User | None = None) -> AgentVersion:
    """Freeze the draft as the next version. Publishing what is already published changes nothing."""
    agent = Agent.objects.select_for_update(of=("self",)).select_related("published").get(pk=agent.pk)
    if agent.published is not None and agent.published.spec == agent.draft:
        return agent.published
    last = agent.versions.aggregate(last=Max("number"))["last"] or 0
    version = AgentVersion.objects.create(agent=agent, number=last + 1, spec=agent.draft, created_by=by)
    agent.published = version
    agent.save(update_fields=["published", "updated_at"])
    return version

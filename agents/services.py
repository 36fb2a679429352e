"""Changes to agents, tools and secrets: validated first, then one atomic change, safe to repeat."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Max

from agents.differences import ABSENT, Plain, list_changes
from agents.masking import mask_credentials
from agents.models import Agent, AgentDraft, AgentVersion, Secret, Tool
from agents.spec import AgentSpec, ToolSpec, to_builtins
from tenants import audit
from tenants.models import User

KEPT_DRAFTS = 100  # a day's editing of one agent; older states live on in published versions


@transaction.atomic
def save_secret(name: str, *, value: str) -> Secret:
    """Store or replace a secret of the tenant in scope. Raises ValidationError for a malformed name."""
    secret = Secret.objects.select_for_update().filter(name=name).first() or Secret(name=name)
    action = "secret.created" if secret._state.adding else "secret.replaced"
    if secret.value == value:
        return secret
    secret.value = value
    secret.check_tenant()
    secret.full_clean(validate_constraints=False)
    secret.save()
    audit.note(action, secret)
    return secret


@transaction.atomic
def save_tool(spec: ToolSpec) -> Tool:
    """Store or replace a tool. Published agents keep the tool as it was when they were published."""
    tool = Tool.objects.select_for_update().filter(name=spec.name).first() or Tool(name=spec.name, spec={})
    write_tool(tool, spec)
    return tool


def write_tool(tool: Tool, spec: ToolSpec) -> None:
    """Give the row this declaration. Call inside the transaction that holds it."""
    data = to_builtins(spec)
    if tool.spec == data:
        return
    is_new, before = tool._state.adding, tool.spec
    tool.name, tool.spec, tool.revision = spec.name, data, tool.revision + 1
    tool.check_tenant()
    tool.full_clean(validate_constraints=False)
    tool.save()
    note_changes("tool.created" if is_new else "tool.changed", tool, before=before, after=data)


@transaction.atomic
def save_agent(spec: AgentSpec, *, by: User | None = None) -> Agent:
    """Store the agent's draft, whatever it was before; calls go on using what is published."""
    agent = Agent.objects.select_for_update().filter(name__iexact=spec.name).first() or Agent(name=spec.name)
    write_draft(agent, spec, by=by)
    return agent


def write_draft(agent: Agent, spec: AgentSpec, *, by: User | None) -> None:
    """Make this the draft, and remember it as a state of its own. Call inside the transaction that holds the agent's row."""
    data = to_builtins(spec)
    is_new, before = agent._state.adding, agent.draft or {}
    if not is_new and before == data:
        return
    agent.name, agent.draft, agent.revision = spec.name, data, agent.revision + 1
    agent.check_tenant()
    agent.full_clean(validate_constraints=False)
    agent.save()
    AgentDraft.objects.create(agent=agent, number=agent.revision, spec=data, saved_by=by)
    AgentDraft.objects.filter(agent=agent, number__lte=agent.revision - KEPT_DRAFTS).delete()
    note_changes("agent.created" if is_new else "agent.draft_saved", agent, before=before, after=data)


@transaction.atomic
def publish_agent(agent: Agent, *, by: User | None = None) -> AgentVersion:
    """Freeze the draft as the next version. Publishing what is already published changes nothing."""
    agent = Agent.objects.select_for_update(of=("self",)).select_related("published").get(pk=agent.pk)
    if agent.published is not None and agent.published.spec == agent.draft:
        return agent.published
    last = agent.versions.aggregate(last=Max("number"))["last"] or 0
    version = AgentVersion.objects.create(agent=agent, number=last + 1, spec=agent.draft, created_by=by)
    before = agent.published.number if agent.published else None
    agent.published = version
    agent.save(update_fields=["published", "updated_at"])
    audit.note("agent.published", agent, before={"version": before}, after={"version": version.number})
    return version


def note_changes(action: str, row: Agent | Tool, *, before: Plain, after: Plain) -> None:
    """Put what differs into the audit log, place by place; credentials that were pasted into texts stay out of it."""
    changes = list_changes(before, after) if before else ()
    audit.note(
        action,
        row,
        before={change.place: mask_credentials(change.before) for change in changes if change.before is not ABSENT},
        after={change.place: mask_credentials(change.after) for change in changes if change.after is not ABSENT},
    )

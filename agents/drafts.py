"""Changes to an agent by people who edit it side by side: save, merge, undo, publish, go back; one atomic change each.

Who saves names the state of the draft that was read (`revision`). When somebody else saved meanwhile nothing is written and
DraftConflict carries both sides: no admin overwrites another unseen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from django.db import transaction
from django.utils import timezone

from agents.differences import Merge, Plain, compare_edits, merge_edits
from agents.models import Agent, AgentDraft, AgentVersion, Tool
from agents.services import publish_agent, write_draft
from agents.spec import AgentSpec, SpecError, ToolSpec, parse_agent, to_builtins
from tenants import audit
from tenants.models import User


class DraftError(Exception):
    """The change cannot be made as asked; the text says why and how it can."""

    permanent = True


class NameTaken(DraftError):
    """Another agent of the tenant has that name."""


@dataclass
class DraftConflict(Exception):
    """Somebody saved the draft after it was read. `merge` holds both sides; nothing was written."""

    agent: Agent
    base: Plain = field(repr=False)
    mine: Plain = field(repr=False)
    merge: Merge = field(repr=False)

    permanent = False


@transaction.atomic
def create_agent(spec: AgentSpec, *, by: User | None) -> Agent:
    """A new agent with this draft. Raises NameTaken, or ValidationError naming the field."""
    _refuse_taken(spec.name)
    agent = Agent(name=spec.name)
    write_draft(agent, spec, by=by)
    return agent


@transaction.atomic
def save_draft(agent: Agent, spec: AgentSpec, *, revision: int, by: User | None) -> Agent:
    """Save what was edited from state `revision`. Raises DraftConflict, NameTaken, or ValidationError naming the field."""
    row = _lock(agent)
    if row.revision != revision and row.draft != to_builtins(spec):
        raise _find_conflict(row, mine=to_builtins(spec), revision=revision)
    return _write(row, spec, by=by)


@transaction.atomic
def save_merge(
    agent: Agent, *, mine: AgentSpec, base_revision: int, revision: int, keep_mine: Callable[[str], bool], by: User
) -> Agent:
    """Save both people's changes, after one of them decided where they meet. Raises DraftConflict when a third change came in between."""
    row = _lock(agent)
    if row.revision != revision:
        raise _find_conflict(row, mine=to_builtins(mine), revision=base_revision)
    base = _read_base(row, base_revision)
    merged = merge_edits(base, mine=to_builtins(mine), theirs=make_plain(row.draft), keep_mine=keep_mine)
    return _write(row, parse_agent(merged), by=by)


@transaction.atomic
def publish_draft(agent: Agent, *, revision: int, by: User) -> AgentVersion:
    """Publish exactly the state that was looked at. Raises DraftConflict when it is not the newest any more."""
    row = _lock(agent)
    if row.revision != revision:
        raise _find_conflict(row, mine=_read_base(row, revision), revision=revision)
    if row.archived_at is not None:
        raise DraftError("an archived agent answers no calls; bring it back first")
    refreshed = refresh_tools(parse_agent(row.draft))
    write_draft(row, refreshed, by=by)
    return publish_agent(row, by=by)


@transaction.atomic
def go_back_to(agent: Agent, version: AgentVersion) -> Agent:
    """Have calls served by an older version again from now on. The draft stays; running calls keep theirs."""
    row = _lock(agent)
    if version.agent_id != row.pk:
        raise DraftError("the version belongs to another agent")
    before = row.published.number if row.published else None
    row.published = version
    row.save(update_fields=["published", "updated_at"])
    audit.note("agent.rolled_back", row, before={"version": before}, after={"version": version.number})
    return row


@transaction.atomic
def load_into_draft(agent: Agent, spec: Plain, *, revision: int, by: User) -> Agent:
    """Make an older state the draft. The draft as it is stays in the history. Raises DraftConflict."""
    row = _lock(agent)
    try:
        wanted = msgspec.structs.replace(parse_agent(spec), version_id="")
    except SpecError as error:
        raise DraftError(str(error)) from error
    if row.revision != revision:
        raise _find_conflict(row, mine=to_builtins(wanted), revision=revision)
    return _write(row, wanted, by=by)


@transaction.atomic
def archive_agent(agent: Agent) -> Agent:
    """Off the list. Who routes calls to it is asked by the caller of this service."""
    row = _lock(agent)
    if row.archived_at is None:
        row.archived_at = timezone.now()
        row.save(update_fields=["archived_at", "updated_at"])
        audit.note("agent.archived", row)
    return row


@transaction.atomic
def restore_agent(agent: Agent) -> Agent:
    row = _lock(agent)
    if row.archived_at is not None:
        row.archived_at = None
        row.save(update_fields=["archived_at", "updated_at"])
        audit.note("agent.restored", row)
    return row


def refresh_tools(spec: AgentSpec) -> AgentSpec:
    """The agent with its tools as they are now; what it says differently of one (`overrides`) stays. A tool that is gone is kept."""
    names = [tool.name for tool in spec.tools if tool.kind != "builtin"]
    if not names:
        return spec
    current = {row.name: row.to_spec() for row in Tool.objects.filter(name__in=names)}
    return msgspec.structs.replace(spec, tools=tuple(_refresh(tool, current.get(tool.name)) for tool in spec.tools))


def make_plain(spec: Plain) -> Plain:
    """A stored state with the fields of today in their order, so that two states can be compared whenever they were saved."""
    return to_builtins(msgspec.structs.replace(parse_agent(spec), version_id=""))


def _refresh(used: ToolSpec, current: ToolSpec | None) -> ToolSpec:
    if used.kind == "builtin" or current is None:
        return used
    own = {name: getattr(used, name) for name in used.overrides}
    return msgspec.structs.replace(current, **own, overrides=used.overrides)


def _lock(agent: Agent) -> Agent:
    found: Agent = Agent.objects.select_for_update(of=("self",)).select_related("published").get(pk=agent.pk)
    return found


def _read_base(agent: Agent, revision: int) -> Plain:
    """The state that was read; long gone: the present one, so that every difference is shown for decision."""
    found = AgentDraft.objects.filter(agent=agent, number=revision).values_list("spec", flat=True).first()
    return make_plain(found or agent.draft)


def _find_conflict(agent: Agent, *, mine: Plain, revision: int) -> DraftConflict:
    base = _read_base(agent, revision)
    return DraftConflict(agent, base, mine, compare_edits(base, mine=mine, theirs=make_plain(agent.draft)))


def _write(agent: Agent, spec: AgentSpec, *, by: User | None) -> Agent:
    if spec.name.casefold() != agent.name.casefold():
        _refuse_taken(spec.name)
    write_draft(agent, spec, by=by)
    return agent


def _refuse_taken(name: str) -> None:
    if Agent.objects.filter(name__iexact=name).exists():
        raise NameTaken(name)

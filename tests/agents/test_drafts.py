"""Two admins on one draft, publishing what was looked at, and the way back: nobody's change is lost unseen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from django.core.exceptions import ValidationError

from agents import drafts
from agents.models import Agent, AgentDraft
from agents.services import KEPT_DRAFTS, publish_agent, save_agent, save_tool
from agents.spec import AgentSpec, HttpCall, ToolPolicy, ToolSpec, parse_agent
from tenants.models import Tenant, User
from tenants.scope import tenant_scope
from tests.factories import make_tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    tenant = make_tenant()
    with tenant_scope(tenant):
        yield tenant


@pytest.fixture
def ann() -> User:
    return User.objects.create_user("ann@example.com", "x")


def make_spec(**fields: Any) -> AgentSpec:
    return parse_agent({"name": "Reception", "instructions": "You answer.", **fields})


def draft_of(agent: Agent) -> AgentSpec:
    return parse_agent(Agent.objects.get(pk=agent.pk).draft)


def test_saving_counts_the_state_and_keeps_it(tenant: Tenant, ann: User) -> None:
    agent = drafts.create_agent(make_spec(), by=ann)
    assert agent.revision == 1
    agent = drafts.save_draft(agent, make_spec(greeting="Hi"), revision=1, by=ann)
    assert agent.revision == 2
    assert drafts.save_draft(agent, make_spec(greeting="Hi"), revision=2, by=ann).revision == 2
    states = AgentDraft.objects.filter(agent=agent).order_by("number")
    assert [(state.number, state.spec["greeting"], state.saved_by) for state in states] == [
        (1, "Hello, how can I help you?", ann),
        (2, "Hi", ann),
    ]


def test_second_of_two_admins_sees_the_conflict_and_nothing_is_written(tenant: Tenant, ann: User) -> None:
    agent = drafts.create_agent(make_spec(), by=ann)
    drafts.save_draft(agent, make_spec(greeting="Hers", goodbye="Hers"), revision=1, by=ann)
    with pytest.raises(drafts.DraftConflict) as caught:
        drafts.save_draft(agent, make_spec(greeting="His", disclosure="His"), revision=1, by=ann)
    merge = caught.value.merge
    assert [clash.place for clash in merge.clashes] == ["greeting"]
    assert [change.place for change in merge.mine] == ["disclosure"]
    assert [change.place for change in merge.theirs] == ["greeting", "goodbye"]
    assert draft_of(agent).greeting == "Hers"
    merged = drafts.save_merge(
        agent,
        mine=make_spec(greeting="His", disclosure="His"),
        base_revision=1,
        revision=2,
        keep_mine=lambda place: place == "greeting",
        by=ann,
    )
    spec = draft_of(merged)
    assert (spec.greeting, spec.goodbye, spec.disclosure) == ("His", "Hers", "His")


def test_a_third_change_during_the_merge_is_a_conflict_again(tenant: Tenant, ann: User) -> None:
    agent = drafts.create_agent(make_spec(), by=ann)
    drafts.save_draft(agent, make_spec(greeting="2"), revision=1, by=ann)
    drafts.save_draft(agent, make_spec(greeting="3"), revision=2, by=ann)
    with pytest.raises(drafts.DraftConflict):
        drafts.save_merge(
            agent,
            mine=make_spec(greeting="mine"),
            base_revision=1,
            revision=2,
            keep_mine=lambda place: True,
            by=ann,
        )
    assert draft_of(agent).greeting == "3"


def test_saving_what_is_there_already_is_no_conflict(tenant: Tenant, ann: User) -> None:
    agent = drafts.create_agent(make_spec(), by=ann)
    drafts.save_draft(agent, make_spec(greeting="Hi"), revision=1, by=ann)
    assert drafts.save_draft(agent, make_spec(greeting="Hi"), revision=1, by=ann).revision == 2


def test_a_name_belongs_to_one_agent(tenant: Tenant, ann: User) -> None:
    drafts.create_agent(make_spec(), by=ann)
    with pytest.raises(drafts.NameTaken):
        drafts.create_agent(make_spec(name="RECEPTION"), by=ann)
    other = drafts.create_agent(make_spec(name="Billing"), by=ann)
    with pytest.raises(drafts.NameTaken):
        drafts.save_draft(other, make_spec(name="reception"), revision=1, by=ann)
    assert drafts.save_draft(other, make_spec(name="BILLING"), revision=1, by=ann).name == "BILLING"
    with pytest.raises(ValidationError):
        drafts.create_agent(make_spec(name="x" * 101), by=ann)


def test_published_is_exactly_what_was_looked_at(tenant: Tenant, ann: User) -> None:
    agent = drafts.create_agent(make_spec(), by=ann)
    version = drafts.publish_draft(agent, revision=1, by=ann)
    assert (version.number, version.created_by) == (1, ann)
    drafts.save_draft(agent, make_spec(greeting="Hi"), revision=1, by=ann)
    with pytest.raises(drafts.DraftConflict):
        drafts.publish_draft(agent, revision=1, by=ann)
    assert drafts.publish_draft(agent, revision=2, by=ann).number == 2


def test_going_back_serves_the_old_version_and_keeps_the_draft(tenant: Tenant, ann: User) -> None:
    agent = drafts.create_agent(make_spec(), by=ann)
    first = drafts.publish_draft(agent, revision=1, by=ann)
    drafts.save_draft(agent, make_spec(greeting="Worse"), revision=1, by=ann)
    drafts.publish_draft(agent, revision=2, by=ann)
    drafts.go_back_to(agent, first)
    row = Agent.objects.select_related("published").get(pk=agent.pk)
    assert row.published == first
    assert row.draft["greeting"] == "Worse"
    loaded = drafts.load_into_draft(row, first.spec, revision=2, by=ann)
    assert (loaded.revision, draft_of(loaded).greeting) == (3, "Hello, how can I help you?")
    other = drafts.create_agent(make_spec(name="Other"), by=ann)
    with pytest.raises(drafts.DraftError):
        drafts.go_back_to(other, first)


def test_publishing_takes_tools_as_they_are_now_with_what_the_agent_says_differently(tenant: Tenant, ann: User) -> None:
    def make_tool(**changes: Any) -> ToolSpec:
        return msgspec.structs.replace(
            ToolSpec(name="look_up", description="Old", http=HttpCall(url="https://old.example")), **changes
        )

    save_tool(make_tool())
    used = make_tool(policy=ToolPolicy.CONFIRM, overrides=("policy",))
    agent = drafts.create_agent(msgspec.structs.replace(make_spec(), tools=(used,)), by=ann)
    save_tool(make_tool(description="New", http=HttpCall(url="https://new.example"), policy=ToolPolicy.IMMEDIATE))
    tool = drafts.publish_draft(agent, revision=1, by=ann).to_spec().tools[0]
    assert tool.http is not None
    assert (tool.description, tool.http.url, tool.policy) == ("New", "https://new.example", ToolPolicy.CONFIRM)


def test_an_archived_agent_is_not_published(tenant: Tenant, ann: User) -> None:
    agent = drafts.archive_agent(drafts.create_agent(make_spec(), by=ann))
    with pytest.raises(drafts.DraftError):
        drafts.publish_draft(agent, revision=1, by=ann)
    assert drafts.publish_draft(drafts.restore_agent(agent), revision=1, by=ann).number == 1


def test_history_is_bounded(tenant: Tenant) -> None:
    for number in range(KEPT_DRAFTS + 3):
        agent = save_agent(make_spec(greeting=str(number)))
    assert AgentDraft.objects.filter(agent=agent).count() == KEPT_DRAFTS
    publish_agent(agent)

"""The built-in tools: schemas a model can follow, and nothing to pick that the agent does not have."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator

from agents.builtins import BUILTINS, for_agent
from agents.spec import AgentSpec, Contact, Field, HandOff, ToolPolicy, ToolSpec


def make_agent(*names: str, **values: object) -> AgentSpec:
    tools = tuple(BUILTINS[name] for name in names)
    return AgentSpec(name="Reception", instructions="Answer the phone.", tools=tools, **values)  # type: ignore[arg-type]  # free-form test data


@pytest.mark.parametrize("name", BUILTINS)
def test_every_builtin_has_words_and_a_closed_object_schema(name: str) -> None:
    tool = BUILTINS[name]
    Draft202012Validator.check_schema(tool.parameters)
    assert tool.kind == "builtin"
    assert tool.name == name
    assert len(tool.description) > 60
    assert tool.parameters["type"] == "object"
    assert tool.parameters["additionalProperties"] is False
    assert set(tool.parameters["required"]) <= set(tool.parameters["properties"])


def test_the_seven_builtins_of_the_issue_exist() -> None:
    assert set(BUILTINS) == {
        "end_call", "transfer_to_person", "hand_off", "send_digits", "collect_digits", "wait", "take_message",
    }  # fmt: skip


def test_the_model_can_only_pick_contacts_that_exist() -> None:
    spec = make_agent(
        "transfer_to_person",
        contacts=(
            Contact(name="Sales", e164="+31201234567", description="offers"),
            Contact(name="Ann", e164="+31207654321"),
        ),
    )
    tool = for_agent(spec)["transfer_to_person"]
    assert tool.parameters["properties"]["contact"]["enum"] == ["Sales", "Ann"]
    assert "Contacts: Sales (offers); Ann." in tool.description
    assert "+312" not in tool.description
    assert "collected" not in tool.parameters["properties"]


def test_collected_fields_are_typed_and_required_ones_hold_back_the_transfer() -> None:
    spec = make_agent(
        "transfer_to_person",
        contacts=(Contact(name="Sales", e164="+31201234567"),),
        collect=(
            Field(name="birth_date", description="Of the patient.", kind="date", required=True),
            Field(name="people", kind="number"),
        ),
    )
    parameters = for_agent(spec)["transfer_to_person"].parameters
    validator = Draft202012Validator(parameters)
    good = {"contact": "Sales", "reason": "r", "summary": "s", "collected": {"birth_date": "1980-02-01", "people": 2}}
    assert validator.is_valid(good)
    assert not validator.is_valid({**good, "collected": {"people": 2}})
    assert not validator.is_valid({**good, "collected": {"birth_date": "1980-02-01", "people": "two"}})
    assert not validator.is_valid({"contact": "Sales", "reason": "r", "summary": "s"})
    assert parameters["properties"]["collected"]["properties"]["birth_date"]["description"].startswith(
        "Of the patient."
    )


def test_only_optional_fields_leave_collected_optional() -> None:
    spec = make_agent(
        "transfer_to_person", contacts=(Contact(name="Sales", e164="+31201234567"),), collect=(Field(name="name"),)
    )
    assert "collected" not in for_agent(spec)["transfer_to_person"].parameters["required"]


def test_hand_off_names_the_agents_it_may_reach() -> None:
    spec = make_agent("hand_off", hand_offs=(HandOff(agent="Billing", description="invoices"),))
    tool = for_agent(spec)["hand_off"]
    assert tool.parameters["properties"]["agent"]["enum"] == ["Billing"]
    assert "Billing (invoices)" in tool.description


def test_tools_without_anything_to_pick_are_not_offered() -> None:
    assert for_agent(make_agent("transfer_to_person", "hand_off", "end_call")).keys() == {"end_call"}


def test_http_tools_and_unknown_builtins_are_not_builtins_of_the_agent() -> None:
    spec = AgentSpec(
        name="R", instructions="i", tools=(ToolSpec(name="wait", kind="http"), ToolSpec(name="fly", kind="builtin"))
    )
    assert for_agent(spec) == {}


def test_own_words_and_the_confirm_policy_are_kept() -> None:
    own = ToolSpec(
        name="end_call", kind="builtin", description="Hang up nicely.", policy=ToolPolicy.CONFIRM, filler="Bye."
    )
    tool = for_agent(AgentSpec(name="R", instructions="i", tools=(own,)))["end_call"]
    assert tool.description == (
        "Hang up nicely. Ask the caller to confirm before you call this. Right before you call this, say: Bye."
    )
    assert tool.filler == "Bye."
    assert tool.parameters == BUILTINS["end_call"].parameters


@pytest.mark.parametrize(
    ("digits", "fits"), [("12#", True), ("1wW*D", True), ("", False), ("12a", False), ("1" * 65, False)]
)
def test_digits_to_send_are_keys_of_a_phone(digits: str, fits: bool) -> None:
    assert Draft202012Validator(BUILTINS["send_digits"].parameters).is_valid({"digits": digits}) is fits

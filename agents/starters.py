"""What a new agent can begin with: six businesses' first drafts, or an empty one; reads its file once and stores nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from django.utils.translation import gettext_lazy as _

from agents.declare import read_agent
from agents.spec import AgentSpec

BLANK = "blank"
_FILE = Path(__file__).with_name("starters.yaml")

# Titles and summaries are translated; the drafts are in English, the language their guardrails' patterns know.
_TEXTS = {
    "healthcare_reception": (
        _("Healthcare reception"),
        _("Takes appointment wishes and messages, never diagnoses, sends emergencies to the emergency number."),
    ),
    "real_estate": (
        _("Real-estate enquiries"),
        _("Finds out what somebody wants to buy or rent, their budget and when, and notes a viewing."),
    ),
    "salon_booking": (_("Salon booking"), _("Takes, changes and cancels booking wishes in a cheerful voice.")),
    "it_helpdesk": (
        _("IT helpdesk"),
        _("Walks people through first aid, notes a ticket, never asks for a password."),
    ),
    "sales_qualification": (
        _("Sales qualification"),
        _("Finds out what is wanted, by whom and by when; promises no price and no discount."),
    ),
    "after_hours": (
        _("After-hours triage"),
        _("Tells what cannot wait from what can, and notes both for the morning."),
    ),
}


@dataclass(frozen=True, slots=True)
class Starter:
    """One template. `title` and `summary` are lazy translations."""

    key: str
    icon: str
    title: Any
    summary: Any
    declared: dict[str, Any]

    def make_spec(self, *, business: str) -> AgentSpec:
        """The draft for this business."""
        return read_agent(_fill(self.declared, business), self.key, {}).spec


@cache
def list_starters() -> tuple[Starter, ...]:
    """The templates, in the order the screens show them."""
    entries = yaml.safe_load(_FILE.read_text())
    return tuple(Starter(entry["key"], entry["icon"], *_TEXTS[entry["key"]], entry["agent"]) for entry in entries)


def find_starter(key: str) -> Starter | None:
    return next((starter for starter in list_starters() if starter.key == key), None)


def make_blank(name: str) -> AgentSpec:
    """An agent that says who it is not yet: preflight asks for instructions before it may be published."""
    return read_agent({"name": name, "instructions": "", "tools": ["take_message", "end_call", "wait"]}, BLANK, {}).spec


def _fill(value: Any, business: str) -> Any:
    if isinstance(value, str):
        return value.replace("{business}", business)
    if isinstance(value, dict):
        return {key: _fill(entry, business) for key, entry in value.items()}
    return [_fill(entry, business) for entry in value] if isinstance(value, list) else value

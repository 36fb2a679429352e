"""The menu's entries: every screen that exists names itself here, in the order of dashboard.md; draws nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tenants.permissions import Permission


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the menu. `section` is the first part of the URL names below it ("calls" lights up for "calls-export");
    `key` follows `g` on the keyboard."""

    group: str
    label: str | Promise
    url_name: str
    icon: str
    needs: Permission
    key: str


GROUPS: Mapping[str, str | Promise] = {
    "desk": _("Desk"),
    "build": _("Build"),
    "measure": _("Measure"),
    "setup": _("Set up"),
}

# Home, Live, Inbox, Calls, Callers · Agents, Tools, Numbers, People · Reports, Costs · Integrations, Settings (dashboard.md)
ENTRIES: tuple[Entry, ...] = (
    Entry("desk", _("Calls"), "calls", "phone", Permission.HISTORY_VIEW, "c"),
    Entry("setup", _("Integrations"), "integrations", "plug-connected", Permission.SETTINGS_MANAGE, "i"),
)


@dataclass(frozen=True, slots=True)
class Group:
    label: str | Promise
    entries: tuple[Entry, ...]


def menu_for(can: Mapping[str, bool]) -> list[Group]:
    """What a member with these rights sees; a group without entries is left out."""
    groups = []
    for key, label in GROUPS.items():
        entries = tuple(entry for entry in ENTRIES if entry.group == key and can[_right(entry)])
        if entries:
            groups.append(Group(label, entries))
    return groups


def landing_for(can: Mapping[str, bool]) -> str:
    """The URL name of the screen a member lands on: the first of the menu that the rights allow."""
    return next(entry.url_name for entry in ENTRIES if can[_right(entry)])


def _right(entry: Entry) -> str:
    return entry.needs.value.replace(".", "_")

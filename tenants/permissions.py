"""What each role may do, in the one place that the screens, the sockets and the API ask (product 2.2). Decides; reads no request."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from tenants.models.people import Membership


class Permission(StrEnum):
    """One right of a member. Screens and services name it; nobody compares roles."""

    HOME_VIEW = "home.view"
    HISTORY_VIEW = "history.view"  # calls, transcripts, recordings
    HISTORY_ANNOTATE = "history.annotate"  # tags, notes, reviewed
    HISTORY_EXPORT = "history.export"
    HISTORY_SHARE = "history.share"
    LIVE_VIEW = "live.view"
    LIVE_ACT = "live.act"  # listen, note to the agent, transfer, end
    COSTS_VIEW = "costs.view"
    AGENTS_MANAGE = "agents.manage"
    TOOLS_MANAGE = "tools.manage"
    NUMBERS_MANAGE = "numbers.manage"
    SETTINGS_MANAGE = "settings.manage"  # business profile, connections, retention, budgets
    AUDIT_VIEW = "audit.view"
    MEMBERS_MANAGE = "members.manage"
    BILLING_MANAGE = "billing.manage"  # plan
    TENANT_DELETE = "tenant.delete"


_VIEWER = frozenset({Permission.HOME_VIEW, Permission.HISTORY_VIEW, Permission.HISTORY_EXPORT, Permission.COSTS_VIEW})
_SUPERVISOR = frozenset(
    {
        Permission.HOME_VIEW,
        Permission.HISTORY_VIEW,
        Permission.HISTORY_ANNOTATE,
        Permission.HISTORY_EXPORT,
        Permission.HISTORY_SHARE,
        Permission.LIVE_VIEW,
        Permission.LIVE_ACT,
    }
)
_OWNERS_ALONE = frozenset({Permission.MEMBERS_MANAGE, Permission.BILLING_MANAGE, Permission.TENANT_DELETE})
_OWNER = frozenset(Permission)

PERMISSIONS_OF: Mapping[str, frozenset[Permission]] = {
    Membership.Role.OWNER: _OWNER,
    Membership.Role.ADMIN: _OWNER - _OWNERS_ALONE,
    Membership.Role.SUPERVISOR: _SUPERVISOR,
    Membership.Role.VIEWER: _VIEWER,
}


def may(role: str, permission: Permission) -> bool:
    """Whether a member with this role has the right. Raises KeyError for a role that does not exist."""
    return permission in PERMISSIONS_OF[role]


def rights_of(role: str) -> dict[str, bool]:
    """For templates: {"agents_manage": True, …}, every permission named, so that a misspelt one fails a test."""
    granted = PERMISSIONS_OF[role]
    return {permission.value.replace(".", "_"): permission in granted for permission in Permission}

"""Roles and rights, as product 2.2 gives them."""

from __future__ import annotations

import pytest

from tenants.permissions import PERMISSIONS_OF, Permission, may, rights_of


def test_owners_may_everything_and_admins_all_but_billing_members_and_deletion() -> None:
    assert PERMISSIONS_OF["owner"] == set(Permission)
    assert PERMISSIONS_OF["owner"] - PERMISSIONS_OF["admin"] == {
        Permission.MEMBERS_MANAGE,
        Permission.BILLING_MANAGE,
        Permission.TENANT_DELETE,
    }


@pytest.mark.parametrize(
    ("role", "permission", "granted"),
    [
        ("supervisor", Permission.LIVE_ACT, True),
        ("supervisor", Permission.HISTORY_VIEW, True),
        ("supervisor", Permission.COSTS_VIEW, False),
        ("viewer", Permission.COSTS_VIEW, True),
        ("viewer", Permission.HISTORY_VIEW, True),
        ("viewer", Permission.LIVE_VIEW, False),
        ("viewer", Permission.HISTORY_ANNOTATE, False),
        ("supervisor", Permission.AGENTS_MANAGE, False),
        ("viewer", Permission.NUMBERS_MANAGE, False),
    ],
)
def test_supervisors_have_the_desk_and_viewers_the_history_and_costs(
    role: str, permission: Permission, granted: bool
) -> None:
    assert may(role, permission) is granted
    assert rights_of(role)[permission.value.replace(".", "_")] is granted


def test_an_unknown_role_has_no_rights_to_look_up() -> None:
    with pytest.raises(KeyError):
        may("janitor", Permission.HOME_VIEW)

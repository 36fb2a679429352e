"""Notes, saved views and chosen columns as the screens show them; reads only."""

from __future__ import annotations

from django.db.models import Q

from calls.models import Call, CallNote, ColumnChoice, SavedView
from tenants.models import User


def list_notes(call: Call) -> list[CallNote]:
    """Newest last, with their authors; what was taken back is not shown."""
    return list(CallNote.objects.filter(call=call, removed_at=None).select_related("author"))


def list_views(*, member: User, screen: str) -> list[SavedView]:
    """The member's own and those that others share."""
    views = SavedView.objects.filter(Q(owner=member) | Q(is_shared=True), screen=screen)
    return list(views.select_related("owner"))


def read_columns(*, member: User, screen: str) -> list[str]:
    """What the member chose, or nothing."""
    found: list[str] | None = (
        ColumnChoice.objects.filter(member=member, screen=screen).values_list("columns", flat=True).first()
    )
    return found or []

"""Saved views and chosen columns of a list: a member's own, or shared with the whole tenant."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from calls.models import ColumnChoice, SavedView
from tenants import audit
from tenants.models import User

MOST_VIEWS = 50  # a member's


def save_view(*, owner: User, screen: str, name: str, query: str, is_shared: bool) -> SavedView:
    """Raises ValidationError for a name that is empty, over-long or taken by another view of this member."""
    name = " ".join(name.replace("\0", "").split())
    if not name:
        raise ValidationError(_("Give the view a name, for example: Failed this week."))
    if len(name) > 60:
        raise ValidationError(
            _("A view's name has at most 60 characters; this one has %(count)d.") % {"count": len(name)}
        )
    if len(query) > 2000:
        raise ValidationError(_("These filters are too long to be saved; take some away."))
    if SavedView.objects.filter(owner=owner, screen=screen).count() >= MOST_VIEWS:
        raise ValidationError(_("You have %(most)d views; delete one first.") % {"most": MOST_VIEWS})
    try:
        with transaction.atomic():
            view = SavedView(owner=owner, screen=screen, name=name, query=query, is_shared=is_shared)
            view.save()
            if is_shared:
                audit.note("view.shared", view, after={"query": query}, name=name)
    except IntegrityError as error:
        raise ValidationError(
            _("You have a view called “%(name)s” already; choose another name.") % {"name": name}
        ) from error
    return view


@transaction.atomic
def delete_view(view_id: uuid.UUID, *, member: User, may_manage: bool) -> str | None:
    """Its name, or None when it is not there. Whoever manages the tenant may delete what others shared."""
    views = SavedView.objects.filter(pk=view_id)
    view = views.filter(owner=member).first() or (views.filter(is_shared=True).first() if may_manage else None)
    if view is None:
        return None
    if view.is_shared:
        audit.note("view.deleted", view, before={"query": view.query}, name=view.name)
    view.delete()
    return view.name


@transaction.atomic
def choose_columns(*, member: User, screen: str, columns: Sequence[str]) -> None:
    """Keep the member's columns; an empty choice goes back to what everybody sees."""
    ColumnChoice.objects.filter(member=member, screen=screen).delete()
    if columns:
        ColumnChoice(member=member, screen=screen, columns=list(columns)).save()

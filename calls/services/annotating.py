"""What members write on calls: notes, tags, reviewed; one call or many at once, logged, and many-at-once can be taken back."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from calls.models import BulkAct, Call, CallNote, Tag
from calls.services.announce import announce_call
from calls.services.indexing import index_words
from tenants import audit
from tenants.models import User

MOST_CALLS = 200  # one act; a page shows 50
MOST_TAGS = 20  # on one call
LONGEST_TAG = 40
LONGEST_NOTE = 4000

Kind = BulkAct.Kind


@transaction.atomic
def add_note(call: Call, *, author: User, text: str) -> CallNote:
    """Raises ValidationError for an empty or over-long note."""
    text = text.replace("\0", "").strip()
    if not text:
        raise ValidationError(_("Write something first."))
    if len(text) > LONGEST_NOTE:
        raise ValidationError(
            _("A note has at most %(most)d characters; this one has %(count)d.")
            % {"most": LONGEST_NOTE, "count": len(text)}
        )
    note = CallNote.objects.create(call=call, author=author, text=text)
    index_words(call)
    audit.note("call.note_added", call, after={"note": text[:200]})
    announce_call(call)
    return note


@transaction.atomic
def remove_note(call: Call, *, note_id: uuid.UUID, author: User) -> bool:
    """Take back one's own note. False when there is none (any more)."""
    removed = CallNote.objects.filter(call=call, pk=note_id, author=author, removed_at=None).update(
        removed_at=timezone.now()
    )
    if removed:
        index_words(call)
        audit.note("call.note_removed", call, before={"note": str(note_id)})
        announce_call(call)
    return bool(removed)


@transaction.atomic
def act_on_calls(call_ids: Sequence[uuid.UUID], *, kind: str, value: str = "", member: User) -> BulkAct:
    """Tag, untag, mark reviewed (`value`: why) or take that back. Calls that are not in scope are left out.

    Raises ValidationError for a tag that cannot be one, or for too many calls.
    """
    if len(call_ids) > MOST_CALLS:
        raise ValidationError(_("Choose at most %(most)d calls at once.") % {"most": MOST_CALLS})
    value = _clean_tag(value) if kind in (Kind.TAG, Kind.UNTAG) else value.strip()[:300]
    calls = list(Call.objects.select_for_update().filter(pk__in=call_ids).order_by("pk"))
    before = [entry for call in calls if (entry := _apply(call, kind=kind, value=value, member=member)) is not None]
    if kind == Kind.TAG and before:
        Tag.objects.bulk_create([Tag(name=value, tenant_id=calls[0].tenant_id)], ignore_conflicts=True)
    act = BulkAct.objects.create(member=member, kind=kind, value=value, before=before)
    audit.note(f"calls.{kind}", act, after={"value": value, "calls": [entry["call"] for entry in before]}, name=value)
    return act


@transaction.atomic
def undo_act(act_id: uuid.UUID, *, member: User) -> int:
    """Put the calls of one's own act back as they were. How many; 0 when it is nobody's or was undone already."""
    act = BulkAct.objects.select_for_update().filter(pk=act_id, member=member, undone_at=None).first()
    if act is None:
        return 0
    was = {uuid.UUID(entry["call"]): entry for entry in act.before}
    calls = list(Call.objects.select_for_update().filter(pk__in=was).order_by("pk"))
    for call in calls:
        entry = was[call.pk]
        if "tags" in entry:
            # What others did to the call meanwhile stays: only this act's tag goes or comes back.
            had = act.value.lower() in {tag.lower() for tag in entry["tags"]}
            rest = [tag for tag in call.tags if tag.lower() != act.value.lower()]
            _save_tags(call, [*rest, act.value] if had else rest)
        else:
            _save_review(call, at=entry["reviewed_at"], by=entry["reviewed_by"], reason=entry["review_reason"])
    act.undone_at = timezone.now()
    act.save(update_fields=["undone_at"])
    audit.note("calls.undone", act, before={"kind": act.kind, "value": act.value}, name=act.value)
    return len(calls)


def _apply(call: Call, *, kind: str, value: str, member: User) -> dict[str, Any] | None:
    """Change one call; returns what it was, or None when it is so already."""
    if kind in (Kind.TAG, Kind.UNTAG):
        rest = [tag for tag in call.tags if tag.lower() != value.lower()]
        has = len(rest) < len(call.tags)
        if has == (kind == Kind.TAG):
            return None
        if kind == Kind.TAG and len(rest) >= MOST_TAGS:
            raise ValidationError(_("A call carries at most %(most)d tags; take one away first.") % {"most": MOST_TAGS})
        tagged: dict[str, Any] = {"call": str(call.pk), "tags": list(call.tags)}
        _save_tags(call, [*rest, value] if kind == Kind.TAG else rest)
        return tagged
    if kind == Kind.UNREVIEW and call.reviewed_at is None:
        return None
    before: dict[str, Any] = {
        "call": str(call.pk),
        "reviewed_at": call.reviewed_at.isoformat() if call.reviewed_at else None,
        "reviewed_by": str(call.reviewed_by_id) if call.reviewed_by_id else None,
        "review_reason": call.review_reason,
    }
    if kind == Kind.REVIEW:
        _save_review(call, at=timezone.now(), by=member.pk, reason=value)
    else:
        _save_review(call, at=None, by=None, reason="")
    return before


def _save_tags(call: Call, tags: list[str]) -> None:
    ordered = sorted(tags, key=str.casefold)
    call.tags = ordered
    Call.objects.filter(pk=call.pk).update(tags=ordered)
    index_words(call)
    announce_call(call)


def _save_review(call: Call, *, at: Any, by: Any, reason: str) -> None:
    Call.objects.filter(pk=call.pk).update(reviewed_at=at, reviewed_by_id=by, review_reason=reason)
    announce_call(call)


def _clean_tag(text: str) -> str:
    """Raises ValidationError unless it can be a tag. One that is known keeps its spelling."""
    name = " ".join(text.replace("\0", "").split())
    if not name:
        raise ValidationError(_("Write a tag first, for example: call back."))
    if len(name) > LONGEST_TAG:
        raise ValidationError(
            _("A tag has at most %(most)d characters; shorten “%(name)s…”.")
            % {"most": LONGEST_TAG, "name": name[:LONGEST_TAG]}
        )
    known: str | None = Tag.objects.filter(name__iexact=name).values_list("name", flat=True).first()
    return known or name

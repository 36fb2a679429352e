"""What people keep about calls: tags, notes, saved views, chosen columns, and acts on many calls that can be undone. Rows only."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower

from calls.models.call import Call
from tenants.base import TenantModel


class Tag(TenantModel):
    """A word that the tenant marks calls with; the calls carry its name, this table offers it."""

    name = models.CharField(max_length=40)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint("tenant", Lower("name"), name="tag_name_once"),
            models.CheckConstraint(condition=~models.Q(name=""), name="tag_has_a_name"),
        ]
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class CallNote(TenantModel):
    """What a member wrote about a call. Never changed; taken back by its author, and the row keeps that it was."""

    call = models.ForeignKey(Call, on_delete=models.PROTECT, related_name="notes")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField(max_length=4000)
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=~models.Q(text=""), name="call_note_has_words")]
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return self.text[:40]


class SavedView(TenantModel):
    """Filters, columns and order of a list under a name: a query string, for its owner or for everybody in the tenant."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    screen = models.CharField(max_length=32)
    name = models.CharField(max_length=60)
    query = models.TextField(max_length=2000, blank=True, default="")
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint("tenant", "owner", "screen", Lower("name"), name="saved_view_name_once"),
            models.CheckConstraint(condition=~models.Q(name=""), name="saved_view_has_a_name"),
        ]
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ColumnChoice(TenantModel):
    """Which columns of a list one member wants to see, in their order."""

    member = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    screen = models.CharField(max_length=32)
    columns = ArrayField(models.CharField(max_length=32))

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "member", "screen"], name="column_choice_once")]

    def __str__(self) -> str:
        return f"{self.screen}: {', '.join(self.columns)}"


class BulkAct(TenantModel):
    """One act on several calls. `before` holds what each of them was, so that the act can be taken back."""

    class Kind(models.TextChoices):
        TAG = "tag"
        UNTAG = "untag"
        REVIEW = "review"
        UNREVIEW = "unreview"

    member = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    value = models.CharField(max_length=300, blank=True, default="")
    before = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    undone_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=["tag", "untag", "review", "unreview"]), name="bulk_act_kind_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"

"""The screens and sockets of calls in the generated walk (tests/test_isolation.py)."""

from __future__ import annotations

import datetime as dt

from django.core.files.base import ContentFile
from django.utils import timezone

from calls.models import BulkAct, CallExport, SavedView
from calls.services.annotating import act_on_calls
from tenants.scope import tenant_scope
from tests.isolation.doors import Door, Post, World

LIST = "o/<slug:slug>/calls/"
CALL = f"{LIST}<uuid:call_id>/"


def make_act(world: World) -> BulkAct:
    with tenant_scope(world.tenant):
        return act_on_calls([world.call.pk], kind="tag", value="hers", member=world.alice)


def make_view(world: World) -> SavedView:
    with tenant_scope(world.tenant):
        return SavedView.objects.create(owner=world.alice, screen="calls", name="Hers", query="outcome=failed")


def make_export(world: World) -> CallExport:
    now = timezone.now()
    with tenant_scope(world.tenant):
        export = CallExport(
            tenant=world.tenant,
            member=world.alice,
            state="done",
            size=3,
            due_at=now,
            done_at=now,
            expires_at=now + dt.timedelta(hours=1),
        )
        export.file.save("calls.csv", ContentFile(b"a,b"), save=False)
        export.save()
    return export


DOORS = {
    "o/<slug:slug>/": Door(lambda w: "/o/{slug}/", is_list=True),
    LIST: Door(lambda w: "/o/{slug}/calls/", is_list=True),
    f"{LIST}export.csv": Door(lambda w: "/o/{slug}/calls/export.csv", is_list=True),
    f"{LIST}export.json": Door(lambda w: "/o/{slug}/calls/export.json", is_list=True),
    f"{LIST}exports/": Door(
        lambda w: "/o/{slug}/calls/exports/", posts=(Post(lambda w: {"form": "csv"}),), is_list=True
    ),
    f"{LIST}exports/<uuid:export_id>/": Door(lambda w: f"/o/{{slug}}/calls/exports/{make_export(w).pk}/"),
    f"{LIST}acts/": Door(
        lambda w: "/o/{slug}/calls/acts/",
        looks=False,
        posts=(Post(lambda w: {"call": str(w.call.pk), "kind": "tag", "tag": "urgent"}),),
        is_list=True,
    ),
    f"{LIST}acts/<uuid:act_id>/undo/": Door(
        lambda w: f"/o/{{slug}}/calls/acts/{make_act(w).pk}/undo/", looks=False, posts=(Post(),)
    ),
    f"{LIST}views/": Door(
        lambda w: "/o/{slug}/calls/views/",
        looks=False,
        posts=(Post(lambda w: {"name": "Failed", "query": "outcome=failed"}),),
        is_list=True,
    ),
    f"{LIST}views/<uuid:view_id>/delete/": Door(
        lambda w: f"/o/{{slug}}/calls/views/{make_view(w).pk}/delete/", looks=False, posts=(Post(),)
    ),
    f"{LIST}columns/": Door(
        lambda w: "/o/{slug}/calls/columns/",
        looks=False,
        posts=(Post(lambda w: {"column": ["cost", "outcome"]}),),
        is_list=True,
    ),
    CALL: Door(lambda w: f"/o/{{slug}}/calls/{w.call.pk}/"),
    f"{CALL}notes/": Door(
        lambda w: f"/o/{{slug}}/calls/{w.call.pk}/notes/",
        looks=False,
        posts=(
            Post(lambda w: {"kind": "note", "text": "Rang back."}),
            Post(lambda w: {"kind": "tag", "tag": "urgent"}),
            Post(lambda w: {"kind": "review", "reason": "fine"}),
        ),
    ),
    f"{CALL}recordings/<uuid:recording_id>.wav": Door(
        lambda w: f"/o/{{slug}}/calls/{w.call.pk}/recordings/{w.recording.pk}.wav"
    ),
}
SOCKETS = {
    "ws/o/<slug:slug>/calls/": Door(lambda w: "/ws/o/{slug}/calls/", is_list=True),
    "ws/o/<slug:slug>/calls/<uuid:call_id>/": Door(lambda w: f"/ws/o/{{slug}}/calls/{w.call.pk}/"),
}

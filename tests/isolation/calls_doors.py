"""The screens and sockets of calls in the generated walk (tests/test_isolation.py)."""

from __future__ import annotations

from tests.isolation.doors import Door

DOORS = {
    "o/<slug:slug>/": Door(lambda w: "/o/{slug}/", is_list=True),
    "o/<slug:slug>/calls/": Door(lambda w: "/o/{slug}/calls/", is_list=True),
    "o/<slug:slug>/calls/export.csv": Door(lambda w: "/o/{slug}/calls/export.csv", is_list=True),
    "o/<slug:slug>/calls/<uuid:call_id>/": Door(lambda w: f"/o/{{slug}}/calls/{w.call.pk}/"),
    "o/<slug:slug>/calls/<uuid:call_id>/recordings/<uuid:recording_id>.wav": Door(
        lambda w: f"/o/{{slug}}/calls/{w.call.pk}/recordings/{w.recording.pk}.wav"
    ),
}
SOCKETS = {
    "ws/o/<slug:slug>/live/": Door(lambda w: "/ws/o/{slug}/live/", is_list=True),
    "ws/o/<slug:slug>/calls/<uuid:call_id>/": Door(lambda w: f"/ws/o/{{slug}}/calls/{w.call.pk}/"),
}

"""The addresses of the calls list, its exports and one call's page, below `/o/<slug>/`."""

from __future__ import annotations

from django.urls import URLPattern, path

from dashboard import call_page, calls_acts, calls_exports, calls_list, recordings

_LIST = "o/<slug:slug>/calls/"
_CALL = f"{_LIST}<uuid:call_id>/"

urlpatterns: list[URLPattern] = [
    path(_LIST, calls_list.calls, name="calls"),
    path(f"{_LIST}export.csv", calls_list.export, {"form": "csv"}, name="calls-export"),
    path(f"{_LIST}export.json", calls_list.export, {"form": "json"}, name="calls-export-json"),
    path(f"{_LIST}exports/", calls_exports.exports, name="calls-exports"),
    path(f"{_LIST}exports/<uuid:export_id>/", calls_exports.export_file, name="calls-export-file"),
    path(f"{_LIST}acts/", calls_acts.bulk, name="calls-bulk"),
    path(f"{_LIST}acts/<uuid:act_id>/undo/", calls_acts.undo, name="calls-undo"),
    path(f"{_LIST}views/", calls_acts.keep_view, name="calls-views"),
    path(f"{_LIST}views/<uuid:view_id>/delete/", calls_acts.drop_view, name="calls-view-delete"),
    path(f"{_LIST}columns/", calls_acts.keep_columns, name="calls-columns"),
    path(_CALL, call_page.call, name="call"),
    path(f"{_CALL}notes/", calls_acts.annotate, name="call-annotate"),
    path(f"{_CALL}recordings/<uuid:recording_id>.wav", recordings.recording, name="recording"),
]

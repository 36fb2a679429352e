"""Plays a recording to members: private storage through one checked door, with ranges; no link that works without a session."""

from __future__ import annotations

import uuid
from functools import partial

from django.http.response import HttpResponseBase

from calls.readouts.access import NotFound, access_recording
from dashboard.doors import tenant_screen
from dashboard.streams import file_response
from tenants.middleware import TenantRequest
from tenants.permissions import Permission


@tenant_screen(needs=Permission.HISTORY_VIEW)
def recording(request: TenantRequest, call_id: uuid.UUID, recording_id: uuid.UUID) -> HttpResponseBase:
    found = access_recording(request.tenant, call_id=call_id, recording_id=recording_id)
    try:
        size = found.file.size
    except FileNotFoundError as error:
        raise NotFound("recording") from error
    open_file = partial(found.file.storage.open, str(found.file.name), "rb")
    response = file_response(request, open_file, size=size, content_type="audio/wav", etag=found.sha256)
    response["Content-Disposition"] = f'inline; filename="{found.pk}.wav"'
    response["X-Content-Type-Options"] = "nosniff"
    return response

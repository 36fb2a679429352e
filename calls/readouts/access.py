"""The guarded way to one call or recording for somebody outside; reads only, and another tenant's row does not exist."""

from __future__ import annotations

import uuid

from calls.models import Call, Recording
from tenants.models import Tenant


class NotFound(LookupError):
    """The thing does not exist for this tenant; screens answer 404, never 403 (style-anchors, habit 8)."""


def access_call(tenant: Tenant, *, call_id: uuid.UUID) -> Call:
    """The tenant's call with number and agent at hand. Raises NotFound."""
    call: Call | None = (
        Call.objects.filter(tenant=tenant, pk=call_id).select_related("number", "agent", "agent_version").first()
    )
    if call is None:
        raise NotFound("call")
    return call


def access_recording(tenant: Tenant, *, call_id: uuid.UUID, recording_id: uuid.UUID) -> Recording:
    """A stored recording of the tenant's call. Raises NotFound, also while it is not stored yet."""
    recording: Recording | None = Recording.objects.filter(
        tenant=tenant, call_id=call_id, pk=recording_id, state=Recording.State.STORED
    ).first()
    if recording is None:
        raise NotFound("recording")
    return recording

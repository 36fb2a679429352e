"""The model vendor's webhooks: checked, remembered once, answered at once; whatever is to be done about them runs elsewhere."""

from __future__ import annotations

import time
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.views.decorators.csrf import csrf_exempt

from calls.services.invitations import STALE_S, MalformedInvitation, take_in
from calls.services.notes import tell_operator
from gateways.voice_calls import check_webhook

log = structlog.get_logger(__name__)

LARGEST_BODY = 65_536  # an invitation has a few kB of SIP headers
INCOMING = "realtime.call.incoming"
HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


@csrf_exempt
def incoming(request: HttpRequest) -> HttpResponse:
    """Any event of the project. A call may raise two kinds (§1.7); only invitations of the Realtime API are acted on."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if int(request.headers.get("Content-Length") or 0) > LARGEST_BODY or len(request.body) > LARGEST_BODY:
        return HttpResponse(status=413)
    headers = {name: request.headers.get(name, "") for name in HEADERS}
    if not settings.OPENAI_WEBHOOK_SECRETS:
        return HttpResponse(status=404)
    if not check_webhook(request.body, headers, secrets=settings.OPENAI_WEBHOOK_SECRETS, now=time.time()):
        try:
            tell_operator("openai_signature_forged", path=request.path[:120])
        except (OperationalError, InterfaceError):
            log.warning("operator_not_told")
        return HttpResponse(status=400)
    try:
        return HttpResponse(status=_take(headers["webhook-id"], request.body))
    except (OperationalError, InterfaceError) as error:
        log.error("webhook_without_database", path=request.path[:120], error=str(error)[:200])
        return HttpResponse(status=503)  # repeated by the vendor; until then the carrier's ring time decides


def _take(webhook_id: str, body: bytes) -> int:
    try:
        event = orjson.loads(body)
        kind, created_at, data = str(event["type"]), float(event["created_at"]), event["data"]
    except (ValueError, TypeError, KeyError):
        log.warning("model_webhook_malformed", webhook_id=webhook_id[:64])
        return 400
    if kind != INCOMING:
        log.info("model_webhook_ignored", kind=kind[:64], webhook_id=webhook_id[:64])
        return 204
    age_s = time.time() - created_at
    if age_s > STALE_S:  # §2.3: the caller has long stopped ringing
        log.info("invitation_stale", age_s=round(age_s), webhook_id=webhook_id[:64])
        return 204
    return _remember(webhook_id, data)


def _remember(webhook_id: str, data: Any) -> int:
    try:
        is_new = take_in(webhook_id, data if isinstance(data, dict) else {})
    except MalformedInvitation as error:
        log.warning("model_webhook_malformed", webhook_id=webhook_id[:64], detail=str(error))
        return 400
    if not is_new:
        log.info("invitation_repeated", webhook_id=webhook_id[:64])
    return 200

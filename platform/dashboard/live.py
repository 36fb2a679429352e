"""The screens' live sockets: stock consumers that re-check membership and send freshly rendered fragments; they decide nothing.

Announcements are hints (`call.changed`, `call.record`): whatever they say, the rows are read again. A burst becomes one refresh.
Never runs in a media process (decision 4): config.asgi leaves these routes out there.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
import zoneinfo
from importlib import import_module
from typing import Any

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from calls.readouts.access import NotFound, access_call
from calls.services.announce import call_group, live_group
from dashboard.call_page import gather_call
from tenants.models import Membership, Tenant
from tenants.permissions import Permission, may
from tenants.scope import tenant_scope

CALL_DEBOUNCE_S = 0.15  # a turn's words arrive several times a second; people read slower
LIST_DEBOUNCE_S = 0.5  # a busy tenant's list changes all the time
SETTLE_S = 1.0  # hints of a live call leave before its rows are written (product 5.4.2: within 250 ms): look once more
GONE = 4404  # no such call, or not yours (any more); the browser does not try again
ACTIVITIES = {
    "connecting": _("connecting"),
    "listening": _("listening"),
    "thinking": _("thinking"),
    "speaking": _("speaking"),
    "tool": _("using a tool"),
    "leaving": _("finishing"),
}
CALL_FRAGMENTS = (
    "_head", "_player", "_strip", "_transcript", "_timeline", "_tools", "_facts", "_latency", "_costs", "_after",
)  # fmt: skip

log = structlog.get_logger(__name__)


class LiveConsumer(AsyncWebsocketConsumer):
    """Joins one group after a membership check; each announcement leads to at most one refresh per debounce."""

    debounce_s: float
    needs: Permission = Permission.HISTORY_VIEW
    tenant: Tenant

    async def connect(self) -> None:
        tenant = await database_sync_to_async(self.admit)()
        if tenant is None:
            await self.close(GONE)  # before accept: the handshake is refused with 403
            return
        self.tenant = tenant
        self._news = asyncio.Event()
        self._news.set()  # what changed between the page and this socket
        self.group = self.group_name()
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        self._refreshing = asyncio.create_task(self._refresh())

    async def disconnect(self, code: int) -> None:
        if hasattr(self, "_refreshing"):
            self._refreshing.cancel()
        if hasattr(self, "group"):
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """The browser has nothing to say here."""

    async def call_changed(self, message: dict[str, Any]) -> None:
        """A service changed the call (calls.services.announce)."""
        self._news.set()

    async def call_record(self, message: dict[str, Any]) -> None:
        """A live call is about to write a record (calls.transports.live)."""
        self._news.set()

    def group_name(self) -> str:
        raise NotImplementedError

    def read(self) -> str | None:
        """What to send now, in the tenant's scope and zone; None when nothing changed. Raises NotFound."""
        raise NotImplementedError

    # --- private -------------------------------------------------------------------------------------------------------

    async def _refresh(self) -> None:
        is_settled = True
        try:
            while True:
                try:
                    async with asyncio.timeout(None if is_settled else SETTLE_S):
                        await self._news.wait()
                    is_settled = False
                except TimeoutError:
                    is_settled = True
                await asyncio.sleep(self.debounce_s)
                self._news.clear()
                tenant = await database_sync_to_async(self.admit)()
                if tenant is None:
                    await self.close(GONE)
                    return
                text = await database_sync_to_async(self._read_in_scope)(tenant)
                if text is not None:
                    await self.send(text_data=text)
        except NotFound:
            await self.close(GONE)
        except Exception:
            # The browser reconnects and reads everything again.
            log.exception("live_refresh_failed", group=self.group)
            await self.close(1011)

    def _read_in_scope(self, tenant: Tenant) -> str | None:
        with tenant_scope(tenant), timezone.override(zoneinfo.ZoneInfo(tenant.timezone)):
            return self.read()

    def admit(self) -> Tenant | None:
        """The tenant of the address, if whoever holds this session is (still) logged in and a member of it."""
        slug = self.scope["url_route"]["kwargs"]["slug"]
        session_key = self.scope["session"].session_key
        if not session_key:
            return None
        request = HttpRequest()
        request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
        user = get_user(request)  # reads the session again: a log-out or a new password ends the socket
        if not user.is_authenticated or not user.is_active:
            return None
        membership = Membership.objects.filter(user_id=user.pk, tenant__slug=slug).select_related("tenant").first()
        if membership is None or not may(membership.role, self.needs):
            return None
        return membership.tenant


class CallsConsumer(LiveConsumer):
    """The calls list: says that something changed; the list asks for its rows itself, with its own filters."""

    debounce_s = LIST_DEBOUNCE_S

    def group_name(self) -> str:
        return live_group(self.tenant.pk)

    def read(self) -> str | None:
        return json.dumps({"changed": True})


class CallConsumer(LiveConsumer):
    """One call's page: sends the fragments that differ from what this socket was sent last."""

    debounce_s = CALL_DEBOUNCE_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sent: dict[str, bytes] = {}

    @property
    def call_id(self) -> uuid.UUID:
        call_id: uuid.UUID = self.scope["url_route"]["kwargs"]["call_id"]
        return call_id

    async def call_record(self, message: dict[str, Any]) -> None:
        """What the agent is doing is told at once; it is on no record."""
        if message.get("kind") == "SetState":
            state = message["record"].get("state", "")
            await self.send(
                text_data=json.dumps({"activity": gettext(ACTIVITIES[state]) if state in ACTIVITIES else ""})
            )
            return
        await super().call_record(message)

    def group_name(self) -> str:
        return call_group(self.tenant.pk, self.call_id)

    def admit(self) -> Tenant | None:
        tenant = super().admit()
        if tenant is None:
            return None
        try:
            with tenant_scope(tenant):
                access_call(tenant, call_id=self.call_id)
        except NotFound:
            return None
        return tenant

    def read(self) -> str | None:
        sheet = gather_call(self.tenant, call_id=self.call_id)
        context = {"sheet": sheet, "tenant": self.tenant}
        changed = []
        for name in CALL_FRAGMENTS:
            html = render_to_string(f"calls/{name}.html", context)
            digest = hashlib.blake2b(html.encode(), digest_size=16).digest()
            if self._sent.get(name) != digest:
                self._sent[name] = digest
                changed.append(html)
        return json.dumps({"html": "".join(changed), "live": sheet.is_live}) if changed else None


routes = [
    path("ws/o/<slug:slug>/calls/", CallsConsumer.as_asgi()),
    path("ws/o/<slug:slug>/calls/<uuid:call_id>/", CallConsumer.as_asgi()),
]
